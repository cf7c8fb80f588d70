"""What a subscription asks for. Those that ask for the same are equal, and share a group."""

from __future__ import annotations

from typing import Literal, NamedTuple

from stream.item import View
from wire import topics
from wire.protocol import Subscribe
from wire.shaping import BoundingBox, Function, Geofence, SignalFilter, filters_key

__all__ = ["PLAIN", "Query", "Shape", "query"]


class Shape(NamedTuple):
    """What of the readings is told: those that pass filters (by pattern of signal names), from a place, aggregated
    in windows, or only what has changed."""

    filters: tuple[tuple[str, SignalFilter], ...] = ()
    bbox: BoundingBox | None = None
    geofence: Geofence | None = None
    window: frozenset[Function] | None = None
    delta: bool = False


PLAIN = Shape()


class Query(NamedTuple):
    """The key of a group: everything that shapes the bytes. `interval`: ms between frames. `own`: the id of a group
    that nobody shares, since it plays the log, or did."""

    filter: str
    strategy: Literal["latest", "batch"]
    interval: int
    view: View
    shape: Shape = PLAIN
    own: str = ""

    @property
    def placed(self) -> bool:
        """Whether it asks for a place, which vehicles enter and leave."""
        return self.shape.bbox is not None or self.shape.geofence is not None

    @property
    def resumable(self) -> bool:
        """Whether a cursor says what a client knows. What filters and places let through depends on what was told
        before, in the one group or the other."""
        return not (self.placed or self.shape.filters)

    def continues(self, before: Query) -> bool:
        """Whether one may go on where the other was: in the log, or because only the interval differs."""
        if before.strategy == self.strategy == "batch":
            return True
        return before._replace(interval=self.interval, own=self.own) == self


def query(command: Subscribe, view: View) -> Query:
    """What a subscribe command asks for, in a client's view of it."""
    # Messages are never conflated, so they come back from the log, not from the table.
    strategy = "batch" if topics.only_messages(command.topic) else command.strategy
    shape = Shape(filters_key(command.filter or {}), command.bbox, command.geofence, command.window, command.delta)
    return Query(command.topic, strategy, command.interval, view, shape)
