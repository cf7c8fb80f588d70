"""A group's picture: what its members know, and which news changes it. Pure.

Snapshot, catch-up and resume are one operation, `since`: everything in the picture with an id after a cursor.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from stream.geo import Box, Polygon, position
from stream.item import Item, Points
from stream.query import PLAIN, Query, Shape
from stream.table import Table
from stream.thinning import Thinning
from stream.window import single
from wire.cursor import Cursor
from wire.protocol import PlaceEvent
from wire.reading import Reading, Value
from wire.shaping import same

__all__ = ["Picture", "picture"]


class Picture(Protocol):
    """What the members of a group are told."""

    ahead: bool  # whether it shows what waits for a flush already

    def news(self, items: list[Item]) -> list[Item]:
        """Of what has gathered for a flush, what is to be told."""

    def since(self, after: Cursor | None) -> list[Item]:
        """The states in it that changed after a cursor, oldest first; without one, all of them."""

    def blank(self) -> Picture:
        """One like it that has shown nothing: for the replay of a log."""


def picture(query: Query, table: Table) -> Picture:
    """The picture that a query asks for, as the table has it now."""
    if query.shape == PLAIN:
        return Whole(query, table)
    # The states of `latest` come with the table; the readings of `batch` bring one of its own along, one by one.
    told = Told(query, table if query.strategy == "latest" else table.only(query.filter))
    told.begin()
    return told


class Whole:
    """The table itself."""

    ahead = True

    def __init__(self, query: Query, table: Table) -> None:
        self._query = query
        self._table = table

    def news(self, items: list[Item]) -> list[Item]:
        return items

    def since(self, after: Cursor | None) -> list[Item]:
        view = self._query.view
        return [item for item in self._table.matching(self._query.filter, after) if view.shows(item.body)]

    def blank(self) -> Picture:
        return self


class Told:
    """What has been told, topic by topic, where the shape of a query makes that differ from the table.

    What is historical changes nothing in it, and is thinned by itself.
    """

    ahead = False  # what the members know is as of the last flush, for all of them

    def __init__(self, query: Query, states: Table) -> None:
        self._query = query
        self._states = states
        self._stateful = query.strategy == "latest" and query.shape.window is None  # whether items are states
        self._area = Area(query.shape)
        filters = dict(query.shape.filters)
        self._thinning, self._past = Thinning(filters), Thinning(filters)
        self._told: dict[str, Item] = {}

    def begin(self) -> None:
        """Take the table's states for told."""
        for state in self._states.matching(self._query.filter):
            move = self._area.move(state.topic, position(state.values))
            shown = self._whole(state)
            values = self._thinning.allows(shown)
            if move == "enter" or (move == "in" and values):
                self._thinning.remember(state.topic, state.body.ts, values)
                self._remember(state, shown, values)

    def news(self, items: list[Item]) -> list[Item]:
        return [told for item in items if (told := self._tell(item)) is not None]

    def since(self, after: Cursor | None) -> list[Item]:
        found = []
        for item in self._told.values():
            if after is None:
                if self._area.holds(item.topic):
                    found.append(_marked(item, self._area.state))
            elif item.order > after[item.partition] and self._area.tells(move := self._area.last(item.topic)):
                found.append(_marked(item, self._area.event(move)))
        return sorted(found, key=lambda item: item.order)

    def blank(self) -> Picture:
        return Told(self._query, Table())

    def _tell(self, item: Item) -> Item | None:
        if not isinstance(item.body, Reading):
            return None if self._query.placed else item
        move = self._move(item)
        crossing = move in ("enter", "leave")
        if not (crossing or self._area.tells(move)):
            return None
        item, before = self._entire(item) if crossing else item, self._told.get(item.topic)
        shown = self._values(item)
        values, points = passed, _ = self._passing(item, shown, move)
        if self._query.shape.delta and before is not None and not crossing:
            values = _changed(before.values, passed)
        if not (values or points or crossing):
            return None
        if not _historical(item):
            self._remember(item, shown, passed, points, before if move != "enter" else None)
        if not self._area.tells(move):
            return None
        event = self._area.event(move)
        return item if values is shown and not (points or event) else item.showing(values, points, event)

    def _move(self, item: Item) -> Move:
        """Where its vehicle is, and was. What is historical moves nobody."""
        if _historical(item):
            return "in" if self._area.holds(item.topic, position(item.values)) else "out"
        if self._query.strategy == "batch":
            self._states.apply(item)
        return self._area.move(item.topic, self._where(item.topic))

    def _remember(
        self,
        item: Item,
        shown: dict[str, Any],
        passed: dict[str, Any],
        points: Points | None = None,
        before: Item | None = None,
    ) -> None:
        """Of each signal the value last told."""
        if self._stateful and passed is shown and not points:
            self._told[item.topic] = item  # its bytes are shared with other groups
        else:
            known = before.values if before is not None else {}
            last = {name: drawn[-1][1] for name, drawn in points.items()} if points else {}
            self._told[item.topic] = item.showing({**known, **passed, **last})

    def _where(self, topic: str) -> tuple[float, float] | None:
        state = self._states.get(topic)
        return position(state.values) if state is not None else None

    def _entire(self, item: Item) -> Item:
        """Who enters or leaves is shown whole: with what its window does not say. States are whole already."""
        state = self._states.get(item.topic)
        if self._query.shape.window is None or state is None:
            return item
        return item.showing({**self._whole(state), **item.values})

    def _values(self, item: Item) -> dict[str, Any]:
        assert isinstance(item.body, Reading)
        return self._query.view.values(item.body)

    def _whole(self, state: Item) -> dict[str, Any]:
        """All that is to be shown of a state; in windows, that of one reading."""
        values, window = self._values(state), self._query.shape.window
        return single(values, window) if window is not None else values

    def _passing(self, item: Item, shown: dict[str, Any], move: Move) -> tuple[dict[str, Any], Points]:
        """What the filters let through. Who enters or leaves is shown whole, but for ranges."""
        thinning = self._past if _historical(item) else self._thinning
        if move == "enter":
            thinning.forget(item.topic)
        values, points = thinning.take(item.topic, item.body.ts, shown)
        if move == "leave":
            values = {name: value for name, value in thinning.allows(shown).items() if name not in points}
        return values, points


Move = Literal["in", "enter", "leave", "out"]


class Area:
    """The place that a query asks for, and which topics are in it. Without one, everything is in it."""

    def __init__(self, shape: Shape) -> None:
        self._fence = shape.geofence
        self._place: Box | Polygon | None = None
        if shape.bbox is not None:
            self._place = Box(shape.bbox)
        elif self._fence is not None:
            self._place = Polygon(self._fence.polygon)
        self._inside: set[str] = set()

    def holds(self, topic: str, where: tuple[float, float] | None = None) -> bool:
        """Whether a position of a topic is in it; without one, where the topic was last."""
        if self._place is None:
            return True
        return self._place.contains(*where) if where is not None else topic in self._inside

    def move(self, topic: str, where: tuple[float, float] | None) -> Move:
        """Where a topic is now, given where it was before. Without a position it stays."""
        if self._place is None:
            return "in"
        was, inside = topic in self._inside, self.holds(topic, where)
        (self._inside.add if inside else self._inside.discard)(topic)
        if inside:
            return "in" if was else "enter"
        return "leave" if was else "out"

    def last(self, topic: str) -> Move:
        """The move that brought a topic to where it is."""
        if self._place is None:
            return "in"
        return "enter" if topic in self._inside else "leave"

    def tells(self, move: Move) -> bool:
        """Whether such a move is told: of a fence the events asked for, of a box all but what is elsewhere."""
        return move != "out" if self._fence is None else move in self._fence.events

    def event(self, move: Move) -> PlaceEvent | None:
        """What is said of such a move: of a box, only that somebody has left it."""
        if move == "leave" or (move == "enter" and self._fence is not None):
            return move
        return None

    @property
    def state(self) -> PlaceEvent | None:
        """What is said of those who are in it."""
        return "inside" if self._fence is not None else None


def _historical(item: Item) -> bool:
    return isinstance(item.body, Reading) and item.body.historical


def _marked(item: Item, event: PlaceEvent | None) -> Item:
    return item if event is None else item.showing(item.values, event=event)


def _changed(before: dict[str, Value], values: dict[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if name not in before or not same(before[name], value)}
