"""A fleet as pure data: what each device publishes, and when. The same seed and start give the same bytes."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

import msgspec

from simulator.city import City
from simulator.track import Track
from simulator.vehicle import Orders, Vehicle
from wire.reading import Value

__all__ = ["GATEWAY", "Car", "Device", "Emission", "Fleet", "Recording", "merge"]

GATEWAY = "gateway"  # the vehicle name of a gateway's own presence


class Emission(NamedTuple):
    """One reading to publish, `due_ms` after the start. `last`: its device has no more after it."""

    due_ms: int
    topic: str
    seq: int
    payload: bytes
    last: bool = False


@dataclass(frozen=True)
class Car:
    """A simulated vehicle: publishes every `period_ms` (not always whole) from `phase_ms` on, without end."""

    name: str
    topic: str
    city: City
    seed: int
    period_ms: float
    phase_ms: float
    orders: Orders = field(default_factory=Orders, compare=False)

    def emissions(self, start_ms: int) -> Iterator[Emission]:
        """Its readings in order, for a fleet that starts at `start_ms` (epoch milliseconds)."""
        vehicle = Vehicle(self.name, self.city, self.seed, self.orders)
        seq = 0
        while True:
            due_ms = int(self.phase_ms + seq * self.period_ms)
            seq += 1
            yield Emission(due_ms, self.topic, seq, _payload(start_ms + due_ms, seq, vehicle.values()))
            vehicle.step(self.period_ms / 1_000)


@dataclass(frozen=True)
class Recording:
    """A recorded track, played once, `speedup` times as fast as it was recorded."""

    name: str
    topic: str
    track: Track
    speedup: float

    def emissions(self, start_ms: int) -> Iterator[Emission]:
        """Its readings in order, for a fleet that starts at `start_ms` (epoch milliseconds)."""
        count = len(self.track.points)
        for seq, (offset_ms, values) in enumerate(self.track.points, 1):
            due_ms = int(offset_ms / self.speedup)
            payload = _payload(start_ms + due_ms, seq, values)
            yield Emission(due_ms, self.topic, seq, payload, last=seq == count)


Device = Car | Recording


class Fleet:
    """`vehicles` cars named v1, v2, … that publish `hz` times a second, and a device for each track.

    The cars take turns within the period, so that a fleet does not publish in one burst.
    """

    def __init__(
        self,
        name: str,
        *,
        vehicles: int,
        hz: float = 1.0,
        seed: int = 0,
        tracks: Sequence[Track] = (),
        speedup: float = 1.0,
    ) -> None:
        self.name = name
        self.city = City(name, seed)
        period_ms = 1_000 / hz
        names = [f"v{number}" for number in range(1, vehicles + 1)]
        cars = [
            Car(car, _topic(name, car), self.city, seed, period_ms, index * period_ms / vehicles)
            for index, car in enumerate(names)
        ]
        recordings = [
            Recording(recorded, _topic(name, recorded), track, speedup)
            for recorded, track in zip(_names(tracks, {GATEWAY, *names}), tracks, strict=True)
        ]
        self.devices: tuple[Device, ...] = (*cars, *recordings)

    def emissions(self, start_ms: int) -> Iterator[Emission]:
        """The readings of all devices in time order."""
        return merge(self.devices, start_ms)


def merge(devices: Iterable[Device], start_ms: int) -> Iterator[Emission]:
    """The readings of some devices in time order, made one at a time; they end when all devices have ended."""
    return heapq.merge(*(device.emissions(start_ms) for device in devices), key=attrgetter("due_ms"))


def _payload(ts: int, seq: int, values: dict[str, Value]) -> bytes:
    return msgspec.json.encode({"ts": ts, "seq": seq, "values": values})


def _topic(fleet: str, vehicle: str) -> str:
    return f"fleets/{fleet}/{vehicle}/telemetry"


def _names(tracks: Iterable[Track], taken: set[str]) -> Iterator[str]:
    """A topic segment for each track, from its name; the second of a name gets `-2`."""
    for track in tracks:
        stem = re.sub(r"[^A-Za-z0-9._:-]+", "-", track.name).strip("-")[:56] or "track"
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        yield name
