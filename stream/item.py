"""What a node passes on: items, and the views of them that clients ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from wire.cursor import Cursor
from wire.ids import SEQUENCE_BITS, format_id
from wire.protocol import Format, MessageItem, PlaceEvent, ReadingItem, encode
from wire.reading import Body, Message, Reading, Value
from wire.signals import compile_patterns

__all__ = ["Item", "View", "before"]

Points = dict[str, list[tuple[int, Value]]]  # by signal, (ts, value)

_MAX_CACHED_NAMES = 10_000


class View:
    """How a subscription wants its items: format, projection on signals, with or without meta fields.

    `signals` are patterns of names (`wire.signals`): without any it shows none, with None all of them. Views that ask
    for the same are equal, and share what was encoded for either.
    """

    def __init__(self, format: Format, signals: tuple[str, ...] | None = None, meta: bool = False) -> None:
        self.format: Format = format
        self.meta = meta
        # As text, which keeps its hash: it is asked for by each item and view.
        self.key = repr((format, sorted(set(signals)) if signals is not None else None, meta))
        self._pattern = compile_patterns(signals) if signals is not None else None
        self._wanted: dict[str, bool] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, View) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def partial(self) -> bool:
        """Whether there are readings that it does not show."""
        return self._pattern is not None

    def shows(self, body: Body) -> bool:
        """Whether there is anything in it to show."""
        return self._pattern is None or isinstance(body, Message) or any(map(self.wants, body.values))

    def values(self, reading: Reading) -> dict[str, Value]:
        """The reading's values that are to be shown."""
        if self._pattern is None:
            return reading.values
        return {name: value for name, value in reading.values.items() if self.wants(name)}

    def wants(self, name: str) -> bool:
        """Whether a signal is to be shown."""
        if self._pattern is None:
            return True
        wanted = self._wanted.get(name)
        if wanted is None:
            wanted = self._pattern.fullmatch(name) is not None
            if len(self._wanted) < _MAX_CACHED_NAMES:
                self._wanted[name] = wanted
        return wanted


class Item:
    """A reading or message with its topic, id (as `wire.ids.parse_id` orders it, and as text, if that is at hand),
    when the node read it, epoch ms (0: it was stored before), and the number of its partition: only within one do ids
    have an order. Encoded at most once for each view there is."""

    __slots__ = ("_encoded", "_id", "body", "order", "partition", "read", "topic")

    def __init__(self, topic: str, order: int, body: Body, read: int = 0, id: str = "", partition: int = 0) -> None:
        self.topic = topic
        self.partition = partition
        self.order = order
        self.body = body
        self.read = read
        self._id = id
        self._encoded: dict[str, bytes] | None = None

    @property
    def id(self) -> str:
        """`<ms>-<n>`."""
        return self._id or format_id(self.order)

    @property
    def stored(self) -> int:
        """When Redis stored it, epoch ms: its id says so."""
        return self.order >> SEQUENCE_BITS

    @property
    def values(self) -> dict[str, Value]:
        """A reading's values; of a message none."""
        return self.body.values if isinstance(self.body, Reading) else {}

    def showing(
        self, values: Mapping[str, Any], points: Points | None = None, event: PlaceEvent | None = None
    ) -> Item:
        """The same reading with other values; with points of curves, or an event that it tells of."""
        assert isinstance(self.body, Reading)
        return ShapedItem(self, msgspec.structs.replace(self.body, values=values), points or None, event)

    def __repr__(self) -> str:
        return f"Item({self.topic!r}, {format_id(self.order)!r}, {self.body!r})"

    def encoded(self, view: View) -> bytes:
        """The item's bytes in a view."""
        if self._encoded is None:
            self._encoded = {}
        data = self._encoded.get(view.key)
        if data is None:
            data = self._encoded[view.key] = encode(self.shown(view), view.format)
        return data

    def shown(self, view: View) -> ReadingItem | MessageItem:
        """The item as it is in a view."""
        id, body = self.id, self.body
        if isinstance(body, Message):
            return MessageItem(self.topic, id, body.ts, body.data, body.sender)
        values = view.values(body)
        if not view.meta:
            return ReadingItem(self.topic, id, body.ts, values)
        return ReadingItem(
            self.topic, id, body.ts, values, None, None,
            body.seq, body.historical, body.received, body.clock, self.stored, self.read or None,
        )  # fmt: skip


class ShapedItem(Item):
    """A reading as a group with a shape tells it."""

    __slots__ = ("event", "points")

    def __init__(self, item: Item, body: Reading, points: Points | None, event: PlaceEvent | None) -> None:
        super().__init__(item.topic, item.order, body, item.read, item._id, item.partition)
        self.points = points
        self.event = event

    def shown(self, view: View) -> ReadingItem | MessageItem:
        shown = super().shown(view)
        assert isinstance(shown, ReadingItem)
        shown.points, shown.event = self.points, self.event
        return shown


def before(items: Sequence[Item], until: Cursor) -> Cursor:
    """The last cursor before all of the items, at most another."""
    orders = list(until)
    for item in items:
        orders[item.partition] = min(orders[item.partition], item.order - 1)
    return Cursor(orders)
