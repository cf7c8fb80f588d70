"""What waits for a group's next flush. Pure."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from stream.item import Item, View
from stream.query import Query
from stream.window import Accumulator
from wire.cursor import Cursor
from wire.reading import Message, Reading
from wire.shaping import Function

__all__ = ["Held", "Pending", "Taken", "pending"]


class Taken(NamedTuple):
    """Items in the order of their ids, and of the readings that they have overtaken partition and id."""

    items: list[Item]
    overtaken: list[tuple[int, int]]


class Pending(Protocol):
    """Gathers items between two flushes."""

    def add(self, item: Item, state: Item | None) -> bool:
        """Take what the feed brought, with the topic's new state (None: unchanged, it came late). False when there
        is nothing in it to be told."""

    def look(self) -> Taken:
        """What has gathered so far."""

    def take(self) -> Taken:
        """What has gathered; then there is nothing."""

    def __len__(self) -> int:
        """How many items wait."""


def pending(query: Query) -> Pending:
    """What gathers as a query asks."""
    if query.shape.window is not None:
        return Windows(query.view, query.shape.window)
    return Newest() if query.strategy == "latest" else Every()


class Every:
    """All that comes: strategy `batch`."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item, state: Item | None) -> bool:
        self._items.append(item)
        return True

    def look(self) -> Taken:
        return Taken(self._items, [])

    def take(self) -> Taken:
        items, self._items = self._items, []
        return Taken(items, [])


class Newest:
    """Of each topic the newest state, and every message: strategy `latest`."""

    def __init__(self) -> None:
        self._items: dict[str | tuple[int, int], Item] = {}
        self._overtaken: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item, state: Item | None) -> bool:
        if isinstance(item.body, Message):
            self._items[item.partition, item.order] = item
            return True
        if state is None:
            return False
        before = self._items.get(item.topic)
        if before is not None:
            self._overtaken.append((before.partition, before.order))
        self._items[item.topic] = state
        return True

    def look(self) -> Taken:
        # By id: the newest of a topic may have come late, and states that were loaded may be ahead of the feed.
        return Taken(sorted(self._items.values(), key=_order), self._overtaken)

    def take(self) -> Taken:
        taken = self.look()
        self._items, self._overtaken = {}, []
        return taken


class Windows:
    """Of each topic what its readings come to, and every message: strategy `latest` with a window."""

    def __init__(self, view: View, functions: frozenset[Function]) -> None:
        self._view = view
        self._functions = functions
        self._messages: list[Item] = []
        self._last: dict[str, Item] = {}
        self._windows: dict[str, Accumulator] = {}
        self._overtaken: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._messages) + len(self._last)

    def add(self, item: Item, state: Item | None) -> bool:
        if isinstance(item.body, Message):
            self._messages.append(item)
            return True
        if state is None:
            return False
        if (before := self._last.get(item.topic)) is not None:
            self._overtaken.append((before.partition, before.order))
        else:
            self._windows[item.topic] = Accumulator()
        self._last[item.topic] = state
        self._windows[item.topic].add(self._view.values(item.body))
        return True

    def look(self) -> Taken:
        told = [self._told(item) for item in self._last.values()]
        return Taken(sorted(self._messages + told, key=_order), self._overtaken)

    def take(self) -> Taken:
        taken = self.look()
        self._messages, self._last, self._windows, self._overtaken = [], {}, {}, []
        return taken

    def _told(self, item: Item) -> Item:
        assert isinstance(item.body, Reading)
        return item.showing(self._windows[item.topic].result(self._functions))


class Held:
    """Gathers as another does, and keeps back what comes after a cursor: for its turn, when all before has come."""

    def __init__(self, pending: Pending, until: Cursor) -> None:
        self.pending = pending
        self.later: list[tuple[Item, Item | None]] = []
        self._until = until

    def __len__(self) -> int:
        return len(self.pending)

    def add(self, item: Item, state: Item | None) -> bool:
        if item.order > self._until[item.partition]:
            self.later.append((item, state))
            return False
        return self.pending.add(item, state)

    def look(self) -> Taken:
        return self.pending.look()

    def take(self) -> Taken:
        return self.pending.take()


def _order(item: Item) -> int:
    return item.order
