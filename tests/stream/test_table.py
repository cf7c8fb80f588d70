"""The table, held against the plainest account of it: of each signal, the value with the newest (ts, id)."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.item import Item
from stream.table import State, Table, merge
from wire.cursor import Cursor
from wire.reading import Message, Reading, Value
from wire.topics import matches

TOPIC = "fleets/berlin/v1/telemetry"

topics = st.sampled_from(
    [
        "fleets/a/v1/telemetry",
        "fleets/a/v1/status",
        "fleets/a/v2/telemetry",
        "fleets/b.c/v1/telemetry",
        "fleets/bxc/v",
    ]
)
PARTITIONS = 2


def partition(topic: str) -> int:
    """Where a topic is here: v1 in the one, the others in the other."""
    return int("/v1/" not in topic)


cursors = st.builds(lambda *orders: Cursor(orders), *[st.integers(0, 10)] * PARTITIONS)
filters = st.sampled_from(
    [
        "#",
        "+/#",
        "fleets/#",
        "fleets/a/#",
        "fleets/+/v1/#",
        "fleets/+/+/telemetry",
        "fleets/a/v1/telemetry",
        "fleets/a/v1/telemetry/#",
        "fleets/b.c/+/+",
        "fleets/+",
        "+/+/+",
        "rooms/#",
    ]
)


@st.composite
def sets_of_readings(draw: st.DrawFn, historical: bool = True) -> list[Item]:
    """Readings with distinct ids; their ts are few, so that equal, late and early ones are common."""
    bodies = draw(
        st.lists(
            st.builds(
                Reading,
                ts=st.integers(0, 4),
                values=st.dictionaries(st.sampled_from("abc"), st.integers(0, 99), min_size=1),
                seq=st.none() | st.integers(0, 99),
                historical=st.booleans() if historical else st.just(False),
                clock=st.sampled_from(["device", "arrival"]),
            ),
            max_size=5,
        )
    )
    return [Item(TOPIC, order, body) for order, body in enumerate(bodies, 1)]


class Plain(NamedTuple):
    """A state by the model."""

    values: dict[str, Value]
    ts: int
    seq: int | None
    clock: str
    orders: set[int]  # of the readings that have given a signal


def plainly(items: list[Item]) -> Plain | None:
    newest: dict[str, tuple[tuple[int, int], Item, Value]] = {}
    for item in items:
        assert isinstance(item.body, Reading)
        if not item.body.historical:
            for name, value in item.body.values.items():
                stamp = (item.body.ts, item.order)
                if name not in newest or stamp > newest[name][0]:
                    newest[name] = (stamp, item, value)
    if not newest:
        return None
    _, head, _ = max(newest.values(), key=lambda found: found[0])
    assert isinstance(head.body, Reading)
    return Plain(
        {name: value for name, (_, _, value) in newest.items()},
        head.body.ts,
        head.body.seq,
        head.body.clock,
        {item.order for _, item, _ in newest.values()},
    )


def merged(items: list[Item]) -> Item | None:
    table = Table()
    for item in items:
        table.apply(item)
    found = table.matching("#")
    assert len(found) <= 1
    return found[0] if found else None


@given(sets_of_readings())
def test_every_order_of_merging_gives_the_newest_of_each_signal(items: list[Item]) -> None:
    expected = plainly(items)
    for order in permutations(items):
        found = merged(list(order))
        if expected is None:
            assert found is None
            continue
        assert found is not None
        assert isinstance(found.body, Reading)
        body = found.body
        assert (body.values, body.ts, body.seq, body.clock) == expected[:4]
        assert not body.historical
        # Not before any reading that it shows, so that whoever has not seen one of them is given the state.
        assert max(expected.orders) <= found.order <= len(items)


@given(sets_of_readings())
def test_in_the_order_of_the_feed_a_change_is_told_and_has_the_reading_s_id(items: list[Item]) -> None:
    table = Table()
    for place, item in enumerate(items):
        before, after = plainly(items[:place]), plainly(items[: place + 1])
        told = table.apply(item)
        if before == after:
            assert told is None
        else:
            assert told is not None
            assert told.order == item.order
            assert [told] == table.matching("#")


@given(sets_of_readings(historical=False))
def test_a_reading_merged_twice_changes_nothing(items: list[Item]) -> None:
    table = Table()
    for item in items:
        table.apply(item)
    before = table.matching("#")
    assert all(table.apply(item) is None for item in items)
    assert table.matching("#") == before


def test_the_usual_reading_is_its_own_state_so_that_its_bytes_are_shared() -> None:
    table = Table()
    for order in range(1, 4):
        item = Item(TOPIC, order, Reading(order, {"a": order, "b": order}))
        assert table.apply(item) is item


def test_merging_alters_no_state_that_is_already_out() -> None:
    table = Table()
    table.apply(Item(TOPIC, 1, Reading(1, {"a": 1})))
    (first,) = table.matching("#")
    table.apply(Item(TOPIC, 2, Reading(2, {"b": 2})))
    (second,) = table.matching("#")
    table.apply(Item(TOPIC, 3, Reading(3, {"a": 3})))
    assert first.body == Reading(1, {"a": 1})
    assert second.body == Reading(2, {"a": 1, "b": 2})


def test_a_value_of_none_is_a_value() -> None:
    found = merged([Item(TOPIC, 1, Reading(1, {"a": 1, "b": 1})), Item(TOPIC, 2, Reading(2, {"a": None}))])
    assert found is not None
    assert found.body == Reading(2, {"a": None, "b": 1})


def test_a_message_is_no_state() -> None:
    table = Table()
    assert table.apply(Item("rooms/ops", 1, Message(1, "hello"))) is None
    assert len(table) == 0
    assert merge(State(Item(TOPIC, 1, Reading(1, {}))), Item(TOPIC, 2, Message(2, "hello"))) is None


def filled(orders: dict[str, int]) -> Table:
    table = Table()
    for topic, order in orders.items():
        table.apply(Item(topic, order, Reading(1, {"a": order}), partition=partition(topic)))
    return table


@given(st.dictionaries(topics, st.integers(1, 9), max_size=5), filters, st.none() | cursors)
@example({"fleets/a/v1/telemetry": 5}, "fleets/a/v1/telemetry/#", None)
@example({"fleets/a/v1/telemetry": 5, "fleets/a/v2/telemetry": 5}, "fleets/#", Cursor((4, 5)))
def test_matching_agrees_with_the_grammar_of_filters(
    states: dict[str, int], filter: str, after: Cursor | None
) -> None:
    found = filled(states).matching(filter, after)
    expected = {
        (topic, order)
        for topic, order in states.items()
        if matches(filter, topic) and (after is None or order > after[partition(topic)])
    }
    assert {(item.topic, item.order) for item in found} == expected
    assert [item.order for item in found] == sorted(item.order for item in found)
    assert all(item.partition == partition(item.topic) for item in found)


@given(st.sets(topics, max_size=5), st.lists(filters, max_size=3), st.integers(0, PARTITIONS - 1))
def test_keep_forgets_what_no_filter_matches(held: set[str], kept: list[str], number: int) -> None:
    table = filled(dict.fromkeys(held, 1))
    table.keep(number, kept)
    expected = {
        topic for topic in held if partition(topic) != number or any(matches(filter, topic) for filter in kept)
    }
    assert {item.topic for item in table.matching("#")} == expected
    assert len(table) == len(expected)
    assert all((table.get(topic) is not None) == (topic in expected) for topic in held)


@given(st.dictionaries(topics, st.integers(1, 9), max_size=5), st.integers(0, PARTITIONS - 1), st.integers(0, 10))
def test_forget_leaves_the_states_of_a_partition_up_to_an_id(states: dict[str, int], number: int, after: int) -> None:
    table = filled(states)
    table.forget(number, after)
    expected = {topic for topic, order in states.items() if partition(topic) != number or order <= after}
    assert {item.topic for item in table.matching("#")} == expected
    assert len(table) == len(expected)


def test_a_merged_state_is_of_the_partition_of_its_readings() -> None:
    table = Table()
    for order, name in enumerate("ab", 1):
        table.apply(Item(TOPIC, order, Reading(order, {name: order}), partition=1))
    (state,) = table.matching("#", Cursor((9, 1)))
    assert (state.partition, state.order, state.values) == (1, 2, {"a": 1, "b": 2})


def test_a_table_of_its_own_goes_its_own_way_with_the_stamps_it_had() -> None:
    table, other = Table(), "fleets/other/v1/telemetry"
    for order, (ts, name) in enumerate([(1, "a"), (9, "b")], 1):
        table.apply(Item(TOPIC, order, Reading(ts, {name: order})))
    table.apply(Item(other, 3, Reading(1, {"a": 1})))
    own = table.only(TOPIC)
    assert own.get(other) is None
    assert own.apply(Item(TOPIC, 4, Reading(5, {"a": 4, "b": 4}))) is not None  # newer than a, older than b
    states = [found.get(TOPIC) for found in (own, table)]
    assert [state and state.values for state in states] == [{"a": 4, "b": 2}, {"a": 1, "b": 2}]


@pytest.mark.parametrize("first", [Reading(5, {}), Reading(5, {"a": 1})])
def test_a_reading_without_values_harms_nothing(first: Reading) -> None:
    empty, late = Item(TOPIC, 2, Reading(6, {})), Item(TOPIC, 3, Reading(4, {"b": 2}))
    found = merged([Item(TOPIC, 1, first), empty, late])
    assert found is not None
    assert isinstance(found.body, Reading)
    assert found.body.values == first.values | {"b": 2}
