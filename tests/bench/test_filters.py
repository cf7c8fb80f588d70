"""`make bench-filters`: which filters it asks for, how it knows that something is wrong, and one short run."""

from __future__ import annotations

import pytest

from bench.filters import FLEETS, differs, mixture, sample, silenced, vehicles
from bench.listener import Arrival
from tests.bench.benches import bench
from tests.programs import find
from wire.topics import check_filter, matches, parse

TOPICS = vehicles()


def test_ten_thousand_vehicles_of_twenty_fleets() -> None:
    assert len(set(TOPICS)) == 10_000
    assert len({topic.split("/")[1] for topic in TOPICS}) == FLEETS
    for topic in TOPICS:
        parse(topic)


def test_filters_are_different_and_of_every_shape() -> None:
    chosen = mixture(5_000)
    assert len(set(map(check_filter, chosen))) == 5_000
    shapes = {"/".join(level if level in "+#" else "x" for level in filter.split("/")) for filter in chosen}
    assert shapes == {"x/x/x/x", "x/x/x/#", "x/x/x/+", "x/+/x/x", "x/x/+/x"}
    assert chosen == mixture(5_000)


def test_those_that_name_their_fleet_come_first() -> None:
    named = [filter.split("/")[1] != "+" for filter in mixture(1_000)]
    assert named == sorted(named, reverse=True)
    assert not named[-1]


def test_a_silenced_filter_looks_as_deep_and_matches_no_telemetry() -> None:
    for filter in mixture(200):
        silent = check_filter(silenced(filter))
        assert silent.split("/")[:3] == filter.split("/")[:3]
        assert not any(matches(silent, topic) for topic in TOPICS[:2_000])
        assert any(matches(silent, topic.replace("telemetry", "alerts")) for topic in TOPICS)


def test_a_sample_knows_what_its_filters_match() -> None:
    filters = ["fleets/f1/+/telemetry", "fleets/+/v3/telemetry", "fleets/f2/v4/#"]
    found = sample(filters, TOPICS)
    assert {filter: len(topics) for filter, topics in found.items()} == dict(zip(filters, (500, 20, 1), strict=True))


@pytest.mark.parametrize(
    ("came", "said"),
    [
        ([("a", "1-1"), ("b", "1-2"), ("a", "1-3")], ""),
        ([("b", "1-2"), ("a", "1-1"), ("a", "1-3")], ""),  # only of one topic
        ([("a", "1-3"), ("b", "1-2"), ("a", "1-1")], "the ids of a do not grow"),
        ([("a", "1-1"), ("b", "1-2"), ("a", "1-1")], "the ids of a do not grow"),
        ([("a", "1-1"), ("b", "1-2")], "2 readings came, and 3 match"),
        ([("a", "1-1"), ("b", "1-2"), ("b", "1-3")], "3 readings came, and 3 match"),
        ([("a", "1-1"), ("b", "1-2"), ("a", "1-3"), ("c", "1-4")], "4 readings came, and 3 match"),
    ],
)
def test_sees_what_is_lost_doubled_or_out_of_order(came: list[Arrival], said: str) -> None:
    assert differs(came, {"a": 2, "b": 1}) == said


async def test_what_is_delivered_is_what_matches() -> None:
    find("redis-server", package="redis-server")
    ended = await bench("bench.filters", "--filters", "60", "--readings", "3000", "--repeat", "1", "--json")
    assert ended.status == 0, ended.out + ended.err
    figures = ended.figures
    assert figures["filters whose readings were looked at"] == 60
    assert figures["patterns in Redis, filters name their fleet"] == FLEETS
    assert figures["readings sent for one that came"] > 0.9  # each fleet has a filter for all of it
