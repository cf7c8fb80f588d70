"""What waits for a flush: held against the readings that came."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.item import Item, View
from stream.pending import Every, Newest, Pending, Windows, pending
from stream.query import Query, Shape
from stream.table import Table
from wire.reading import Message, Reading
from wire.shaping import Function

VIEW = View("json", ("x", "y"))
TOPICS = ["fleets/a/1/telemetry", "fleets/a/2/telemetry"]
FUNCTIONS: frozenset[Function] = frozenset(("min", "max"))

readings = st.builds(
    Reading,
    ts=st.integers(0, 9),
    values=st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9), min_size=1),
    historical=st.booleans(),
)
bodies = st.lists(st.tuples(st.sampled_from(TOPICS), readings | st.builds(Message, ts=st.just(1), data=st.none())))


def added(to: Pending, found: list[tuple[str, Any]], table: Table | None = None) -> tuple[list[Item], Table]:
    """Those of the items that are to be told, and the table that they made. Each topic has a partition of its own,
    which gives ids of its own."""
    table, last, items = Table() if table is None else table, [0] * len(TOPICS), []
    for topic, body in found:
        partition = TOPICS.index(topic)
        last[partition] += 1
        items.append(Item(topic, last[partition], body, partition=partition))
    return [item for item in items if to.add(item, table.apply(item))], table


def places(items: list[Item]) -> list[tuple[int, int]]:
    return [(item.partition, item.order) for item in items]


@pytest.mark.parametrize(
    ("shape", "strategy", "kind"),
    [
        (Shape(), "latest", Newest),
        (Shape(), "batch", Every),
        (Shape(window=FUNCTIONS), "latest", Windows),
        (Shape(delta=True), "latest", Newest),
    ],
)
def test_what_waits_is_what_the_strategy_sends(shape: Shape, strategy: Any, kind: type[Pending]) -> None:
    assert isinstance(pending(Query("#", strategy, 100, VIEW, shape)), kind)


@given(bodies)
def test_every_item_waits_in_its_order(found: list[tuple[str, Any]]) -> None:
    waiting = Every()
    told, _ = added(waiting, found)
    assert [(item.topic, item.body) for item in told] == found
    assert waiting.take() == (told, [])


@given(bodies)
def test_the_newest_states_wait_and_every_message(found: list[tuple[str, Any]]) -> None:
    waiting = Newest()
    told, table = added(waiting, found)
    newest = {item.topic: table.get(item.topic) for item in told if isinstance(item.body, Reading)}
    messages = [item for item in told if isinstance(item.body, Message)]
    items, overtaken = waiting.take()
    assert {item for item in items if isinstance(item.body, Reading)} == set(newest.values())
    assert {item for item in items if isinstance(item.body, Message)} == set(messages)
    assert [item.order for item in items] == sorted(item.order for item in items)
    assert sorted(places(items) + overtaken) == sorted(places(told))


@given(bodies)
def test_windows_say_what_the_readings_came_to(found: list[tuple[str, Any]]) -> None:
    waiting = Windows(VIEW, FUNCTIONS)
    told, table = added(waiting, found)
    items, overtaken = waiting.take()
    assert [item.order for item in items] == sorted(item.order for item in items)
    assert sorted(places(items) + overtaken) == sorted(places(told))
    for item in items:
        if isinstance(item.body, Message):
            continue
        state = table.get(item.topic)
        assert state is not None
        assert (item.order, item.body.ts) == (state.order, state.body.ts)
        numbers: dict[str, list[Any]] = {}
        for reading in told:
            if reading.topic == item.topic:
                for name, value in VIEW.values(reading.body).items() if isinstance(reading.body, Reading) else ():
                    numbers.setdefault(name, []).append(value)
        expected: dict[str, Any] = {name: {"min": min(all), "max": max(all)} for name, all in numbers.items()}
        assert item.values == expected


@given(bodies, st.sampled_from([Every, Newest, lambda: Windows(VIEW, FUNCTIONS)]))
def test_a_look_changes_nothing_and_what_was_taken_is_gone(found: list[tuple[str, Any]], make: Any) -> None:
    waiting: Pending = make()
    added(waiting, found)
    looked, waits = waiting.look(), len(waiting)
    assert waits == len(looked.items)
    taken = waiting.take()
    assert places(taken.items) == places(looked.items)
    assert [item.body for item in taken.items] == [item.body for item in looked.items]
    assert taken.overtaken == looked.overtaken
    assert waiting.take() == ([], [])
    assert len(waiting) == 0


def test_a_window_begins_after_the_one_before() -> None:
    waiting = Windows(VIEW, FUNCTIONS)
    _, table = added(waiting, [(TOPICS[0], Reading(1, {"x": 9}))])
    waiting.take()
    later = Item(TOPICS[0], 2, Reading(2, {"x": 1}))
    assert waiting.add(later, table.apply(later))
    (item,) = waiting.take().items
    values: dict[str, Any] = item.values
    assert values == {"x": {"min": 1, "max": 1}}
