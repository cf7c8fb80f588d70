"""What a subscriber can ask for beyond topic and signals: filters of values, a place, a window.

The filters are those of VISS (COVESA, Vehicle Information Service Specification 3.2, Core, "Filter Request"), with
its words. VISS writes numbers as strings, `{"diff": "10"}`; both are read here. What asks for the same is equal.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal, TypeGuard, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr, replace

from wire.reading import Value

__all__ = [
    "FUNCTIONS",
    "Boundary",
    "BoundingBox",
    "Change",
    "Curve",
    "Curvelog",
    "Difference",
    "Filters",
    "Geofence",
    "Period",
    "Range",
    "SignalFilter",
    "Timebased",
    "Window",
    "filters_key",
    "is_number",
    "same",
]

LogicOp = Literal["eq", "ne", "gt", "gte", "lt", "lte"]
CombinationOp = Literal["AND", "OR"]
Number = float | str
Integer = int | str

_COMPARE: dict[LogicOp, Callable[[float, float], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_MAX_FLOAT = sys.float_info.max
_MAX_PERIOD = 86_400_000
_MAX_BUFSIZE = 1_000
_MAX_POINTS = 1_000


def is_number(value: Value) -> TypeGuard[int | float]:
    """Whether it is a finite number; a boolean is none."""
    return (type(value) is float or type(value) is int) and abs(value) <= _MAX_FLOAT


def same(value: Value, other: Value) -> bool:
    """Whether two values are equal as JSON has it: 1 is 1.0, and is not true."""
    return value == other and (type(value) is type(other) or (is_number(value) and is_number(other)))


class _Shape(Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    pass


class Boundary(_Shape, frozen=True):
    """One side of a range. `combination-op`, AND by default, stands in the first of two."""

    logic_op: LogicOp
    boundary: Number
    combination_op: CombinationOp | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "boundary", _number("boundary", self.boundary))

    def holds(self, value: float) -> bool:
        """Whether a number is on this side."""
        return _COMPARE[self.logic_op](value, float(self.boundary))


class Difference(_Shape, frozen=True):
    """What a change has to be. `combination-op`, AND by default, stands in the first of two."""

    logic_op: LogicOp
    diff: Number
    combination_op: CombinationOp | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "diff", _number("diff", self.diff))

    def holds(self, step: float) -> bool:
        """Whether a step from one number to the next is such a change."""
        return _COMPARE[self.logic_op](step, float(self.diff))


class Period(_Shape, frozen=True):
    """`period`: ms from one value to the next, at least; up to a day."""

    period: Integer

    def __post_init__(self) -> None:
        force_setattr(self, "period", _integer("period", self.period, 1, _MAX_PERIOD))


class Curve(_Shape, frozen=True):
    """`maxerr`: how far a reading may be from the curve, in the signal's unit. `bufsize`: readings looked at
    together, 2 to 1000."""

    maxerr: Number
    bufsize: Integer

    def __post_init__(self) -> None:
        force_setattr(self, "maxerr", _number("maxerr", self.maxerr))
        force_setattr(self, "bufsize", _integer("bufsize", self.bufsize, 2, _MAX_BUFSIZE))
        if float(self.maxerr) < 0:
            raise ValueError(f"maxerr is an error, 0 or more, not {self.maxerr}")


class Change(_Shape, frozen=True, tag_field="variant", tag="change"):
    """Values that differ from the one last told as `logic-op` and `diff` say.

    The difference has a sign: it is the value less the one last told (VISS Core, "Change Filter Operation": `gt`
    with 0 is a rise from false to true, `lt` with 0 a fall). So `gt` 10 tells a rise of more than 10 and no fall,
    however deep; `lt` -10 tells a fall of more than 10; `lt` 10 tells whatever did not rise by 10. Two differences
    are combined as those of a range: `gt` 10 OR `lt` -10 is a dead band. Between values that are not both numbers
    there is no difference to measure: any change passes, or with `eq`, none.
    """

    parameter: Difference | Annotated[tuple[Difference, ...], Meta(min_length=1, max_length=2)]

    def __post_init__(self) -> None:
        force_setattr(self, "parameter", _canonical(self.differences, lambda term: float(term.diff)))

    @property
    def differences(self) -> tuple[Difference, ...]:
        """One, or the two that are combined."""
        return self.parameter if isinstance(self.parameter, tuple) else (self.parameter,)

    def holds(self, last: Value, value: Value) -> bool:
        """Whether the step from the value last told passes."""
        terms = self.differences
        if is_number(last) and is_number(value):
            step = value - last
            return _combined(terms[0].combination_op, [term.holds(step) for term in terms])
        unchanged = same(last, value)
        return _combined(terms[0].combination_op, [unchanged == (term.logic_op == "eq") for term in terms])


class Range(_Shape, frozen=True, tag_field="variant", tag="range"):
    """Numbers within one boundary, or two (VISS Core, "Range Filter Operation")."""

    parameter: Boundary | Annotated[tuple[Boundary, ...], Meta(min_length=1, max_length=2)]

    def __post_init__(self) -> None:
        force_setattr(self, "parameter", _canonical(self.boundaries, lambda term: float(term.boundary)))

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """One, or the two that are combined."""
        return self.parameter if isinstance(self.parameter, tuple) else (self.parameter,)

    def contains(self, value: Value) -> bool:
        """Whether it is a number, and in the range."""
        terms = self.boundaries
        return is_number(value) and _combined(terms[0].combination_op, [term.holds(value) for term in terms])


class Timebased(_Shape, frozen=True, tag_field="variant", tag="timebased"):
    """At most one value in a period (VISS Core, "Time-Based Filter Operation")."""

    parameter: Period


class Curvelog(_Shape, frozen=True, tag_field="variant", tag="curvelog"):
    """The points that draw the curve of a signal (VISS Core, "Curve logging Filter Operation")."""

    parameter: Curve


SignalFilter = Change | Range | Timebased | Curvelog
Filters = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=256)], SignalFilter], Meta(min_length=1, max_length=64)
]


def filters_key(filters: Mapping[str, SignalFilter]) -> tuple[tuple[str, SignalFilter], ...]:
    """The filters by pattern as something hashable, equal for those that ask for the same."""
    return tuple((pattern, filters[pattern]) for pattern in sorted(filters))


class BoundingBox(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`[west, south, east, north]` in degrees, as in GeoJSON (RFC 7946, section 5). With west > east it crosses
    the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        _check_place(self.west, self.south)
        _check_place(self.east, self.north)
        if self.south > self.north:
            raise ValueError(
                f"a bounding box is [west, south, east, north]: {self.south} is not south of {self.north}"
            )


class Geofence(Struct, frozen=True, forbid_unknown_fields=True):
    """A polygon, `[[longitude, latitude], …]` in degrees, 3 to 1000 points, and what is told of it. The first point
    may be repeated as the last, as in GeoJSON."""

    polygon: tuple[tuple[float, float], ...]
    events: Annotated[frozenset[Literal["enter", "leave"]], Meta(min_length=1)] = frozenset(("enter", "leave"))

    def __post_init__(self) -> None:
        points, end = self.polygon, len(self.polygon)
        while end > 1 and points[0] == points[end - 1]:
            end -= 1
        if end < len(points):
            points = points[:end]
            force_setattr(self, "polygon", points)
        if not 3 <= len(points) <= _MAX_POINTS:
            raise ValueError(f"a polygon has 3 to {_MAX_POINTS} points, not {len(points)}")
        for longitude, latitude in points:
            _check_place(longitude, latitude)


Function = Literal["min", "max", "mean"]
Window = Annotated[frozenset[Function], Meta(min_length=1)]
FUNCTIONS: tuple[Function, ...] = ("min", "max", "mean")  # a window's functions in the order in which they are told


Term = TypeVar("Term", Boundary, Difference)


def _canonical(terms: tuple[Term, ...], amount: Callable[[Term], float]) -> tuple[Term, ...]:
    """The terms in one order, with the operator that combines two of them said by the first."""
    if terms[-1].combination_op is not None:
        raise ValueError("combination-op stands in the first of two")
    if len(terms) == 1:
        return terms
    operation = terms[0].combination_op or "AND"
    low, high = sorted(
        (replace(term, combination_op=None) for term in terms), key=lambda term: (amount(term), term.logic_op)
    )
    return replace(low, combination_op=operation), high


def _combined(operation: CombinationOp | None, results: Iterable[bool]) -> bool:
    return any(results) if operation == "OR" else all(results)


def _number(name: str, found: Number) -> float:
    try:
        number: float = msgspec.convert(found, float, strict=False)
    except msgspec.ValidationError:
        raise ValueError(f"{name} is a number, not {found!r:.64}") from None
    if not is_number(number):
        raise ValueError(f"{name} is a finite number, not {found}")
    return number


def _integer(name: str, found: Integer, low: int, high: int) -> int:
    try:
        number: int = msgspec.convert(found, Annotated[int, Meta(ge=low, le=high)], strict=False)
    except msgspec.ValidationError:
        raise ValueError(f"{name} is a whole number from {low} to {high}, not {found!r:.64}") from None
    return number


def _check_place(longitude: float, latitude: float) -> None:
    if not -180 <= longitude <= 180:
        raise ValueError(f"a longitude is from -180 to 180 degrees, not {longitude}")
    if not -90 <= latitude <= 90:
        raise ValueError(f"a latitude is from -90 to 90 degrees, not {latitude}")
