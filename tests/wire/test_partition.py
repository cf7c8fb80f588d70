"""Partitions: where each topic is, and where all that a filter matches may be."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wire import keys
from wire.partition import MOST_PARTITIONS, SLOTS, WHOLE, Layout, Partition, slot
from wire.topics import KINDS, check_filter, matches

names = st.sampled_from([*"abcdefgh", "rooms", "fleets", "v1.2", "x:y"])
vehicles = st.builds("fleets/{}/{}/{}".format, names, names, st.sampled_from(KINDS))
rooms = st.builds("rooms/{}".format, names)
topics = vehicles | rooms
levels = st.sampled_from(["fleets", "rooms", "a", "b", "+", *KINDS])
exact = st.lists(levels, min_size=1, max_size=5)
filters = (exact | exact.map(lambda found: [*found[:4], "#"])).map("/".join) | st.just("#")
# Made from a topic, so that they match it often.
likely = st.builds(
    lambda topic, wild, cut: "/".join(
        ["+" if w else level for level, w in zip(topic.split("/"), wild, strict=False)][:cut]
        + (["#"] if cut < 4 else [])
    ),
    topics,
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.integers(0, 4),
)
layouts = st.sampled_from([0, 2, 3, 16, MOST_PARTITIONS]).map(Layout)


# Layouts


def test_without_a_cluster_there_is_one_partition_whose_keys_have_no_tag() -> None:
    layout = Layout()
    assert len(layout) == 1
    assert layout.partitions == (WHOLE,)
    assert WHOLE.key(keys.CLOCK) == "fw:clock"
    assert layout.of("fleets/a/b/status") is layout.of("rooms/a") is layout.of("") is WHOLE
    assert layout.matching("fleets/a/b/status") == layout.matching("#") == (WHOLE,)


@given(layouts, st.text(max_size=20) | topics)
def test_every_text_has_one_place(layout: Layout, topic: str) -> None:
    assert layout.of(topic) in layout.partitions
    assert layout.of(topic) == Layout(len(layout) if len(layout) > 1 else 0).of(topic)


@given(layouts, names, names, st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_all_of_a_vehicle_is_in_one_place(layout: Layout, fleet: str, vehicle: str, kind: str, other: str) -> None:
    stem = f"fleets/{fleet}/{vehicle}"
    assert layout.of(f"{stem}/{kind}") == layout.of(f"{stem}/{other}") == layout.of(stem)


@pytest.mark.parametrize(
    ("topic", "number"),
    [("fleets/berlin/v1/telemetry", 9), ("fleets/berlin/v2/telemetry", 3), ("rooms/ops", 8), ("rooms/a", 11)],
)
def test_a_topic_s_place_never_changes(topic: str, number: int) -> None:
    """What is stored is looked for there, by every release."""
    assert Layout(16).of(topic).number == number


@given(layouts, filters | likely, topics)
@example(Layout(16), "fleets/a/b", "fleets/a/b/status")
@example(Layout(16), "fleets/a/b/#", "fleets/a/b/status")
@example(Layout(16), "fleets/a/+/status", "fleets/a/b/status")
@example(Layout(16), "rooms/a/#", "rooms/a")
@example(Layout(16), "rooms/#", "rooms/a")
@example(Layout(16), "+/a/#", "rooms/a")
@example(Layout(16), "#", "rooms/a")
def test_a_filter_s_places_are_those_of_what_it_matches(layout: Layout, filter: str, topic: str) -> None:
    found = layout.matching(check_filter(filter))
    assert len(set(found)) == len(found) > 0
    if matches(filter, topic):
        assert layout.of(topic) in found


@given(topics)
def test_the_filter_of_one_vehicle_or_room_has_one_place(topic: str) -> None:
    layout = Layout(16)
    assert layout.matching(topic) == (layout.of(topic),)
    if topic.startswith("fleets/"):
        vehicle = topic.rpartition("/")[0]
        for filter in (f"{vehicle}/#", f"{vehicle}/+"):
            assert layout.matching(filter) == (layout.of(topic),)


def test_topics_are_spread_evenly() -> None:
    layout = Layout(16)
    found = Counter(layout.of(f"fleets/berlin/v{n}/telemetry").number for n in range(16_000))
    assert len(found) == 16
    assert max(found.values()) < 1.25 * min(found.values())


# Slots


@pytest.mark.parametrize("partitions", [2, 3, 5, 16, 100, MOST_PARTITIONS])
def test_tags_lie_evenly_in_the_slots(partitions: int) -> None:
    layout = Layout(partitions)
    assert [partition.number for partition in layout.partitions] == list(range(partitions))
    slots = [slot(partition.tag) for partition in layout.partitions]
    share = SLOTS / partitions
    assert all(n * share <= found < (n + 1) * share for n, found in enumerate(slots))
    assert all(one < other for one, other in pairwise(slots))


@pytest.mark.parametrize("masters", [1, 2, 3, 4, 6, 16])
def test_masters_that_share_the_slots_in_ranges_have_about_as_many_partitions(masters: int) -> None:
    found = Counter(slot(partition.tag) * masters // SLOTS for partition in Layout(16).partitions)
    assert len(found) == masters
    assert max(found.values()) - min(found.values()) <= 2


@given(st.sampled_from(Layout(16).partitions), topics)
def test_all_keys_of_a_partition_are_in_its_slot(partition: Partition, topic: str) -> None:
    """Also those that have a tag of their own: Redis looks at the first."""
    found = [keys.CLOCK, keys.FLEETS, keys.fleet("a"), keys.log(topic), keys.state(topic), keys.FEED, topic]
    assert {slot(partition.key(name)) for name in found} == {slot(partition.tag)}


# What redis-server 7.0 says to CLUSTER KEYSLOT, with cluster-enabled; the first is the specification's own.
@pytest.mark.parametrize(
    ("key", "number"),
    [
        ("123456789", 12_739),
        ("foo", 12_182),
        ("{foo}bar", 12_182),
        ("a{foo}{bar}", 12_182),
        ("{}foo", 9_500),
        ("{}{foo}", 2_263),
        ("{foo", 13_308),
        ("foo}bar{x}", 16_287),
        ("{{foo}}", 13_308),
        ("{0}", 13_907),
        ("{1}x", 9_842),
        ("é", 10_180),
    ],
)
def test_a_slot_is_that_of_redis(key: str, number: int) -> None:
    assert slot(key) == number
