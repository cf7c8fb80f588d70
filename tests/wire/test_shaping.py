"""What a subscriber can ask for: read from both formats, equal when it is the same, refused with one clear line."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.reading import Value
from wire.shaping import (
    FUNCTIONS,
    Boundary,
    BoundingBox,
    Change,
    Difference,
    Filters,
    Geofence,
    Range,
    SignalFilter,
    Window,
    filters_key,
    is_number,
    same,
)

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
GT, LT = {"logic-op": "gt", "boundary": 5}, {"logic-op": "lt", "boundary": 10}
SQUARE = [[13.0, 52.0], [14.0, 52.0], [14.0, 53.0], [13.0, 53.0]]

logic_ops = st.sampled_from(sorted(OPERATORS))
small = st.integers(-4, 4).map(lambda number: number / 2)
scalars: st.SearchStrategy[Value] = (
    st.none() | st.booleans() | small | st.integers(-2, 2) | st.sampled_from(["a", "1"])
)


def read(type: Any, found: Any) -> Any:
    """What both formats make of it, which must be the same."""
    from_json = msgspec.json.decode(json.dumps(found).encode(), type=type)
    assert msgspec.msgpack.decode(msgpack.packb(found), type=type) == from_json
    return from_json


def change(parameter: Any) -> Any:
    return read(SignalFilter, {"variant": "change", "parameter": parameter})


def within(parameter: Any) -> Any:
    return read(SignalFilter, {"variant": "range", "parameter": parameter})


@pytest.mark.parametrize(
    ("variant", "as_viss_writes_it", "parameter"),
    [
        ("change", {"logic-op": "gt", "diff": "10"}, {"logic-op": "gt", "diff": 10}),
        ("change", {"logic-op": "lt", "diff": "-0.5"}, {"logic-op": "lt", "diff": -0.5}),
        ("range", {"logic-op": "gte", "boundary": "1e2"}, {"logic-op": "gte", "boundary": 100.0}),
        ("timebased", {"period": "500"}, {"period": 500}),
        ("curvelog", {"maxerr": "0.5", "bufsize": "100"}, {"maxerr": 0.5, "bufsize": 100}),
    ],
)
def test_numbers_may_be_strings(variant: str, as_viss_writes_it: Any, parameter: Any) -> None:
    first = read(SignalFilter, {"variant": variant, "parameter": as_viss_writes_it})
    second = read(SignalFilter, {"variant": variant, "parameter": parameter})
    assert first == second
    assert hash(first) == hash(second)
    assert msgspec.json.decode(msgspec.json.encode(first), type=SignalFilter) == first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (GT, [GT]),
        ([GT, LT], [LT, GT]),
        ([GT, LT], [GT | {"combination-op": "AND"}, LT]),
        ([GT | {"combination-op": "OR"}, LT], [LT | {"combination-op": "OR"}, GT]),
    ],
)
def test_ranges_that_ask_for_the_same_are_equal(one: Any, other: Any) -> None:
    assert within(one) == within(other)
    assert hash(within(one)) == hash(within(other))


def test_ranges_that_ask_for_something_else_are_not() -> None:
    found = [within(GT), within(LT), within([GT, LT]), within([GT | {"combination-op": "OR"}, LT])]
    assert len(set(found)) == len(found)


@given(logic_ops, small, st.sampled_from(["AND", "OR", None]), logic_ops, small, small)
def test_a_range_agrees_with_its_reading(
    one: str, low: float, combination: str | None, other: str, high: float, value: float
) -> None:
    first = {"logic-op": one, "boundary": low} | ({"combination-op": combination} if combination else {})
    found = within([first, {"logic-op": other, "boundary": str(high)}])
    either = any if combination == "OR" else all
    assert found.contains(value) == either([OPERATORS[one](value, low), OPERATORS[other](value, high)])
    assert within({"logic-op": one, "boundary": low}).contains(value) == OPERATORS[one](value, low)


@pytest.mark.parametrize("value", [None, True, "7", math.nan, math.inf, 10**400])
def test_what_is_no_number_is_in_no_range(value: Value) -> None:
    assert not within({"logic-op": "ne", "boundary": 0}).contains(value)
    assert not is_number(value)


@given(logic_ops, small, small, small)
def test_a_change_is_the_value_less_the_one_before(op: str, diff: float, last: float, value: float) -> None:
    assert change({"logic-op": op, "diff": diff}).holds(last, value) == OPERATORS[op](value - last, diff)


@given(logic_ops, small, scalars, scalars)
def test_between_others_than_numbers_any_change_is_one(op: str, diff: float, last: Value, value: Value) -> None:
    if not (is_number(last) and is_number(value)):
        unchanged = type(last) is type(value) and last == value
        assert change({"logic-op": op, "diff": diff}).holds(last, value) == (unchanged == (op == "eq"))


def test_two_differences_are_a_dead_band() -> None:
    found = change([{"logic-op": "gt", "diff": 2, "combination-op": "OR"}, {"logic-op": "lt", "diff": "-2"}])
    assert [step for step in range(-4, 5) if found.holds(50, 50 + step)] == [-4, -3, 3, 4]
    assert found.holds(50, None)
    assert not found.holds(None, None)


def test_values_are_the_same_as_json_has_it() -> None:
    assert same(1, 1.0)
    assert same(None, None)
    assert not same(1, True)
    assert not same("1", 1)
    assert not same(math.nan, math.nan)


@pytest.mark.parametrize(
    ("variant", "parameter", "says"),
    [
        ("change", {"logic-op": "gt", "diff": "ten"}, "diff is a number, not 'ten'"),
        ("change", {"logic-op": "gt", "diff": "inf"}, "diff is a finite number, not inf"),
        ("change", {"logic-op": "above", "diff": 1}, "Invalid enum value 'above'"),
        ("change", {"logic-op": "gt", "diff": True}, "got `bool`"),
        ("change", {"logic-op": "gt", "diff": 1, "unit": "m"}, "unknown field `unit`"),
        ("change", [], "length >= 1"),
        ("range", {"logic-op": "gt", "boundary": "NaN"}, "boundary is a finite number, not NaN"),
        ("range", {"boundary": 1}, "missing required field `logic-op`"),
        ("range", [GT, LT, GT], "length <= 2"),
        ("range", [GT, LT | {"combination-op": "OR"}], "combination-op stands in the first of two"),
        ("range", GT | {"combination-op": "OR"}, "combination-op stands in the first of two"),
        ("timebased", {"period": 0}, "period is a whole number from 1 to 86400000, not 0"),
        ("timebased", {"period": "0.5"}, "period is a whole number from 1 to 86400000, not '0.5'"),
        ("timebased", {"period": 86_400_001}, "period is a whole number"),
        ("curvelog", {"maxerr": -0.5, "bufsize": 10}, "maxerr is an error, 0 or more, not -0.5"),
        ("curvelog", {"maxerr": 1, "bufsize": 1}, "bufsize is a whole number from 2 to 1000, not 1"),
        ("curvelog", {"maxerr": 1, "bufsize": "1001"}, "bufsize is a whole number from 2 to 1000, not '1001'"),
        ("median", {"bufsize": 3}, "Invalid value 'median'"),
    ],
)
def test_a_bad_filter_is_refused_in_one_line(variant: str, parameter: Any, says: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        read(Filters, {"Speed": {"variant": variant, "parameter": parameter}})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_filters_have_a_key_whatever_their_order() -> None:
    one: SignalFilter = Change(Difference("gt", 1))
    other: SignalFilter = Range(Boundary("lt", "3"))
    assert filters_key({"b": one, "a": other}) == filters_key({"a": other, "b": one})
    assert hash(filters_key({"b": one, "a": other})) == hash(filters_key({"a": other, "b": one}))
    assert filters_key({"a": one}) != filters_key({"a": other})


@pytest.mark.parametrize("count", [0, 65])
def test_there_are_1_to_64_filters(count: int) -> None:
    filter = {"variant": "timebased", "parameter": {"period": 1}}
    with pytest.raises(msgspec.ValidationError, match="Expected `object` of length"):
        read(Filters, {f"S{number}": filter for number in range(count)})


def test_a_bounding_box_is_read() -> None:
    found = read(BoundingBox, [13, 52.25, 14.5, 53])
    assert found == BoundingBox(west=13.0, south=52.25, east=14.5, north=53.0)
    assert hash(found) == hash(read(BoundingBox, [13.0, 52.25, 14.5, 53.0]))
    assert read(BoundingBox, [170, -10, -170, 10]).west == 170


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([13, 52, 14], "length 4"),
        ([13, 52, 14, 53, 0, 0], "length 4"),
        ([13, 53, 14, 52], "53.0 is not south of 52.0"),
        ([13, 52, 14, 90.5], "latitude is from -90 to 90 degrees, not 90.5"),
        ([-180.5, 52, 14, 53], "longitude is from -180 to 180 degrees, not -180.5"),
        (["13", 52, 14, 53], "got `str`"),
    ],
)
def test_a_bad_bounding_box_is_refused(found: Any, says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        read(BoundingBox, found)


def test_messagepack_can_say_nan_and_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="a latitude is from"):
        msgspec.msgpack.decode(msgpack.packb([13, math.nan, 14, 53]), type=BoundingBox)
    with pytest.raises(msgspec.ValidationError, match="a longitude is from"):
        msgspec.msgpack.decode(msgpack.packb({"polygon": [*SQUARE, [math.nan, 1]]}), type=Geofence)


def test_a_geofence_is_the_same_closed_or_not() -> None:
    found = read(Geofence, {"polygon": SQUARE})
    assert found == read(Geofence, {"polygon": [*SQUARE, SQUARE[0]], "events": ["leave", "enter", "leave"]})
    assert hash(found) == hash(read(Geofence, {"polygon": [*SQUARE, SQUARE[0]]}))
    assert found.polygon == tuple(map(tuple, SQUARE))
    assert found == read(Geofence, {"polygon": [*SQUARE, *SQUARE[:1] * 3]})
    assert found != read(Geofence, {"polygon": SQUARE, "events": ["enter"]})


@pytest.mark.parametrize("count", [3, 1_000])
@pytest.mark.parametrize("closed", [False, True])
def test_a_geofence_of_3_to_1000_points_is_read(count: int, closed: bool) -> None:
    points = [[number / 10, number % 2] for number in range(count)]
    found = read(Geofence, {"polygon": points + points[:1] * closed})
    assert len(found.polygon) == count


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"polygon": []}, "3 to 1000 points, not 0"),
        ({"polygon": [[1, 1], [2, 2], [1, 1]]}, "3 to 1000 points, not 2"),
        ({"polygon": [[number / 10, 0] for number in range(1_001)]}, "3 to 1000 points, not 1001"),
        ({"polygon": [[1, 1], [2, 2], [1, 91]]}, "a latitude is from -90 to 90 degrees, not 91"),
        ({"polygon": [[1, 1], [2, 2], [1, 2, 3]]}, "length 2"),
        ({"polygon": SQUARE, "events": []}, "length >= 1"),
        ({"polygon": SQUARE, "events": ["stay"]}, "Invalid enum value 'stay'"),
        ({"polygon": SQUARE, "holes": []}, "unknown field `holes`"),
    ],
)
def test_a_bad_geofence_is_refused(found: Any, says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        read(Geofence, found)


def test_a_window_is_a_set_of_functions() -> None:
    assert read(Window, ["mean", "min", "mean"]) == {"min", "mean"}
    assert hash(read(Window, ["mean", "min"])) == hash(read(Window, ["min", "mean"]))
    assert read(Window, list(FUNCTIONS)) == set(FUNCTIONS)
    for bad in ([], ["median"], "mean"):
        with pytest.raises(msgspec.ValidationError):
            read(Window, bad)
