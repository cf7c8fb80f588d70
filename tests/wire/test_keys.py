"""Keys share a hash tag where they must; patterns cover a filter, and no topic twice."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wire import keys
from wire.topics import KINDS, check_filter, matches, parse

names = st.sampled_from(["a", "b", "rooms", "fleets"])
vehicles = st.builds("fleets/{}/{}/{}".format, names, names, st.sampled_from(KINDS))
rooms = st.builds("rooms/{}".format, names)
topics = vehicles | rooms
levels = st.sampled_from(["fleets", "rooms", "a", "b", "+", *KINDS])
exact_filters = st.lists(levels, min_size=1, max_size=5)
open_filters = st.lists(levels, max_size=4).map(lambda found: [*found, "#"])
filters = (exact_filters | open_filters).map("/".join)
# Filters made from a topic match it often; the others seldom do.
likely = st.builds(
    lambda topic, wild, cut: "/".join(
        ["+" if w else level for level, w in zip(topic.split("/"), wild, strict=False)][:cut]
        + (["#"] if cut < 4 else [])
    ),
    topics,
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.integers(0, 4),
)


def tag(key: str) -> str:
    """The part of a key that Redis Cluster hashes."""
    return key.partition("{")[2].partition("}")[0]


@given(filters | likely, topics)
@example("#", "rooms/a")
@example("+/#", "fleets/a/b/status")
@example("fleets/#", "fleets/a/b/status")
@example("rooms/#", "rooms/a")
@example("+/+", "rooms/a")
@example("+/a/#", "rooms/a")
def test_exactly_one_pattern_covers_each_topic_that_a_filter_matches(filter: str, topic: str) -> None:
    covering = [pattern for pattern in keys.patterns(check_filter(filter)) if fnmatchcase(topic, pattern)]
    assert len(covering) <= 1
    if matches(filter, topic):
        assert len(covering) == 1


@given(filters, filters, topics)
def test_patterns_of_two_filters_are_equal_or_nested(one: str, other: str, topic: str) -> None:
    covering = {p for f in (one, other) for p in keys.patterns(f) if fnmatchcase(topic, p)}
    assert all(fnmatchcase(a, b) or fnmatchcase(b, a) for a, b in combinations(covering, 2))


@pytest.mark.parametrize("filter", ["a", "a/#", "+", "fleets", "rooms", "commands/+"])
def test_a_filter_that_no_topic_can_match_costs_nothing(filter: str) -> None:
    assert keys.patterns(filter) == ()


@given(vehicles)
def test_all_keys_of_a_vehicle_share_a_hash_tag(topic: str) -> None:
    vehicle = topic.rpartition("/")[0]
    others = [f"{vehicle}/{kind}" for kind in KINDS]
    found = [key(other) for key in (keys.log, keys.state) for other in others]
    assert {tag(key) for key in found} == {vehicle}
    assert len(set(found)) == len(found)


@given(topics, topics)
def test_no_two_topics_share_a_key(one: str, other: str) -> None:
    parse(one)
    assert (keys.log(one) == keys.log(other)) == (one == other)
    assert (keys.state(one) == keys.state(other)) == (one == other)
    assert keys.log(one) != keys.state(other)
    assert not {keys.log(one), keys.state(one)} & {keys.CLOCK, keys.FLEETS, keys.ROOMS, keys.DEAD, keys.fleet("a")}


@given(rooms)
def test_both_keys_of_a_room_share_a_hash_tag(topic: str) -> None:
    assert tag(keys.log(topic)) == tag(keys.state(topic)) == topic


def test_the_keys_are_those_of_the_contract() -> None:
    assert keys.log("fleets/berlin/v42/telemetry") == "fw:{fleets/berlin/v42}:telemetry:log"
    assert keys.state("fleets/berlin/v42/telemetry") == "fw:{fleets/berlin/v42}:telemetry:state"
    assert keys.log("rooms/ops") == "fw:{rooms/ops}:log"
    assert keys.fleet("berlin") == "fw:fleet:{berlin}"
