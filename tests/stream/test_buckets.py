"""Buckets and columns, held against the readings one by one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from stream.buckets import Buckets
from stream.columns import columns
from stream.item import View
from wire.protocol import Last, Numbers, WindowItem
from wire.reading import Reading, Value, encode

TOPIC = "fleets/a/v1/telemetry"
ALL = View("json")

numbers = st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False, allow_infinity=False)
others: st.SearchStrategy[Value] = st.none() | st.booleans() | st.sampled_from(["", "a", "7"])
names = st.sampled_from(["a", "b.c", "b.d", 'odd"\\\n', ""])
times = st.integers(-5_000, 5_000)


@st.composite
def logs(draw: st.DrawFn) -> list[Reading]:
    """Mostly readings of the same signals, as devices send them; any others in between."""
    kinds = draw(st.dictionaries(names, st.sampled_from([numbers, others])))
    alike = st.fixed_dictionaries(kinds)
    values = draw(st.sampled_from([alike, alike | st.dictionaries(names, numbers | others)]))
    return draw(st.lists(st.builds(Reading, times, values, historical=st.booleans()), max_size=15))


views = st.sampled_from([ALL, View("json", ("b.*",)), View("json", ("a",)), View("json", ("b.c", "x"))])


def filled(readings: Sequence[Reading], window: int, view: View, pages: int = 1) -> Buckets:
    buckets = Buckets(TOPIC, window, view)
    size = max(1, -(-len(readings) // pages))
    for at in range(0, len(readings), size):
        assert buckets.add([encode(reading) for reading in readings[at : at + size]]) == 0
    return buckets


def plainly(readings: Sequence[Reading], window: int, view: View) -> dict[int, list[Reading]]:
    """The readings of which something is shown, by the begin of their bucket, in the order of their own time."""
    found: dict[int, list[Reading]] = {}
    for reading in sorted(readings, key=lambda reading: reading.ts):
        if view.shows(reading):
            found.setdefault(reading.ts // window * window, []).append(reading)
    return found


@given(logs(), st.sampled_from([1_000, 1_700, 60_000]), views, st.integers(1, 4))
def test_buckets_say_what_their_readings_say(readings: list[Reading], window: int, view: View, pages: int) -> None:
    buckets = filled(readings, window, view, pages)
    expected = plainly(readings, window, view)
    items = list(buckets.items())
    assert len(buckets) == len(items)
    assert [(item.topic, item.ts, item.count) for item in items] == [
        (TOPIC, start, len(expected[start])) for start in sorted(expected)
    ]
    for item in items:
        values = [view.values(reading) for reading in expected[item.ts]]
        assert item.values.keys() == {name for one in values for name in one}
        for name, told in item.values.items():
            check(told, [one[name] for one in values if name in one])


def check(told: Numbers | Last, given: list[Value]) -> None:
    counted = [value for value in given if isinstance(value, int | float) and not isinstance(value, bool)]
    if not counted:
        assert isinstance(told, Last)
        assert told.last is given[-1] or (told.last == given[-1] and isinstance(told.last, str))
        return
    assert isinstance(told, Numbers)
    assert (told.min, told.max) == (min(counted), max(counted))
    assert float(min(counted)) <= told.mean <= float(max(counted))
    scale = sum((abs(Fraction(value)) for value in counted), Fraction(0))
    if scale < sys.float_info.max:
        exact = sum(map(Fraction, counted), Fraction(0)) / len(counted)
        assert abs(Fraction(told.mean) - exact) <= scale / 10**14 + Fraction(1, 10**300)


@given(logs(), st.integers(1, 4))
def test_in_how_many_pages_they_come_makes_no_difference(readings: list[Reading], pages: int) -> None:
    whole, parts = (list(filled(readings, 1_000, ALL, number).items()) for number in (1, pages))
    assert [(item.ts, item.count, item.values.keys()) for item in whole] == [
        (item.ts, item.count, item.values.keys()) for item in parts
    ]


def test_a_late_reading_is_in_the_bucket_of_its_own_time() -> None:
    made = [Reading(5_000, {"n": 1}), Reading(6_100, {"n": 5}), Reading(5_999, {"n": 3}, historical=True)]
    assert list(filled(made, 1_000, ALL, 3).items()) == [
        WindowItem(TOPIC, 5_000, 2, {"n": Numbers(1, 3, 2.0)}),
        WindowItem(TOPIC, 6_000, 1, {"n": Numbers(5, 5, 5.0)}),
    ]


def test_the_last_value_is_the_newest_by_its_own_time_and_of_equal_times_the_one_that_came_later() -> None:
    made = [
        Reading(5_500, {"s": "b"}),
        Reading(5_400, {"s": "a"}),
        Reading(5_500, {"s": "c"}),
        Reading(5_100, {"s": ""}),
    ]
    for pages in range(1, 5):
        ((item,)) = filled(made, 1_000, ALL, pages).items()
        assert item.values == {"s": Last("c")}


def test_a_signal_that_was_ever_a_number_is_told_by_its_numbers() -> None:
    made = [Reading(1, {"s": None, "t": True}), Reading(2, {"s": 4, "t": 1}), Reading(3, {"s": "off", "t": False})]
    for pages in range(1, 4):
        ((item,)) = filled(made, 1_000, ALL, pages).items()
        assert item.values == {"s": Numbers(4, 4, 4.0), "t": Numbers(1, 1, 1.0)}


def test_whole_numbers_stay_what_they_are() -> None:
    big = (1 << 63) + 1
    ((item,)) = filled([Reading(1, {"n": big}), Reading(2, {"n": big})], 1_000, ALL).items()
    assert isinstance(item.values["n"], Numbers)
    assert (item.values["n"].min, item.values["n"].max) == (big, big)


@pytest.mark.parametrize("garbage", [b"", b"nonsense", b"\x80", encode(Reading(1, {})) + b"\x00", b"\x81\xa2ts\x01"])
def test_what_can_t_be_read_is_counted_and_harms_nothing(garbage: bytes) -> None:
    good = encode(Reading(1, {"n": 1}))
    for bodies in ([garbage, good, good], [good, garbage, good], [good, good, garbage]):
        buckets = Buckets(TOPIC, 1_000, ALL)
        assert buckets.add(bodies) == 1
        assert list(buckets.items()) == [WindowItem(TOPIC, 0, 2, {"n": Numbers(1, 1, 1.0)})]


@given(logs(), views)
def test_columns_hold_what_the_readings_hold(readings: list[Reading], view: View) -> None:
    found = columns([encode(reading) for reading in readings], view) if readings else None
    shown = sorted((reading for reading in readings if view.shows(reading)), key=lambda reading: reading.ts)
    if found is None:
        return
    assert found.ts == [reading.ts for reading in shown]
    assert found.unread == 0
    for place, reading in enumerate(shown):
        values = {name: column[place] for name, _, column in found.signals if column[place] is not UNSET}
        assert repr(sorted(values.items())) == repr(sorted(view.values(reading).items()))
