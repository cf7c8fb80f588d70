"""Windows, held against the readings all at once."""

from __future__ import annotations

import sys
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from stream.window import Accumulator, single
from wire.reading import Value
from wire.shaping import FUNCTIONS, Function

ALL = frozenset(FUNCTIONS)

numbers = st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False, allow_infinity=False)
others: st.SearchStrategy[Value] = st.none() | st.booleans() | st.sampled_from(["", "a", "7"])
readings = st.dictionaries(st.sampled_from("abc"), numbers | others)
functions: st.SearchStrategy[frozenset[Function]] = st.frozensets(st.sampled_from(FUNCTIONS), min_size=1)


def window(found: list[dict[str, Value]]) -> Accumulator:
    accumulator = Accumulator()
    for values in found:
        accumulator.add(values)
    return accumulator


@given(st.lists(readings, max_size=12), functions)
def test_a_window_says_what_its_readings_say(found: list[dict[str, Value]], asked: frozenset[Function]) -> None:
    result = window(found).result(asked)
    assert result.keys() == {name for values in found for name in values}
    for name, told in result.items():
        given = [values[name] for values in found if name in values]
        counted = [value for value in given if isinstance(value, int | float) and not isinstance(value, bool)]
        if not counted:
            assert told is given[-1]
            continue
        assert isinstance(told, dict)
        assert list(told) == [function for function in FUNCTIONS if function in asked]
        low, high = min(counted), max(counted)
        assert told.get("min", low) == low
        assert told.get("max", high) == high
        mean = told.get("mean")
        if mean is not None:
            assert float(low) <= mean <= float(high)
            exact = sum(map(Fraction, counted), Fraction(0)) / len(counted)
            scale = sum((abs(Fraction(value)) for value in counted), Fraction(0))
            if scale < sys.float_info.max:
                assert abs(Fraction(mean) - exact) <= scale / 10**15 + Fraction(1, 10**300)


@given(readings, functions)
def test_a_single_reading_is_a_window(values: dict[str, Value], asked: frozenset[Function]) -> None:
    assert single(values, asked) == window([values]).result(asked)


def test_the_mean_of_very_many_is_as_good_as_of_few() -> None:
    accumulator = Accumulator()
    accumulator.add({"S": 1e16})
    for _ in range(200_000):  # each is less than what the sum's last digit says
        accumulator.add({"S": 0.75})
    accumulator.add({"S": -1e16})
    assert accumulator.result({"mean"}) == {"S": {"mean": 150_000 / 200_002}}


def test_sums_beyond_a_float_give_a_number() -> None:
    huge = sys.float_info.max
    assert window([{"S": huge}, {"S": huge}]).result(ALL) == {"S": {"min": huge, "max": huge, "mean": huge}}


def test_memory_is_by_signal() -> None:
    accumulator = window([{"S": number, "T": str(number)} for number in range(1_000)])
    (numbers,) = accumulator._numbers.values()
    assert not hasattr(numbers, "__dict__")
    assert accumulator._others == {"T": "999"}


def test_values_that_are_not_numbers_keep_their_last_and_do_not_count_beside_numbers() -> None:
    found: list[dict[str, Value]] = [
        {"Gear": "P", "IsOpen": True, "Speed": None},
        {"Gear": "D", "Speed": 10},
        {"IsOpen": False, "Speed": float("nan")},
        {"Speed": 20},
    ]
    assert window(found).result(ALL) == {
        "Gear": "D",
        "IsOpen": False,
        "Speed": {"min": 10, "max": 20, "mean": 15.0},
    }
    assert window([]).result(ALL) == {}
