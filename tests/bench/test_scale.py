"""`make bench-scale`: who follows what, how a loss is seen, and one short run."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fleets import Fleets
from bench.follower import Event, Item, Receipt
from bench.followers import Difference, Outcome, Plan, difference, place
from tests.bench.benches import bench
from tests.programs import find
from wire.topics import matches

SMALL = ("--dashboards=12", "--fleets=3", "--vehicles=30", "--rate=300", "--seconds=1", "--rounds=1")
LOGS = {"a": ["1-0", "3-0"], "b": ["2-0"]}


def receipts(*frames: list[str]) -> list[Receipt]:
    return [Receipt(Event("subscription", data=tuple(Item("a", id, 5) for id in ids)), 0, 9) for ids in frames]


@given(st.integers(1, 7), st.integers(0, 40))
def test_each_vehicle_is_of_one_fleet(fleets: int, vehicles: int) -> None:
    layout = Fleets(fleets, vehicles)
    assert len(set(layout.topics())) == vehicles
    for number, topic in enumerate(layout.topics()):
        assert [matches(layout.filter(fleet), topic) for fleet in range(fleets)].index(True) == number % fleets


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4))
def test_clients_are_spread_evenly_over_fleets_and_nodes(fleets: int, nodes: int, rows: int) -> None:
    plan = Plan(Fleets(fleets, 100), list(range(nodes)), clients=fleets * nodes * rows)
    places = Counter(place(plan, number) for number in range(plan.clients))
    assert places == dict.fromkeys(((fleet, node) for fleet in range(fleets) for node in range(nodes)), rows)


@pytest.mark.parametrize(
    ("frames", "strategy", "found"),
    [
        (receipts(["1-0", "2-0"], ["3-0"]), "batch", Difference(0, 0, 0)),
        (receipts(["1-0"], [], ["3-0"]), "batch", Difference(1, 0, 0)),
        (receipts(["1-0", "2-0"], ["2-0", "3-0"]), "batch", Difference(0, 1, 0)),
        (receipts(["1-0", "2-0"], ["3-0", "4-0"]), "batch", Difference(0, 0, 1)),
        (receipts(["2-0"], ["3-0"]), "latest", Difference(0, 0, 0)),  # 1-0 was overtaken
        (receipts(["1-0"], ["2-0"]), "latest", Difference(1, 0, 0)),
        (receipts(["2-0"], ["2-0", "3-0"]), "latest", Difference(0, 1, 0)),
    ],
)
def test_sees_what_is_missing_doubled_or_unknown(frames: list[Receipt], strategy: str, found: Difference) -> None:
    assert difference(frames, LOGS, strategy) == found


def test_says_that_redis_has_not_what_was_stored() -> None:
    assert Outcome(10, 0, 0, {}).wrong(10) == []
    assert Outcome(9, 0, 0, {"lack readings": 2}).wrong(10) == [
        "Redis has 9 of 10 readings",
        "2 clients: lack readings",
    ]


async def test_every_dashboard_has_the_same_at_one_node_and_at_two() -> None:
    find("redis-server", package="redis-server")
    ended = await bench("bench.scale", *SMALL, "--nodes=1,2", "--json")
    assert ended.status == 0, ended.out + ended.err
    for name in ("1 node", "2 nodes"):
        assert ended.figures[f"{name}, deliveries a second"] > 0
        assert ended.figures[f"{name}, CPU of the nodes, a million deliveries"] > 0
    assert ended.figures["2 nodes, CPU of a delivery / 1 node"] > 0


async def test_says_which_number_makes_no_sense() -> None:
    ended = await bench("bench.scale", "--nodes=1,0")
    assert ended.status == 2
    assert "--nodes: at least 1" in ended.err
