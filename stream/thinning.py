"""Thinning: which values of a stream are let through, by the filters of a subscription. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from wire.reading import Value
from wire.shaping import Change, Curve, Curvelog, Range, SignalFilter, Timebased, is_number, same
from wire.signals import compile_patterns

__all__ = ["Point", "Thinning", "simplify"]

Point = tuple[int, Value]  # ts and value

_MAX_CACHED_NAMES = 10_000


class Thinning:
    """What a group of subscribers was told, as far as its filters must know it, by topic and signal.

    `filters` are by pattern of signal names, `*` for one segment: an exact name wins, else the first pattern in
    sorted order. A signal that none of them matches always passes.
    """

    def __init__(self, filters: Mapping[str, SignalFilter]) -> None:
        self._exact = dict(filters)
        self._patterns = [
            (compile_patterns([pattern]), filters[pattern]) for pattern in sorted(filters) if "*" in pattern
        ]
        self._found: dict[str, SignalFilter | None] = {}
        self._memories: dict[str, dict[str, _Memory]] = {}

    def take(
        self, topic: str, ts: int, values: dict[str, Value]
    ) -> tuple[dict[str, Value], dict[str, list[tuple[int, Value]]]]:
        """Of these values those that are let through (the given dict itself when that is all of them), and by
        signal the points of curves that became due. `ts`: of the reading, epoch ms."""
        passed: dict[str, Value] = {}
        points: dict[str, list[Point]] = {}
        for name, value in values.items():
            filter = self._filter(name)
            if filter is None:
                passed[name] = value
            elif isinstance(filter, Range):
                if filter.contains(value):
                    passed[name] = value
            else:
                memory = self._memory(topic, name, filter)
                if memory.offer(ts, value):
                    passed[name] = value
                if isinstance(memory, _Drawn) and memory.due:
                    points[name], memory.due = memory.due, []
        return values if len(passed) == len(values) else passed, points

    def remember(self, topic: str, ts: int, values: Mapping[str, Value]) -> None:
        """That these were told by other means. A curve that is being drawn goes on as it was."""
        for name, value in values.items():
            filter = self._filter(name)
            if filter is not None and not isinstance(filter, Range):
                self._memory(topic, name, filter).told(ts, value)

    def allows(self, values: dict[str, Value]) -> dict[str, Value]:
        """Those that pass whatever was told before: ranges count, nothing else does. The given dict itself when
        that is all of them."""
        passed = {name: value for name, value in values.items() if _allows(self._filter(name), value)}
        return values if len(passed) == len(values) else passed

    def forget(self, topic: str) -> None:
        """Drop what is known of a topic; what comes next is as if it came first."""
        self._memories.pop(topic, None)

    def _filter(self, name: str) -> SignalFilter | None:
        try:
            return self._found[name]
        except KeyError:
            found = self._exact.get(name) or next(
                (filter for pattern, filter in self._patterns if pattern.fullmatch(name)), None
            )
            if len(self._found) < _MAX_CACHED_NAMES:
                self._found[name] = found
            return found

    def _memory(self, topic: str, name: str, filter: Change | Timebased | Curvelog) -> _Memory:
        memories = self._memories.setdefault(topic, {})
        memory = memories.get(name)
        if memory is None:
            memory = memories[name] = _begin(filter)
        return memory


def simplify(points: Sequence[tuple[int, float]], maxerr: float) -> list[tuple[int, float]]:
    """The fewest points that Ramer, Douglas and Peucker find such that straight lines between them pass every given
    point within `maxerr`, measured along the value. First and last are kept. The ts must grow."""
    keep = {0, len(points) - 1}
    spans = [(0, len(points) - 1)]
    while spans:
        start, end = spans.pop()
        (ts, value), (end_ts, end_value) = points[start], points[end]
        rise, run = float(end_value) - value, end_ts - ts
        farthest, error = start, maxerr
        for place in range(start + 1, end):
            at, found = points[place]
            distance = abs(value + rise * (at - ts) / run - found)
            if distance > error:
                farthest, error = place, distance
        if farthest != start:
            keep.add(farthest)
            spans += ((start, farthest), (farthest, end))
    return [points[place] for place in sorted(keep)]


class _Changing:
    """The value of a signal last told."""

    __slots__ = ("_filter", "_last", "_told")

    def __init__(self, filter: Change) -> None:
        self._filter = filter
        self._told = False
        self._last: Value = None

    def offer(self, ts: int, value: Value) -> bool:
        passes = not self._told or self._filter.holds(self._last, value)
        if passes:
            self.told(ts, value)
        return passes

    def told(self, ts: int, value: Value) -> None:
        self._told, self._last = True, value


class _Paced:
    """When a signal was last told."""

    __slots__ = ("_last", "_period")

    def __init__(self, period: int) -> None:
        self._period = period
        self._last = -math.inf

    def offer(self, ts: int, value: Value) -> bool:
        passes = ts - self._last >= self._period
        if passes:
            self._last = ts
        return passes

    def told(self, ts: int, value: Value) -> None:
        self._last = max(self._last, ts)


class _Drawn:
    """A signal's curve: the points since the one last told, which is the first of them.

    A value that is no number ends the curve, and passes as a value unless it was the last one already; the next
    number begins another. What is late is left out. Of several values of one ts the last one counts, also when
    another has been told.
    """

    __slots__ = ("_curve", "_ended_by", "_points", "_ts", "due")

    def __init__(self, curve: Curve) -> None:
        self.due: list[Point] = []
        self._curve = curve
        self._points: list[tuple[int, float]] = []
        self._ended_by: Value = math.nan  # which is no other value's equal
        self._ts = -math.inf

    def offer(self, ts: int, value: Value) -> bool:
        if ts < self._ts:
            return False
        self._ts = ts
        if is_number(value):
            self._add(ts, value)
            return False
        if not self._points and same(self._ended_by, value):
            return False
        self._flush()
        self._points, self._ended_by = [], value
        return True

    def told(self, ts: int, value: Value) -> None:
        if self._points or ts < self._ts:
            return
        self._ts = ts
        if is_number(value):
            self._points = [(ts, value)]
        else:
            self._ended_by = value

    def _add(self, ts: int, value: float) -> None:
        points = self._points
        if points and points[-1][0] == ts:
            correction = points[-1][1] != value
            points[-1] = (ts, value)
        else:
            correction = not points
            points.append((ts, value))
        if len(points) == 1 and correction:
            self.due.append((ts, value))
        elif len(points) == self._curve.bufsize:
            self._flush()

    def _flush(self) -> None:
        if len(self._points) > 1:
            self.due += simplify(self._points, float(self._curve.maxerr))[1:]
            self._points = self._points[-1:]


_Memory = _Changing | _Paced | _Drawn


def _begin(filter: Change | Timebased | Curvelog) -> _Memory:
    if isinstance(filter, Change):
        return _Changing(filter)
    if isinstance(filter, Timebased):
        return _Paced(int(filter.parameter.period))
    return _Drawn(filter.parameter)


def _allows(filter: SignalFilter | None, value: Value) -> bool:
    return not isinstance(filter, Range) or filter.contains(value)
