"""Cursors: their order is that of sets, and they come through a text unchanged."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wire.cursor import Cursor, format_cursor, parse_cursor
from wire.ids import LAST, SEQUENCE_BITS, format_id, parse_id

MOST = 20  # partitions

milliseconds = st.integers(0, 10**15 - 1)
counters = st.integers(0, 3) | st.integers(0, (1 << SEQUENCE_BITS) - 1)
orders = st.just(0) | st.builds(lambda ms, n: ms << SEQUENCE_BITS | n, milliseconds, counters)
# As they are: ids of all partitions of about the same time, and some that have none.
near = st.tuples(milliseconds, st.lists(st.tuples(st.integers(-1, 9), st.integers(0, 3)), min_size=1, max_size=MOST))
cursors = st.lists(orders, min_size=1, max_size=MOST).map(Cursor) | near.map(
    lambda found: Cursor(max(0, found[0] - back) << SEQUENCE_BITS | n if back >= 0 else 0 for back, n in found[1])
)
few = st.tuples(*[st.integers(0, 3)] * 3).map(Cursor)
base64url = st.text(string.ascii_letters + string.digits + "-_=", max_size=60)


# As text


@given(cursors)
@example(Cursor((0,) * MOST))
@example(Cursor((LAST,) * MOST))
@example(Cursor((LAST, *(0,) * 19)))
@example(Cursor((0, 1)))
@example(Cursor((1 << SEQUENCE_BITS, (1 << SEQUENCE_BITS) - 1)))
def test_format_is_the_inverse_of_parse(cursor: Cursor) -> None:
    text = format_cursor(cursor)
    assert text.isascii()
    assert parse_cursor(text, len(cursor)) == cursor
    assert isinstance(parse_cursor(text, len(cursor)), Cursor)


@given(orders)
def test_the_cursor_of_a_single_partition_is_its_id(order: int) -> None:
    assert format_cursor(Cursor((order,))) == format_id(order)
    assert parse_cursor(format_id(order), 1) == Cursor((order,))


def test_a_cursor_of_many_partitions_is_short() -> None:
    now, second = 1_764_000_000_123, 1_000
    cursor = Cursor(parse_id(f"{now - n * second}-{n % 7}") for n in range(16))
    assert len(format_cursor(cursor)) < 80


@given(cursors, st.integers(1, MOST))
def test_a_cursor_of_so_many_partitions_is_none_of_another_number(cursor: Cursor, others: int) -> None:
    if others != len(cursor):
        with pytest.raises(ValueError, match=r"cursor|not an id"):
            parse_cursor(format_cursor(cursor), others)


@given(cursors, st.data())
def test_a_cursor_that_is_cut_off_is_none(cursor: Cursor, data: st.DataObject) -> None:
    if len(cursor) > 1:
        text = format_cursor(cursor)
        with pytest.raises(ValueError, match=r"cursor|base64|padded|padding|data characters"):
            parse_cursor(text[: data.draw(st.integers(0, len(text) - 1))], len(cursor))


@given(st.text(max_size=20) | base64url | base64url.map("c".__add__), st.integers(1, MOST))
@example("c", 2)
@example("c" + "_" * 60, 3)
@example("c" + "A" * 4_000, 16)
@example("cé", 2)
@example("c\ud800", 2)
@example("c====", 2)
@example("cAA AA", 2)
@example("c" + "-" * 600, 20)
def test_garbage_raises_value_error_and_nothing_else(text: str, partitions: int) -> None:
    try:
        found = parse_cursor(text, partitions)
    except ValueError as error:
        assert len(str(error)) < 150  # noqa: PT017
        return
    assert len(found) == partitions
    assert all(0 <= order < 10**15 << SEQUENCE_BITS for order in found)
    assert parse_cursor(format_cursor(found), partitions) == found


# Order


@given(few, few)
def test_one_is_at_most_another_when_it_is_in_every_partition(one: Cursor, other: Cursor) -> None:
    at_most = all(mine <= its for mine, its in zip(one, other, strict=True))
    assert (one <= other) == (other >= one) == at_most
    assert (one < other) == (other > one) == (at_most and one != other)
    assert (one == other) == (one <= other <= one)
    assert (one == other) == (hash(one) == hash(other) and tuple(one) == tuple(other))


@given(few, few, few)
def test_the_order_is_partial(one: Cursor, other: Cursor, third: Cursor) -> None:
    assert one <= one
    assert not one < one
    if one <= other <= third:
        assert one <= third
    if one < other <= third:
        assert one < third


@given(few, few, few)
def test_later_and_earlier_are_the_nearest_bounds_of_both(one: Cursor, other: Cursor, bound: Cursor) -> None:
    later, earlier = one.later(other), one.earlier(other)
    assert earlier <= one <= later
    assert earlier <= other <= later
    assert (later <= bound) == (one <= bound and other <= bound)
    assert (bound <= earlier) == (bound <= one and bound <= other)
    assert later == other.later(one)
    assert earlier == other.earlier(one)
    assert (one <= other) == (later == other) == (earlier == one)


@given(few)
def test_everything_comes_after_the_start(cursor: Cursor) -> None:
    start = Cursor.start(3)
    assert start <= cursor
    assert start.later(cursor) == cursor
    assert not cursor < start


@given(few, st.integers(0, 2), st.integers(0, 9))
def test_a_step_changes_one_partition(cursor: Cursor, number: int, order: int) -> None:
    after = cursor.at(number, order)
    assert [*after] == [order if n == number else cursor[n] for n in range(3)]
    assert isinstance(after, Cursor)
    assert (after >= cursor) == (order >= cursor[number])


@given(few, few, st.sets(st.integers(0, 2)))
def test_of_some_partitions_one_of_the_others_another(one: Cursor, other: Cursor, numbers: set[int]) -> None:
    mixed: Any = one.only(numbers, other)
    assert [*mixed] == [one[n] if n in numbers else other[n] for n in range(3)]
    assert one.earlier(other) <= mixed <= one.later(other)
