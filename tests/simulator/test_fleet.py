"""A fleet is pure: the same seed and start give the same bytes, in time order, each device counting from 1."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice, pairwise, takewhile

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.fleet import Emission, Fleet
from simulator.track import Point, Track
from wire.topics import parse

START = 1_764_000_000_000
TRACK = Track("Fahrt über Land.2", tuple(Point(ms, {"Speed": ms / 10}) for ms in (0, 250, 250, 1_000)))

seeds = st.integers(0, 2**32)
sizes = st.integers(1, 12)
rates = st.sampled_from([0.1, 0.3, 1, 3, 7, 10, 1_000])


def head(fleet: Fleet, count: int = 60, start_ms: int = START) -> list[Emission]:
    return list(islice(fleet.emissions(start_ms), count))


@settings(max_examples=15, deadline=None)
@given(sizes, rates, seeds)
def test_same_seed_same_bytes(vehicles: int, hz: float, seed: int) -> None:
    made = head(Fleet("berlin", vehicles=vehicles, hz=hz, seed=seed))
    assert made == head(Fleet("berlin", vehicles=vehicles, hz=hz, seed=seed))
    assert made != head(Fleet("berlin", vehicles=vehicles, hz=hz, seed=seed + 1))
    assert made != head(Fleet("paris", vehicles=vehicles, hz=hz, seed=seed))


def test_same_bytes_in_another_process() -> None:
    program = (
        "from itertools import islice; from simulator.fleet import Fleet\n"
        "for e in islice(Fleet('my-fleet', vehicles=3, seed=5).emissions(1764000000000), 60): print(e)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [str(one) for one in head(Fleet("my-fleet", vehicles=3, seed=5))]


@settings(max_examples=15, deadline=None)
@given(sizes, rates, seeds, st.integers(0, 2**41))
def test_time_order_and_counters(vehicles: int, hz: float, seed: int, start_ms: int) -> None:
    emissions = head(Fleet("berlin", vehicles=vehicles, hz=hz, seed=seed), 100, start_ms)
    assert all(a.due_ms <= b.due_ms for a, b in pairwise(emissions))
    counters: dict[str, int] = {}
    for emission in emissions:
        payload = json.loads(emission.payload)
        counters[emission.topic] = counters.get(emission.topic, 0) + 1
        assert emission.seq == payload["seq"] == counters[emission.topic]
        assert payload["ts"] == start_ms + emission.due_ms
        assert list(payload) == ["ts", "seq", "values"]
        assert not emission.last
        parse(emission.topic)


def test_every_vehicle_publishes_hz_times_a_second() -> None:
    fleet = Fleet("berlin", vehicles=7, hz=3)
    seen = [one.topic for one in takewhile(lambda one: one.due_ms < 10_000, fleet.emissions(START))]
    assert {topic: seen.count(topic) for topic in seen} == {f"fleets/berlin/v{n}/telemetry": 30 for n in range(1, 8)}


def test_vehicles_take_turns_within_the_period() -> None:
    first = head(Fleet("berlin", vehicles=10, hz=1), 10)
    assert [emission.due_ms for emission in first] == list(range(0, 1_000, 100))


def test_payloads_are_small_and_named_by_vss() -> None:
    emission = head(Fleet("berlin", vehicles=1), 1)[0]
    assert len(emission.payload) < 320
    assert set(json.loads(emission.payload)["values"]) == {
        "Speed",
        "CurrentLocation.Latitude",
        "CurrentLocation.Longitude",
        "CurrentLocation.Heading",
        "TraveledDistance",
        "Powertrain.TractionBattery.StateOfCharge.Current",
        "Powertrain.TractionBattery.Temperature.Average",
    }


def test_a_track_is_played_once_and_says_when_it_ends() -> None:
    emissions = list(Fleet("berlin", vehicles=0, tracks=[TRACK]).emissions(START))
    assert [(one.due_ms, one.seq, one.last) for one in emissions] == [
        (0, 1, False),
        (250, 2, False),
        (250, 3, False),
        (1_000, 4, True),
    ]
    assert {one.topic for one in emissions} == {"fleets/berlin/Fahrt-ber-Land.2/telemetry"}
    assert json.loads(emissions[3].payload) == {"ts": START + 1_000, "seq": 4, "values": {"Speed": 100.0}}


def test_speedup_divides_the_offsets_of_tracks() -> None:
    emissions = list(Fleet("berlin", vehicles=0, tracks=[TRACK], speedup=10).emissions(START))
    assert [one.due_ms for one in emissions] == [0, 25, 25, 100]


def test_names_of_tracks_never_collide() -> None:
    named = [Track(name, TRACK.points) for name in ("v1", "gateway", "a b", "a/b", "", "x" * 200)]
    fleet = Fleet("berlin", vehicles=1, tracks=named)
    names = [device.name for device in fleet.devices]
    assert names == ["v1", "v1-2", "gateway-2", "a-b", "a-b-2", "track", "x" * 56]
    for device in fleet.devices:
        parse(device.topic)


def test_a_track_joins_the_cars_in_time_order() -> None:
    emissions = head(Fleet("berlin", vehicles=2, hz=2, tracks=[TRACK]), 12)
    assert all(a.due_ms <= b.due_ms for a, b in pairwise(emissions))
    assert sum("Fahrt" in one.topic for one in emissions) == 4
