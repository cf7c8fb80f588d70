"""Thinning, held against what each filter promises of what was let through and what was not."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream import thinning as module
from stream.thinning import Point, Thinning, simplify
from wire.reading import Value
from wire.shaping import (
    Boundary,
    Change,
    Curve,
    Curvelog,
    Difference,
    Period,
    Range,
    SignalFilter,
    Timebased,
    is_number,
)

T = "fleets/berlin/v1/telemetry"
ANY_CHANGE = Change(Difference("ne", 0))
FAST = Range(Boundary("gt", 100))

numbers = st.integers(-8, 8) | st.floats(-1e6, 1e6)
bounds = st.integers(0, 5) | st.floats(0, 100)
others: st.SearchStrategy[Value] = st.none() | st.booleans() | st.sampled_from(["", "a", "b"])
steps = st.integers(-3, 4) | st.integers(-2_000, 2_000)


@st.composite
def samples(
    draw: st.DrawFn, values: st.SearchStrategy[Value] = numbers, late: bool = True
) -> list[tuple[int, Value]]:
    """Readings of one signal: some late, some of one ts."""
    ts, found = 0, []
    for step, value in draw(st.lists(st.tuples(steps, values), max_size=40)):
        ts += step if late else abs(step)
        found.append((ts, value))
    return found


def dead_band(diff: float) -> Change:
    return Change((Difference("gt", diff, "OR"), Difference("lt", -diff)))


def let_through(filter: SignalFilter, readings: list[tuple[int, Value]]) -> list[tuple[int, Value]]:
    thinning = Thinning({"S": filter})
    return [(ts, value) for ts, value in readings if thinning.take(T, ts, {"S": value})[0]]


def drawn(filter: Curvelog, readings: list[tuple[int, Value]]) -> list[tuple[list[Point], bool]]:
    """What each reading made due, and whether it passed as a value."""
    thinning = Thinning({"S": filter})
    found = []
    for ts, value in readings:
        passed, points = thinning.take(T, ts, {"S": value})
        found.append((points.get("S", []), "S" in passed))
    return found


# --- change


@given(samples(), bounds)
def test_a_dead_band_leaves_nobody_further_off_than_it_says(readings: list[tuple[int, Value]], diff: float) -> None:
    thinning = Thinning({"S": dead_band(diff)})
    told: Value = None
    for place, (ts, value) in enumerate(readings):
        passed, _ = thinning.take(T, ts, {"S": value})
        assert is_number(value)
        if place == 0:
            assert passed
        elif is_number(told):
            assert bool(passed) == (abs(value - told) > diff)
        told = passed.get("S", told)
        assert is_number(told)
        assert abs(value - told) <= diff


@given(samples(), bounds)
def test_a_rise_is_measured_from_the_value_last_told(readings: list[tuple[int, Value]], diff: float) -> None:
    passed = [value for _, value in let_through(Change(Difference("gt", diff)), readings)]
    assert passed[:1] == [value for _, value in readings[:1]]
    for low, high in pairwise(passed):
        assert is_number(low)
        assert is_number(high)
        assert high - low > diff
    for _, value in readings:
        assert is_number(value)
        assert value - max(number for number in passed if is_number(number)) <= diff


@given(samples(others | st.integers(0, 2)))
def test_any_change_tells_each_run_of_equal_values_once(readings: list[tuple[int, Value]]) -> None:
    expected = readings[:1] + [
        after
        for before, after in pairwise(readings)
        if (type(before[1]), before[1]) != (type(after[1]), after[1])  # true is not 1
    ]
    assert let_through(ANY_CHANGE, readings) == expected


def test_eq_tells_what_did_not_change() -> None:
    readings: list[tuple[int, Value]] = list(enumerate([False, False, True, False, None]))
    assert let_through(Change(Difference("eq", 0)), readings) == [(0, False), (1, False), (3, False)]


# --- range


@given(
    st.dictionaries(st.sampled_from("abc"), numbers | others),
    st.sampled_from(["AND", "OR"]),
    st.integers(-5, 5),
    st.integers(-5, 5),
)
def test_a_range_lets_through_what_is_in_it_now_and_in_snapshots(
    values: dict[str, Value], combination: str, low: int, high: int
) -> None:
    both = combination == "AND"
    filter = Range((Boundary("gte", low, "AND" if both else "OR"), Boundary("lt", high)))
    expected = {}
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            inside = (value >= low and value < high) if both else (value >= low or value < high)
            if inside:
                expected[name] = value
    thinning = Thinning({"*": filter})
    assert thinning.take(T, 1, values) == (expected, {})
    assert thinning.allows(values) == expected


# --- timebased


@given(samples(), st.integers(1, 3_000))
def test_never_more_than_one_in_a_period(readings: list[tuple[int, Value]], period: int) -> None:
    passed = let_through(Timebased(Period(period)), readings)
    assert passed[:1] == readings[:1]
    assert all(after - before >= period for (before, _), (after, _) in pairwise(passed))
    for ts, value in readings:  # and none is held back without a reason
        assert (ts, value) in passed or any(told - period < ts < told + period or ts < told for told, _ in passed)


def test_a_late_reading_does_not_disturb_the_period() -> None:
    readings: list[tuple[int, Value]] = [(1_000, 1), (400, 2), (1_400, 3), (1_999, 4), (2_000, 5)]
    assert let_through(Timebased(Period(1_000)), readings) == [(1_000, 1), (2_000, 5)]


# --- curvelog


def between(points: list[tuple[int, Fraction]], ts: int) -> Fraction:
    """The curve's value at a ts. Of two points with one ts the later one counts."""
    told = dict(points)
    if ts in told:
        return told[ts]
    (start, low), (end, high) = next(line for line in pairwise(points) if line[0][0] < ts < line[1][0])
    return low + (high - low) * Fraction(ts - start, end - start)


@given(samples(), bounds, st.integers(2, 12))
def test_every_reading_is_near_the_curve(readings: list[tuple[int, Value]], maxerr: float, bufsize: int) -> None:
    found = drawn(Curvelog(Curve(maxerr, bufsize)), readings)
    assert not any(passed for _, passed in found)
    curve: list[tuple[int, Fraction]] = []
    seen: dict[int, float] = {}
    newest = None
    for (ts, value), (points, _) in zip(readings, found, strict=True):
        assert is_number(value)
        if newest is None or ts >= newest:
            newest, seen[ts] = ts, value
        else:
            assert not points  # late
        for at, told in points:
            assert is_number(told)
            assert seen[at] == told
            curve.append((at, Fraction(told)))
        # Whatever the curve has come past is near it, and it is never a buffer behind.
        assert len([at for at in seen if at > curve[-1][0]]) < bufsize - 1
        for at in seen:
            if at <= curve[-1][0]:
                assert abs(between(curve, at) - Fraction(seen[at])) <= Fraction(maxerr) + Fraction(1, 10**8)
    assert [at for at, _ in curve] == sorted(at for at, _ in curve)
    assert all(before != after for before, after in pairwise(curve))  # told once


@given(st.lists(numbers, min_size=2, max_size=30), bounds)
def test_simplify_keeps_both_ends_and_only_points_that_it_was_given(found: list[float], maxerr: float) -> None:
    points = [(7 * place, value) for place, value in enumerate(found)]
    kept = simplify(points, maxerr)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert set(kept) <= set(points)
    assert kept == sorted(set(kept))


def test_a_straight_line_is_its_ends_and_a_corner_is_kept() -> None:
    assert simplify([(place, 3 * place) for place in range(50)], 0) == [(0, 0), (49, 147)]
    tent = [(place, float(min(place, 20 - place))) for place in range(21)]
    assert simplify(tent, 0.5) == [(0, 0), (10, 10), (20, 0)]
    assert simplify(tent, 10) == [(0, 0), (20, 0)]


def test_a_curve_is_told_when_its_buffer_is_full_and_goes_on_from_its_last_point() -> None:
    readings: list[tuple[int, Value]] = [(0, 0), (1, 1), (2, 2), (3, 3), (4, 2), (5, 1), (6, 0)]
    assert [points for points, _ in drawn(Curvelog(Curve(0, 4)), readings)] == [
        [(0, 0)],
        [],
        [],
        [(3, 3)],
        [],
        [],
        [(6, 0)],
    ]


def test_of_one_ts_the_last_value_counts() -> None:
    readings: list[tuple[int, Value]] = [(0, 0), (0, 0), (0, 5), (1, 9), (1, 6), (2, 7)]
    assert [points for points, _ in drawn(Curvelog(Curve(0, 3)), readings)] == [
        [(0, 0)],
        [],
        [(0, 5)],
        [],
        [],
        [(2, 7)],
    ]


def test_what_is_no_number_ends_the_curve_and_passes_when_it_is_another() -> None:
    readings: list[tuple[int, Value]] = [
        (0, 0),
        (1, 1),
        (2, None),
        (3, None),
        (1, "late"),
        (4, "off"),
        (5, 8),
        (6, "off"),
    ]
    assert drawn(Curvelog(Curve(0, 9)), readings) == [
        ([(0, 0)], False),
        ([], False),
        ([(1, 1)], True),
        ([], False),
        ([], False),
        ([], True),
        ([(5, 8)], False),
        ([], True),
    ]


@given(samples(numbers | others), st.integers(2, 6))
def test_a_buffer_never_holds_more_than_it_may(readings: list[tuple[int, Value]], bufsize: int) -> None:
    thinning = Thinning({"*": Curvelog(Curve(0, bufsize))})
    for ts, value in readings:
        thinning.take(T, ts, {"S": value})
        (memory,) = thinning._memories[T].values()
        assert isinstance(memory, module._Drawn)
        assert len(memory._points) < bufsize
        assert not memory.due


# --- the whole


def test_signals_are_judged_by_themselves_and_topics_too() -> None:
    thinning = Thinning({"A": ANY_CHANGE, "B": FAST, "C": Timebased(Period(10)), "D": Curvelog(Curve(0, 3))})
    values: dict[str, Value] = {"A": 1, "B": 150, "C": 1, "D": 1, "E": 1}
    assert thinning.take(T, 0, values) == ({"A": 1, "B": 150, "C": 1, "E": 1}, {"D": [(0, 1)]})
    assert thinning.take(T, 5, values) == ({"B": 150, "E": 1}, {})
    assert thinning.take("fleets/berlin/v2/telemetry", 5, values)[0] == {"A": 1, "B": 150, "C": 1, "E": 1}
    assert thinning.take(T, 6, {"A": 2, "B": 99}) == ({"A": 2}, {})


@given(st.dictionaries(st.sampled_from(["A", "B", "a.b"]), numbers | others))
def test_without_a_filter_for_it_a_reading_is_itself(values: dict[str, Value]) -> None:
    thinning = Thinning({"Other": ANY_CHANGE})
    for _ in range(2):
        passed, points = thinning.take(T, 1, values)
        assert passed is values
        assert points == {}
        assert thinning.allows(values) is values
    assert not thinning._memories


@pytest.mark.parametrize("filter", [ANY_CHANGE, Timebased(Period(10))])
def test_what_was_told_by_other_means_is_not_told_again(filter: SignalFilter) -> None:
    thinning = Thinning({"S": filter})
    thinning.remember(T, 100, {"S": 5, "T": 1})
    assert thinning.take(T, 105, {"S": 5}) == ({}, {})
    assert thinning.take(T, 110, {"S": 6}) == ({"S": 6}, {})
    thinning.remember(T, 50, {"S": 6})  # late: as if nothing had been
    assert thinning.take(T, 111, {"S": 6}) == ({}, {})


def test_a_curve_begins_with_what_was_told_by_other_means_and_goes_on_undisturbed() -> None:
    thinning = Thinning({"S": Curvelog(Curve(0, 3))})
    thinning.remember(T, 0, {"S": 0})
    assert thinning.take(T, 1, {"S": 9}) == ({}, {})
    thinning.remember(T, 1, {"S": 9})
    assert thinning.take(T, 2, {"S": 0}) == ({}, {"S": [(1, 9), (2, 0)]})
    thinning.forget(T)
    thinning.remember(T, 5, {"S": None})
    assert thinning.take(T, 6, {"S": None}) == ({}, {})
    thinning.remember(T, 4, {"S": 3})  # late
    assert thinning.take(T, 7, {"S": 3}) == ({}, {"S": [(7, 3)]})


def test_a_range_remembers_nothing() -> None:
    thinning = Thinning({"S": FAST})
    thinning.remember(T, 0, {"S": 120})
    thinning.take(T, 1, {"S": 120})
    assert not thinning._memories


def test_a_forgotten_topic_begins_anew() -> None:
    thinning = Thinning({"S": ANY_CHANGE})
    thinning.take(T, 1, {"S": 5})
    thinning.forget(T)
    thinning.forget("never/seen")
    assert thinning.take(T, 2, {"S": 5}) == ({"S": 5}, {})


def test_snapshots_are_held_to_ranges_only_and_change_nothing() -> None:
    thinning = Thinning({"A": ANY_CHANGE, "B": FAST, "C": Curvelog(Curve(0, 3))})
    values: dict[str, Value] = {"A": 1, "B": 5, "C": 1, "D": 1}
    for _ in range(2):
        assert thinning.allows(values) == {"A": 1, "C": 1, "D": 1}
    assert thinning.take(T, 1, values) == ({"A": 1, "D": 1}, {"C": [(1, 1)]})


patterns = st.lists(st.sampled_from(["A", "B", "*", "x+y", "A*"]), min_size=1, max_size=3).map(".".join)
names = st.lists(st.sampled_from(["A", "B", "AB", "x+y", "*"]), min_size=1, max_size=3).map(".".join)


@given(st.sets(patterns, min_size=1, max_size=5), names)
@example({"*", "A*"}, "AB")
@example({"*", "A*", "AB"}, "AB")
def test_an_exact_name_wins_else_the_first_pattern_in_order(asked: set[str], name: str) -> None:
    # Each pattern has a range of its own, so that the one that is used shows.
    places = {pattern: place for place, pattern in enumerate(sorted(asked))}
    thinning = Thinning({pattern: Range(Boundary("eq", place)) for pattern, place in reversed(places.items())})
    fitting = [
        pattern
        for pattern in sorted(asked)
        if re.fullmatch(
            r"\.".join("[^.]+".join(map(re.escape, part.split("*"))) for part in pattern.split(".")), name
        )
    ]
    winner = name if name in asked else fitting[0] if fitting else None
    for place in places.values():
        for _ in range(2):  # found, and remembered
            passed = thinning.allows({name: place})
            assert bool(passed) == (winner is None or places[winner] == place)


def test_few_names_are_kept_in_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CACHED_NAMES", 3)
    thinning = Thinning({"S*": FAST})
    for number in range(10):
        assert thinning.allows({f"S{number}": 1, f"T{number}": 1}) == {f"T{number}": 1}
    assert len(thinning._found) == 3
