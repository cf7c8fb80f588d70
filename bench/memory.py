"""`make bench-memory`: whether the bridge's memory stays where it is.

One bridge between mosquitto and Redis. After a warm-up, half of the readings at QoS 1 and half at QoS 0, as fast as
they go; then, for each QoS, a Redis that is stopped (SIGSTOP) under load and goes on. At QoS 1 the broker holds back
what the bridge can't store, at QoS 0 the bridge drops and counts. Exit status 1 when the resident
set has left its bounds, or a reading of QoS 1 is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.programs import Server, mosquitto, redis_server
from fleetwire.embedded import free_port
from fleetwire.parts import Part, part, ready
from wire.errors import FleetwireError, Unavailable

MEGABYTE = 1_000_000
VEHICLES = 1_000
WARM_UP = 100_000
QUIET_SECONDS = 30  # after which nothing more is expected
SHOW_SECONDS = 5
LOG_ENTRIES = 100  # Redis is not what is measured


class Phase(NamedTuple):
    """One load, and the resident set of the bridge meanwhile, in MB."""

    name: str
    qos: int
    published: int
    stored: int
    dropped: int
    low_mb: float
    high_mb: float
    seconds: float


class Bridge:
    """The bridge that is watched: its resident set each second, and what it has counted."""

    def __init__(self, part: Part, http: httpx.AsyncClient) -> None:
        self.part = part
        self.samples: list[float] = []
        self._http = http
        self._started = time.monotonic()

    def rss_mb(self) -> float:
        """Its resident set now, in MB (proc(5), Linux)."""
        pages = int(Path(f"/proc/{self.part.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE

    async def watch(self) -> None:
        """Sample until cancelled; show some of it on standard error."""
        for second in itertools.count():
            self.samples.append(self.rss_mb())
            if second % SHOW_SECONDS == 0:
                print(f"  {time.monotonic() - self._started:5.0f} s  {self.samples[-1]:6.1f} MB", file=sys.stderr)
            await asyncio.sleep(1)

    async def counted(self) -> tuple[int, int]:
        """Readings stored and dropped since its start. What Redis stored after the bridge had stopped waiting for its
        answer is found there at the next try, and counted as redelivered."""
        text = (await self._http.get("/metrics")).text
        counts = {
            sample.name: int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.labels
        }
        stored, redelivered, dropped = (
            counts[f"fleetwire_ingest_{name}_total"] for name in ("stored", "redelivered", "dropped")
        )
        return stored + redelivered, dropped


async def _load(port: int, count: int, qos: int, rate: float) -> None:
    arguments = (str(port), "bench", str(VEHICLES), str(count), str(qos), str(rate))
    load = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.load", *arguments)
    if await load.wait():
        raise Unavailable("the load could not publish; see above")


async def _phase(
    bridge: Bridge, name: str, port: int, count: int, qos: int, rate: float = 0, stopped: Server | None = None
) -> Phase:
    """A load, until all of it is stored or dropped, or nothing more comes. `stopped`: a server that is stopped while
    the load is published."""
    print(name, file=sys.stderr)
    stored_before, dropped_before = await bridge.counted()
    bridge.samples.clear()
    started = time.monotonic()
    if stopped:
        os.kill(stopped.pid, signal.SIGSTOP)
    try:
        await _load(port, count, qos, rate)
    finally:
        if stopped:
            os.kill(stopped.pid, signal.SIGCONT)
    stored = dropped = 0
    moved_at = time.monotonic()
    while stored + dropped < count and time.monotonic() - moved_at < QUIET_SECONDS:
        await asyncio.sleep(0.2)
        before = stored, dropped
        total = await bridge.counted()
        stored, dropped = total[0] - stored_before, total[1] - dropped_before
        if (stored, dropped) != before:
            moved_at = time.monotonic()
    if missing := count - stored - dropped:
        print(f"  {missing} never came; the bridge's last words: {bridge.part.last_words()}", file=sys.stderr)
    bridge.samples.append(bridge.rss_mb())
    seconds = time.monotonic() - started
    return Phase(name, qos, count, stored, dropped, min(bridge.samples), max(bridge.samples), round(seconds, 1))


@asynccontextmanager
async def _bridge(broker: Server, redis: Server, logs: Path) -> AsyncIterator[Bridge]:
    port = free_port()
    urls = ("--mqtt-url", f"mqtt://127.0.0.1:{broker.port}", "--redis-url", f"redis://127.0.0.1:{redis.port}")
    more = ("--metrics-port", str(port), "--log-entries", str(LOG_ENTRIES))
    async with part("bridge", "ingest", *urls, *more, logs=logs) as running:
        await ready(running, f"http://127.0.0.1:{port}/readyz")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            bridge = Bridge(running, http)
            watching = asyncio.create_task(bridge.watch())
            try:
                yield bridge
            finally:
                watching.cancel()


async def memory(readings: int, rate: float, outage_s: float) -> list[Phase]:
    """All phases; the first is the warm-up."""
    with tempfile.TemporaryDirectory(prefix="fleetwire-bench-") as folder:
        logs = Path(folder)
        async with mosquitto(logs) as broker, redis_server(logs) as redis, _bridge(broker, redis, logs) as bridge:
            away, port = int(rate * outage_s), broker.port
            return [
                await _phase(bridge, "warm-up", port, WARM_UP, 1),
                await _phase(bridge, f"QoS 1, {readings // 2:,} readings", port, readings // 2, 1),
                await _phase(bridge, f"QoS 0, {readings // 2:,} readings", port, readings // 2, 0),
                await _phase(bridge, f"QoS 1, Redis away for {outage_s:g} s", port, away, 1, rate, redis),
                await _phase(bridge, f"QoS 0, Redis away for {outage_s:g} s", port, away, 0, rate, redis),
            ]


def _table(phases: Sequence[Phase]) -> str:
    head = f"{'':30}{'published':>11}{'stored':>11}{'dropped':>11}{'seconds':>9}{'RSS MB, low':>13}{'high':>8}"
    rows = [
        f"{phase.name:30}{phase.published:>11,}{phase.stored:>11,}{phase.dropped:>11,}{phase.seconds:>9.1f}"
        f"{phase.low_mb:>13.1f}{phase.high_mb:>8.1f}"
        for phase in phases
    ]
    return "\n".join([head, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=2_000_000, help="readings as fast as they go")
    parser.add_argument("--rate", type=float, default=5_000, help="readings a second while Redis is away")
    parser.add_argument("--outage", type=float, default=30, help="seconds that Redis is away")
    parser.add_argument("--bound", type=float, default=20, help="MB that the resident set may differ")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    try:
        warm, *phases = asyncio.run(memory(arguments.readings, arguments.rate, arguments.outage))
    except FleetwireError as error:
        sys.exit(str(error))
    differs = max(max(phase.high_mb - warm.high_mb, warm.high_mb - phase.low_mb) for phase in phases)
    if arguments.json:
        print(json.dumps({"differs_mb": round(differs, 1), "phases": [phase._asdict() for phase in (warm, *phases)]}))
    else:
        print(f"{_table([warm, *phases])}\n\nat most {differs:.1f} MB from where it was after the warm-up")
    missing = sum(phase.published - phase.stored - phase.dropped for phase in (warm, *phases) if phase.qos)
    sys.exit(differs > arguments.bound or missing > 0)


if __name__ == "__main__":
    main()
