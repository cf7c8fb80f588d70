"""Windows: what the readings of a topic between two frames come to, signal by signal. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from wire.reading import Value
from wire.shaping import FUNCTIONS, Function, is_number

__all__ = ["Accumulator", "single"]

Summary = dict[str, dict[str, float] | Value]


class Accumulator:
    """The readings of one topic in one window. It keeps a few numbers for each signal, however many come."""

    def __init__(self) -> None:
        self._numbers: dict[str, _Numbers] = {}
        self._others: dict[str, Value] = {}

    def add(self, values: Mapping[str, Value]) -> None:
        """One more reading."""
        for name, value in values.items():
            if not is_number(value):
                self._others[name] = value
            elif (numbers := self._numbers.get(name)) is not None:
                numbers.add(value)
            else:
                self._numbers[name] = _Numbers(value)

    def result(self, functions: Collection[Function]) -> Summary:
        """By signal: of its numbers what the functions say, `{"min": …, "max": …, "mean": …}`; of a signal that was
        never a number its last value."""
        return {
            **self._others,
            **{name: _told(numbers, functions) for name, numbers in self._numbers.items()},
        }


def single(values: Mapping[str, Value], functions: Collection[Function]) -> Summary:
    """The window of a single reading."""
    asked = [function for function in FUNCTIONS if function in functions]
    return {
        name: {function: float(value) if function == "mean" else value for function in asked}
        if is_number(value)
        else value
        for name, value in values.items()
    }


class _Numbers:
    """Extremes and sum of the numbers of a signal. The sum carries what rounding took from it (Neumaier), so that
    millions of additions cost no digit of the mean."""

    __slots__ = ("_count", "_lost", "_sum", "max", "min")

    def __init__(self, first: float) -> None:
        self.min = self.max = first
        self._count = 1
        self._sum = float(first)
        self._lost = 0.0

    def add(self, number: float) -> None:
        if number < self.min:
            self.min = number
        elif number > self.max:
            self.max = number
        self._count += 1
        total = self._sum + number
        if abs(self._sum) >= abs(number):
            self._lost += (self._sum - total) + number
        else:
            self._lost += (number - total) + self._sum
        self._sum = total

    @property
    def mean(self) -> float:
        mean = (self._sum + self._lost) / self._count
        return max(float(self.min), min(float(self.max), mean))  # also when the sum is beyond what a float holds


def _told(numbers: _Numbers, functions: Collection[Function]) -> dict[str, float]:
    return {function: getattr(numbers, function) for function in FUNCTIONS if function in functions}
