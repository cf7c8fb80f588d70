"""Buckets: what the stored readings of a topic come to, a stretch of time after the other. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from msgspec import UNSET

from stream.columns import NUMBERS, Column, columns
from stream.item import View
from wire.protocol import Last, Numbers, WindowItem
from wire.reading import Value

__all__ = ["Buckets"]


class Buckets:
    """Readings of a topic by buckets of `window` ms. A reading is in the bucket of its own `ts`, whenever it came;
    of a signal that was ever a number in a bucket its numbers are told, of any other one its newest value."""

    def __init__(self, topic: str, window: int, view: View) -> None:
        self._topic = topic
        self._window = window
        self._view = view
        self._buckets: dict[int, _Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def add(self, bodies: Sequence[bytes]) -> int:
        """More readings, in the order of the log. Returns how many bodies are none."""
        if not bodies:
            return 0
        ts, signals, unread = columns(bodies, self._view)
        cuts = list(self._cuts(ts))
        for bucket, begin, end in cuts:
            bucket.count += end - begin
            for column in signals:
                bucket.add(column, ts, begin, end)
        return unread

    def items(self) -> Iterator[WindowItem]:
        """The buckets that have readings, oldest first."""
        for start in sorted(self._buckets):
            bucket = self._buckets[start]
            told = {name: signal.told() for name, signal in bucket.signals.items()}
            yield WindowItem(self._topic, start, bucket.count, told)

    def _cuts(self, ts: Sequence[int]) -> Iterator[tuple[_Bucket, int, int]]:
        """Each bucket of these, with where its readings begin and end."""
        begin = 0
        while begin < len(ts):
            start = ts[begin] - ts[begin] % self._window
            end = bisect_left(ts, start + self._window, begin)
            bucket = self._buckets.get(start)
            if bucket is None:
                bucket = self._buckets[start] = _Bucket()
            yield bucket, begin, end
            begin = end


class _Bucket:
    __slots__ = ("count", "signals")

    def __init__(self) -> None:
        self.count = 0
        self.signals: dict[str, _Signal] = {}

    def add(self, column: Column, ts: Sequence[int], begin: int, end: int) -> None:
        """What a column says from one place to another."""
        name, numeric, values = column
        part = values[begin:end]
        numbers = part if numeric or NUMBERS.issuperset(map(type, part)) else [v for v in part if type(v) in NUMBERS]
        place = -1
        if not numbers:
            place = next((place for place in range(end - 1, begin - 1, -1) if values[place] is not UNSET), -1)
            if place < 0:
                return
        signal = self.signals.get(name)
        if signal is None:
            signal = self.signals[name] = _Signal()
        if numbers:
            signal.add_numbers(numbers)
        else:
            signal.add_other(ts[place], values[place])


class _Signal:
    """A few numbers, however many readings there are."""

    __slots__ = ("_count", "_last", "_last_ts", "_max", "_min", "_sum")

    def __init__(self) -> None:
        self._count = 0
        self._sum: float = 0
        self._min: float = 0
        self._max: float = 0
        self._last: Value = None
        self._last_ts: int | None = None

    def add_numbers(self, numbers: Sequence[float]) -> None:
        low, high = min(numbers), max(numbers)
        if not self._count or low < self._min:
            self._min = low
        if not self._count or high > self._max:
            self._max = high
        self._sum += sum(numbers)
        self._count += len(numbers)

    def add_other(self, ts: int, value: Value) -> None:
        if self._last_ts is None or ts >= self._last_ts:
            self._last_ts, self._last = ts, value

    def told(self) -> Numbers | Last:
        if not self._count:
            return Last(self._last)
        # Between the two also when the sum is beyond what a float holds.
        mean = max(float(self._min), min(float(self._max), self._sum / self._count))
        return Numbers(self._min, self._max, mean)
