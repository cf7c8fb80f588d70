"""`make bench-retention`: what a retention costs Redis in memory.

Vehicles send a reading a second, of seven signals with short names and with those of VSS, until their logs keep as
many entries as they are told to and are trimmed. Printed is what Redis 7 and the embedded Valkey then use for a
vehicle: its log, its state and its name; and what of that is one reading's. Exit status 1 when a log keeps less than
it is told.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from redis.asyncio import Redis

from bench.figures import Figure, Found, conclude, count, progress
from bench.programs import redis_server
from fleetwire.embedded import valkey
from ingest.state import Shapes
from wire import keys
from wire.clock import now_ms
from wire.reading import Reading, encode
from wire.store import SCRIPT, Entry, Retention, arguments

SERVERS = ("Redis", "Valkey")
FLEET = "berlin"
READINGS = 150_000  # for each figure, about
MOST_VEHICLES, FEWEST_VEHICLES = 5_000, 20
TRIMMED = 200  # readings more than a log keeps: by then it was trimmed
CALL = 1_000  # readings
SIGNALS = {
    "short": ("speed", "lat", "lon", "heading", "odometer", "soc", "temp"),
    "VSS": (
        "Speed",
        "CurrentLocation.Latitude",
        "CurrentLocation.Longitude",
        "CurrentLocation.Heading",
        "TraveledDistance",
        "Powertrain.TractionBattery.StateOfCharge.Current",
        "Powertrain.TractionBattery.Temperature.Average",
    ),
}


class Cost(NamedTuple):
    """Bytes for a vehicle, and of one reading's body; entries that its log really keeps, on average and at least."""

    vehicle: float
    body: int
    kept: float
    fewest: int


class Fleet:
    """Vehicles that send a reading of these signals each second, as the bridge stores it."""

    def __init__(self, redis: Redis, signals: tuple[str, ...], vehicles: int, retention: Retention) -> None:
        self.topics = [f"fleets/{FLEET}/v{n}/telemetry" for n in range(vehicles)]
        self.body = b""
        self._redis = redis
        self._script = redis.register_script(SCRIPT)
        self._signals = signals
        self._retention = retention
        self._shapes = Shapes()
        self._ms = now_ms()

    async def introduce(self) -> None:
        """Tell Redis of them."""
        await self._redis.sadd(keys.FLEETS, FLEET)
        await self._redis.sadd(keys.fleet(FLEET), *(topic.split("/")[2] for topic in self.topics))

    async def send(self) -> None:
        """A reading of each."""
        self._ms += 1_000
        # Ids are as far apart as they would be: in a log they take the room of their differences.
        await self._redis.set(keys.CLOCK, f"{self._ms}-0")
        reading = Reading(self._ms, dict.fromkeys(self._signals, 52.520008), self._ms // 1_000, received=self._ms)
        self.body = encode(reading)
        entries = [Entry(topic, self.body, reading.ts, self._shapes.parts(topic, reading)) for topic in self.topics]
        for start in range(0, len(entries), CALL):
            names, args = arguments(entries[start : start + CALL], self._retention)
            await self._script(keys=names, args=args)


@asynccontextmanager
async def _fresh(server: str) -> AsyncIterator[Redis]:
    if server == "Valkey":
        with valkey() as url:
            async with Redis.from_url(url) as redis:
                yield redis
    else:
        with tempfile.TemporaryDirectory(prefix="fleetwire-bench-") as folder:
            async with redis_server(Path(folder)) as running, Redis(port=running.port) as redis:
                yield redis


async def _used(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])


async def cost(redis: Redis, signals: tuple[str, ...], entries: int) -> Cost:
    """What vehicles cost an empty Redis whose logs keep so many entries; those of 1 are never trimmed."""
    vehicles = max(FEWEST_VEHICLES, min(MOST_VEHICLES, READINGS // (entries + TRIMMED)))
    fleet = Fleet(redis, signals, vehicles, Retention(entries, 86_400_000))
    await redis.script_load(SCRIPT)
    before = await _used(redis)
    await fleet.introduce()
    for _ in range(1 if entries == 1 else entries + TRIMMED):
        await fleet.send()
    used = await _used(redis) - before
    lengths = [await redis.xlen(keys.log(topic)) for topic in fleet.topics]
    return Cost(used / vehicles, len(fleet.body), sum(lengths) / vehicles, min(lengths))


async def _version(redis: Redis) -> str:
    info = await redis.info("server")
    return str(info.get("valkey_version") or info["redis_version"])


async def retention(sizes: list[int]) -> Found:
    """All servers, signals and sizes."""
    figures, problems = [], []
    for server in SERVERS:
        for names, signals in SIGNALS.items():
            async with _fresh(server) as redis:
                bare = await cost(redis, signals, 1)
                title = f"{server} {await _version(redis)}, {names} names ({bare.body} B)"
            progress(title)
            figures.append(Figure(f"{title}, 1 reading: a vehicle", bare.vehicle / 1e3, "KB"))
            for size in sizes:
                async with _fresh(server) as redis:
                    found = await cost(redis, signals, size)
                figures.append(Figure(f"{title}, {size:,} entries: a vehicle", found.vehicle / 1e3, "KB"))
                figures.append(Figure(f"{title}, {size:,} entries: a reading", found.vehicle / found.kept, "B"))
                figures.append(Figure(f"{title}, {size:,} entries: really kept", found.kept))
                if found.fewest < size:
                    problems.append(f"{title}: a log keeps {found.fewest} entries, not {size}")
    return Found("memory of Redis (used_memory) for what is kept of each vehicle's telemetry", figures, problems)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=count, nargs="+", default=[100, 1_000, 10_000], help="what logs keep")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    conclude("bench-retention", retention(arguments.entries), as_json=arguments.json)


if __name__ == "__main__":
    main()
