"""The street network: connected, drivable, where it should be, and the same for the same seed."""

from __future__ import annotations

import json
from itertools import pairwise
from math import dist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.city import CENTRES, City

names = st.sampled_from([*CENTRES, "Springfield", "test-7"])
seeds = st.integers(0, 2**32)
few = settings(max_examples=15, deadline=None)


@few
@given(names, seeds)
def test_every_junction_can_be_reached_and_left(name: str, seed: int) -> None:
    city = City(name, seed)
    reached, front = {0}, [0]
    while front:
        for lane in city.exits[front.pop()]:
            if lane.end not in reached:
                reached.add(lane.end)
                front.append(lane.end)
    assert len(reached) == len(city.junctions)
    assert all(len(exits) >= 2 for exits in city.exits), "a dead end"


@few
@given(names, seeds)
def test_streets_have_sensible_lengths_and_limits(name: str, seed: int) -> None:
    for street in City(name, seed).roads:
        assert 40 < street.length_m < 600
        assert street.limit_kmh in (30, 50, 60)


@few
@given(seeds, st.floats(0, 1))
def test_a_lane_leads_from_its_start_to_its_end_without_jumps(seed: int, share: float) -> None:
    city = City("berlin", seed)
    for lane in city.exits[0] + city.exits[112]:
        assert lane.position(0)[:2] == pytest.approx(city.junctions[lane.start])
        assert lane.position(lane.length_m)[:2] == pytest.approx(city.junctions[lane.end])
        along = share * (lane.length_m - 1)
        assert dist(lane.position(along)[:2], lane.position(along + 1)[:2]) == pytest.approx(1, abs=0.05)


def test_some_streets_are_missing() -> None:
    counts = {len(City("berlin", seed).roads) for seed in range(5)}
    assert max(counts) < 2 * 15 * 14 + 2 * 10
    assert len(counts) > 1


def test_same_name_and_seed_same_streets() -> None:
    assert City("berlin", 3).streets() == City("berlin", 3).streets()
    assert City("berlin", 3).streets() != City("berlin", 4).streets()


def test_known_names_have_their_own_centre_and_others_a_lasting_one() -> None:
    assert City("Paris", 0).centre == CENTRES["paris"]
    assert City("my-fleet", 0).centre == City("my-fleet", 9).centre == CENTRES["nairobi"]


def test_streets_are_geojson_around_the_centre() -> None:
    city = City("tokyo", 1)
    collection = json.loads(json.dumps(city.streets()))
    assert collection["type"] == "FeatureCollection"
    assert len(collection["features"]) == len(city.roads)
    for feature in collection["features"]:
        line = feature["geometry"]["coordinates"]
        assert feature["geometry"]["type"] == "LineString"
        assert feature["properties"]["limit_kmh"] > 0
        assert all(a != b for a, b in pairwise(line))
        for longitude, latitude in line:
            assert abs(longitude - city.centre.longitude) < 0.05
            assert abs(latitude - city.centre.latitude) < 0.05
