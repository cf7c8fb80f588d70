"""A group's picture: what its members know, and which news changes it. Pure.

Snapshot, catch-up and resume are one operation, `since`: everything in the picture with an id after a cursor.
"""

from __future__ import annotations

from typing import Literal, Protocol

from stream.geo import Box, Polygon, position
from stream.item import Item
from stream.query import PLAIN, Query
from stream.table import Table
from stream.thinning import Point, Thinning
from stream.window import single
from wire.reading import Reading, Value
from wire.shaping import Function, same

__all__ = ["Picture", "picture"]


class Picture(Protocol):
    """What the members of a group are told."""

    ahead: bool  # whether it shows what waits for a flush already

    def news(self, items: list[Item]) -> list[Item]:
        """Of what has gathered for a flush, what is to be told."""

    def since(self, after: int) -> list[Item]:
        """The states in it with an id after one, oldest first."""

    def blank(self) -> Picture:
        """One like it that has shown nothing: for the replay of a log."""


def picture(query: Query, table: Table) -> Picture:
    """The picture that a query asks for, as the table has it now."""
    if query.shape.window is not None:
        return Windowed(query, table, query.shape.window)
    if query.shape == PLAIN:
        return Whole(query, table)
    told = Told(query, table)
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

    def since(self, after: int) -> list[Item]:
        view = self._query.view
        return [item for item in self._table.matching(self._query.filter, after) if view.shows(item.body)]

    def blank(self) -> Picture:
        return self


class Windowed(Whole):
    """The table, each state as the window of one reading."""

    def __init__(self, query: Query, table: Table, functions: frozenset[Function]) -> None:
        super().__init__(query, table)
        self._functions = functions
        self._area = Area(query, table)

    def news(self, items: list[Item]) -> list[Item]:
        return [
            item for item in items if not isinstance(item.body, Reading) or self._area.shows(self._area.move(item))
        ]

    def since(self, after: int) -> list[Item]:
        return [self._single(item) for item in super().since(after) if self._area.shows(self._area.move(item))]

    def _single(self, item: Item) -> Item:
        assert isinstance(item.body, Reading)
        return item.showing(single(self._query.view.values(item.body), self._functions))


class Told:
    """What has been told, topic by topic, where filters, a place or `delta` make that differ from the table."""

    ahead = False  # what the members know is as of the last flush, for all of them

    def __init__(self, query: Query, table: Table) -> None:
        self._query = query
        self._table = table
        self._area = Area(query, table)
        self._thinning = Thinning(dict(query.shape.filters))
        self._told: dict[str, Item] = {}

    def begin(self) -> None:
        """Take the table's states for told."""
        for item in self._table.matching(self._query.filter):
            assert isinstance(item.body, Reading)
            values = self._thinning.allows(self._query.view.values(item.body))
            if self._area.move(item) == "in" and values:
                self._thinning.remember(item.topic, item.body.ts, values)
                self._told[item.topic] = item.showing(values, event=self._area.state(item.topic))

    def news(self, items: list[Item]) -> list[Item]:
        return [told for item in items if (told := self._tell(item)) is not None]

    def since(self, after: int) -> list[Item]:
        wanted = (item for item in self._told.values() if item.order > after)
        if not after:
            wanted = (
                item.showing(item.values, event=self._area.state(item.topic))
                for item in wanted
                if self._area.holds(item.topic)
            )
        return sorted(wanted, key=lambda item: item.order)

    def blank(self) -> Picture:
        return Told(self._query, self._table)

    def _tell(self, item: Item) -> Item | None:
        if not isinstance(item.body, Reading):
            return None if self._query.placed else item
        move = self._area.move(item)
        event = self._area.event(move)
        if not (event or self._area.shows(move)):
            return None
        shown, before = self._query.view.values(item.body), self._told.get(item.topic)
        values, points = self._thinning.take(item.topic, item.body.ts, shown)
        if move in ("enter", "leave"):  # whoever comes or goes is shown whole
            self._thinning.remember(item.topic, item.body.ts, shown)
            values = shown
        elif self._query.shape.delta and before is not None:
            values = _changed(before.values, values)
        if not (values or points or event):
            return None
        self._remember(item, before, values, points, event)
        return item.showing(values, points, event)

    def _remember(
        self,
        item: Item,
        before: Item | None,
        values: dict[str, Value],
        points: dict[str, list[Point]],
        event: str | None,
    ) -> None:
        """What came late changes no picture."""
        assert isinstance(item.body, Reading)
        if item.body.historical or (before is not None and item.body.ts < before.body.ts):
            return
        known = before.values if before is not None else {}
        last = {name: drawn[-1][1] for name, drawn in points.items()}
        self._told[item.topic] = item.showing({**known, **values, **last}, event=event)


Move = Literal["in", "enter", "leave", "out"]


class Area:
    """The place that a query asks for, and which topics are in it. Without one, everything is in it."""

    def __init__(self, query: Query, table: Table) -> None:
        self._table = table
        self._fence = query.shape.geofence
        self._place: Box | Polygon | None = None
        if query.shape.bbox is not None:
            self._place = Box(query.shape.bbox)
        elif self._fence is not None:
            self._place = Polygon(self._fence.polygon)
        self._inside: set[str] = set()

    def move(self, item: Item) -> Move:
        """Where it is, given where its topic was before. What is historical moves nobody."""
        if self._place is None:
            return "in"
        where, was = self._where(item), item.topic in self._inside
        inside = where is not None and self._place.contains(*where)
        if isinstance(item.body, Reading) and item.body.historical:
            return "in" if inside else "out"
        (self._inside.add if inside else self._inside.discard)(item.topic)
        if inside:
            return "in" if was else "enter"
        return "leave" if was else "out"

    def shows(self, move: Move) -> bool:
        """Whether such an item is told without being an event: what is in a box."""
        return self._fence is None and move in ("in", "enter")

    def event(self, move: Move) -> str | None:
        """What such an item tells: that somebody has left a box; those of a fence that were asked for."""
        events = ("leave",) if self._fence is None else self._fence.events
        return move if move in events else None

    def holds(self, topic: str) -> bool:
        """Whether the topic was there when it moved last."""
        return self._place is None or topic in self._inside

    def state(self, topic: str) -> str | None:
        """`inside`, where a fence asks for it."""
        return "inside" if self._fence is not None and topic in self._inside else None

    def _where(self, item: Item) -> tuple[float, float] | None:
        """Of a reading that has no position, the vehicle's last."""
        if not isinstance(item.body, Reading):
            return None
        where = position(item.body.values)
        if where is None and (state := self._table.get(item.topic)) is not None:
            where = position(state.values)
        return where


def _changed(before: dict[str, Value], values: dict[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if name not in before or not same(before[name], value)}
