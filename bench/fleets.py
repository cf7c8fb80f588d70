"""Fleets that report steadily, stored straight in Redis as the bridge stores them; and what Redis has of them.

As a process: readings a second of all vehicles in turn, each 10 ms those that are due, which is how a bridge stores
them; until a line comes on standard input.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Iterator
from itertools import count, islice
from typing import NamedTuple

import msgspec
import redis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench.child import say
from bench.feeder import Feeder
from wire import keys
from wire.clock import now_ms
from wire.reading import Reading, Value

__all__ = ["Fleets", "Stored"]

TICK_SECONDS = 0.01


class Stored(msgspec.Struct, frozen=True):
    """What was stored. `late_s`: the most that a tick was behind its time."""

    readings: int
    late_s: float
    cpu_s: float


class Fleets(NamedTuple):
    """So many fleets, with so many vehicles in all of them together."""

    fleets: int
    vehicles: int

    def topics(self) -> list[str]:
        """The topics of all vehicles; neighbours are of different fleets."""
        return [f"fleets/f{number % self.fleets}/v{number}/telemetry" for number in range(self.vehicles)]

    def filter(self, number: int) -> str:
        """What all vehicles of one fleet match."""
        return f"fleets/f{number}/+/telemetry"

    def stored(self, port: int) -> dict[str, dict[str, list[str]]]:
        """The ids that the logs of a Redis have: by filter of the fleet, and by topic."""
        found: dict[str, dict[str, list[str]]] = {self.filter(number): {} for number in range(self.fleets)}
        topics = self.topics()
        with redis.Redis(port=port) as client, client.pipeline(transaction=False) as pipe:
            for topic in topics:
                pipe.xrange(keys.log(topic))
            for number, (topic, entries) in enumerate(zip(topics, pipe.execute(), strict=True)):
                if entries:
                    found[self.filter(number % self.fleets)][topic] = [id.decode() for id, _ in entries]
        return found


def _values(number: int) -> dict[str, Value]:
    """Seven signals: about 200 bytes in JSON."""
    return {
        "Speed": number % 120 + 0.5,
        "CurrentLocation.Latitude": 52.5 + number % 1_000 / 1e4,
        "CurrentLocation.Longitude": 13.4 + number % 1_000 / 1e4,
        "CurrentLocation.Heading": number % 360,
        "TraveledDistance": 1_000.25 + number,
        "StateOfCharge": number % 100,
        "IsMoving": True,
    }


def _endless(topics: list[str]) -> Iterator[tuple[str, dict[str, Value]]]:
    for number in count():
        yield topics[number % len(topics)], _values(number)


async def store(port: int, fleets: Fleets, per_second: int) -> Stored:
    """Store them until a line comes. Raises RedisError when Redis goes away."""
    stop, stored, late = asyncio.Event(), 0, 0.0
    async with Redis(port=port) as client:
        feeder, topics = Feeder(client), fleets.topics()
        await feeder.introduce(topics)
        asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
        say()
        readings, started = _endless(topics), time.monotonic()
        for tick in count(1):
            if stop.is_set():
                break
            now, due = now_ms(), int(per_second * TICK_SECONDS * tick + 1e-6) - stored
            if some := [(topic, Reading(now, values)) for topic, values in islice(readings, due)]:
                await feeder.store(some)
                stored += due
            ahead = started + tick * TICK_SECONDS - time.monotonic()
            late = max(late, -ahead)
            await asyncio.sleep(max(ahead, 0))
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Stored(stored, late, used.ru_utime + used.ru_stime)


def main() -> None:
    port, fleets, vehicles, per_second = map(int, sys.argv[1:])
    try:
        say(**msgspec.structs.asdict(asyncio.run(store(port, Fleets(fleets, vehicles), per_second))))
    except RedisError as error:
        say(error=f"the load stopped: {error}")


if __name__ == "__main__":
    main()
