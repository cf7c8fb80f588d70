"""Ids and their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.ids import format_id, parse_id

milliseconds = st.integers(0, 10**15 - 1)
counters = st.integers(0, 10**9 - 1)
pairs = st.tuples(milliseconds | st.integers(0, 2), counters | st.integers(0, 2))


def written(pair: tuple[int, int]) -> str:
    return f"{pair[0]}-{pair[1]}"


@given(pairs, pairs)
def test_ids_order_as_redis_orders_them(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (parse_id(written(one)) < parse_id(written(other))) == (one < other)
    assert (parse_id(written(one)) == parse_id(written(other))) == (one == other)


@given(pairs)
def test_format_is_the_inverse_of_parse(pair: tuple[int, int]) -> None:
    assert format_id(parse_id(written(pair))) == written(pair)


@given(pairs)
def test_an_id_is_read_from_bytes_too(pair: tuple[int, int]) -> None:
    assert parse_id(written(pair).encode()) == parse_id(written(pair))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "a-1",
        "1-a",
        "1-2-3",
        " 1-2",
        "1 -2",
        "-1-2",
        "1e3-0",
        "1-2\n",
        "\u0661-\u0662",
        "1" * 16 + "-0",
        "0-" + "1" * 11,
        "0-4294967296",  # it would order behind 0-0 of a later millisecond
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        parse_id(text)


@given(st.binary(max_size=12) | st.text(max_size=12))
def test_anything_is_an_id_or_refused(text: str | bytes) -> None:
    try:
        order = parse_id(text)
    except ValueError:
        return
    assert parse_id(format_id(order)) == order
