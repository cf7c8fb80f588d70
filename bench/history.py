"""`make bench-history`: what it takes to read back an hour of many vehicles.

A Valkey is filled with a reading a second and vehicle, as the bridge stores them. Then a node is asked, over HTTP
and from another process, for all readings of one vehicle, for a fleet in windows of a minute, and for a fleet as a
download; meanwhile a live client pings it all the time. Exit status 1 when an answer is not complete.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import httpx
import msgspec
from redis.asyncio import Redis

from bench.child import Child, child
from bench.figures import Figure, Found, conclude, count, progress
from bench.filler import FLEETS, fill, topic_of
from bench.programs import CROWDED
from fleetwire.embedded import free_port, valkey
from fleetwire.parts import Part, cpu_seconds, part, ready
from wire.clock import now_ms

WINDOW_MS = 60_000
LIMIT = 10_000  # of a page
FILTER = "fleets/f0/+/telemetry"
TIMEOUT_SECONDS = 600


class Asked(NamedTuple):
    """Medians of some runs: ms until the answer is there, and CPU of the node, ms; and the longest that a ping waited
    in any of them, ms."""

    ms: float
    cpu_ms: float
    ping_ms: float


async def _ask(runs: int, node: Part, pinger: Child, ask: Callable[[], Awaitable[None]]) -> Asked:
    times, cpus, pings = [], [], []
    for _ in range(runs):
        await pinger.ask("begin")
        cpu, started = cpu_seconds(node.process.pid), time.monotonic()
        await ask()
        times.append(time.monotonic() - started)
        cpus.append(cpu_seconds(node.process.pid) - cpu)
        pings.append((await pinger.ask("end"))["longest_ms"])
    return Asked(median(times) * 1e3, median(cpus) * 1e3, max(pings))


class Client:
    """Asks the node, and looks at whether the answers are complete."""

    def __init__(self, http: httpx.AsyncClient, vehicles: int, seconds: int) -> None:
        self._http = http
        self._fleet = len(range(0, vehicles, FLEETS))
        self._seconds = seconds
        self.problems: set[str] = set()

    @property
    def fleet_readings(self) -> int:
        """Readings of the fleet that is asked for."""
        return self._fleet * self._seconds

    async def vehicle(self) -> None:
        """All readings of one vehicle."""
        data = await self._page({"topic": topic_of(0), "limit": str(LIMIT)})
        self._compare("readings of one vehicle", len(data), min(LIMIT, self._seconds))

    async def windows(self) -> None:
        """A fleet, in windows."""
        data = await self._page({"topic": FILTER, "window": str(WINDOW_MS), "limit": str(LIMIT)})
        self._compare("readings in windows", sum(item["count"] for item in data), self.fleet_readings)

    async def download(self) -> None:
        """A fleet, as CSV."""
        params = {"topic": FILTER, "format": "csv", "signals": "Speed"}
        async with self._http.stream("GET", "/v1/history", params=params) as response:
            response.raise_for_status()
            lines = csv.reader([line async for line in response.aiter_lines()])
        self._compare("rows of CSV", sum(1 for _ in lines), self.fleet_readings + 1)

    async def _page(self, params: dict[str, str]) -> list[dict[str, object]]:
        response = await self._http.get("/v1/history", params=params)
        response.raise_for_status()
        data: list[dict[str, object]] = msgspec.json.decode(response.content)["data"]
        return data

    def _compare(self, what: str, found: int, expected: int) -> None:
        if found != expected:
            self.problems.add(f"{found:,} {what}, but there are {expected:,}")


async def history(vehicles: int, seconds: int, runs: int) -> Found:
    """One run."""
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        url = stack.enter_context(valkey())
        redis = await stack.enter_async_context(Redis.from_url(url))
        progress(f"storing {vehicles * seconds:,} readings")
        before, started = (await redis.info("memory"))["used_memory"], time.monotonic()
        end = now_ms()
        await fill(int(url.rpartition(":")[2]), vehicles, seconds, end)
        used = (await redis.info("memory"))["used_memory"] - before
        progress(f"stored in {time.monotonic() - started:.0f} s, {used / 1e6:,.0f} MB")

        port = free_port()
        node = await stack.enter_async_context(
            part("node", "stream", "--redis-url", url, "--port", str(port), *CROWDED, logs=logs)
        )
        await ready(node, f"http://127.0.0.1:{port}/readyz")
        pinger = await stack.enter_async_context(child("bench.pinger", port))
        await pinger.answer()
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT_SECONDS)
        )
        client = Client(http, vehicles, seconds)
        asked = []
        for ask in (_nothing, client.vehicle, client.windows, client.download):
            asked.append(await _ask(runs, node, pinger, ask))
            progress("{:,.0f} ms, CPU {:,.0f} ms, longest ping {:.1f} ms".format(*asked[-1]))
    return _found(f"{vehicles:,} vehicles, {seconds:,} readings each", runs, used / vehicles / seconds, client, asked)


async def _nothing() -> None:
    await asyncio.sleep(1)


def _found(scene: str, runs: int, size: float, client: Client, asked: list[Asked]) -> Found:
    idle, vehicle, windows, download = asked
    readings = client.fleet_readings
    return Found(
        f"{scene}; {os.cpu_count()} cores; medians of {runs}, pings the longest of all",
        [
            Figure("memory of Redis, a reading", size, "bytes"),
            Figure("all readings of one vehicle", vehicle.ms, "ms", "≤ 50 ms"),
            Figure("a fleet in windows of a minute", windows.ms, "ms", "≤ 1,000 ms"),
            Figure("readings of that fleet", readings),
            Figure("CPU of the node, a reading", windows.cpu_ms / readings * 1e3, "µs"),
            Figure("a fleet as CSV, one signal", download.ms, "ms"),
            Figure("CPU of the node, a reading, CSV", download.cpu_ms / readings * 1e3, "µs"),
            Figure("longest ping, nothing else", idle.ping_ms, "ms"),
            Figure("longest ping, one vehicle", vehicle.ping_ms, "ms", "≤ 20 ms"),
            Figure("longest ping, windows", windows.ping_ms, "ms", "≤ 20 ms"),
            Figure("longest ping, CSV", download.ping_ms, "ms", "≤ 20 ms"),
        ],
        sorted(client.problems),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--vehicles", type=count, default=1_000, help=f"in {FLEETS} fleets, of which one is asked for"
    )
    parser.add_argument("--seconds", type=count, default=3_600, help="readings of each, one a second")
    parser.add_argument("--runs", type=count, default=7, help="of each question")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    work = history(arguments.vehicles, arguments.seconds, arguments.runs)
    conclude("bench-history", work, as_json=arguments.json)


if __name__ == "__main__":
    main()
