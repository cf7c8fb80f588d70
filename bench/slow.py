"""`make bench-slow`: what slow dashboards cost the others, and whether they lose anything by it.

The whole pipeline under a steady load, and many dashboards. In turn all of them read all, some read nothing, and
others read a tenth besides. What these change for the rest: the p99 from the device's clock to the dashboard; and for
the node: its resident memory. In the end, when the load has stopped, they read again. Exit status 1 unless each then
has the newest state of every vehicle, in one frame beside those that were under way to it, and was told of every
reading that it skipped.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.child import ROOT, Child, child
from bench.crowd import allow_files
from bench.figures import Figure, Found, conclude, count, progress, resident
from bench.programs import mosquitto, redis_server
from fleetwire.embedded import free_port
from fleetwire.parts import Part, part, program, ready
from wire.errors import Unavailable

FLEET = "slow"
SETTLE = 0.4  # of the seconds of a phase, until all is as it will be in it: what is kept for a dashboard fills
STALL = 0.2  # of these seconds: the phase in which only the memory matters
SAMPLE_SECONDS = 0.2
DRAIN_SECONDS = 120
CONNECTIONS = 10
FRAME_ITEMS = 1_000  # vehicles of which the newest state goes in one frame


class Scene(NamedTuple):
    """How many dashboards there are, and how many of them read nothing, or a tenth, when they are held; vehicles and
    readings a second; seconds of the long phases, and rounds."""

    dashboards: int
    stalled: int
    slow: int
    vehicles: int
    rate: int
    seconds: float
    rounds: int

    @property
    def readings(self) -> int:
        """Readings for all phases."""
        return int(self.rate * self.seconds * self.rounds * (3 * SETTLE + STALL + 2))


class Phase(NamedTuple):
    """Latency of the steady dashboards, and the most resident memory of the node, in bytes."""

    p50_ms: int
    p99_ms: int
    resident: int


class Round(NamedTuple):
    """The phases: all read; some read nothing; and others a tenth, too."""

    free: Phase
    stalled: Phase
    held: Phase


async def _phase(watchers: Child, node: Part, name: str, seconds: float) -> Phase:
    await watchers.ask("clear")
    samples = []
    for _ in range(max(1, int(seconds / SAMPLE_SECONDS))):
        await asyncio.sleep(SAMPLE_SECONDS)
        samples.append(resident(node))
    found = await watchers.ask("latency")
    if not found["readings"]:
        raise Unavailable(f"nothing reached the dashboards within {seconds:g} s")
    phase = Phase(found["p50"], found["p99"], max(samples))
    progress(f"{name}: p50 {phase.p50_ms} ms, p99 {phase.p99_ms} ms, {phase.resident / 1e6:.1f} MB")
    return phase


async def _round(scene: Scene, watchers: Child, node: Part) -> Round:
    """In the end those that are held still are."""
    settle = SETTLE * scene.seconds
    await asyncio.sleep(settle)
    free = await _phase(watchers, node, "all read", scene.seconds)
    await watchers.ask("hold", "stalled")
    await asyncio.sleep(settle)
    stalled = await _phase(watchers, node, "some read nothing", STALL * scene.seconds)
    await watchers.ask("hold", "slow")
    await asyncio.sleep(settle)
    return Round(free, stalled, await _phase(watchers, node, "others a tenth", scene.seconds))


async def _ended(load: Part) -> None:
    if await load.process.wait():
        raise Unavailable(f"the load could not publish: {load.last_words()}")


async def slow(scene: Scene) -> Found:
    """One run."""
    allow_files(scene.dashboards)
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        broker = await stack.enter_async_context(mosquitto(logs))
        redis = await stack.enter_async_context(redis_server(logs))
        port, metrics, url = free_port(), free_port(), ("--redis-url", f"redis://127.0.0.1:{redis.port}")
        options = ("--port", str(port), "--drain-s", str(DRAIN_SECONDS))
        node = await stack.enter_async_context(part("node", "stream", *url, *options, logs=logs))
        options = ("--mqtt-url", f"mqtt://127.0.0.1:{broker.port}", "--metrics-port", str(metrics))
        bridge = await stack.enter_async_context(part("bridge", "ingest", *url, *options, logs=logs))
        await ready(node, f"http://127.0.0.1:{port}/readyz")
        await ready(bridge, f"http://127.0.0.1:{metrics}/readyz")

        who = (scene.dashboards, scene.stalled, scene.slow)
        topic = f"fleets/{FLEET}/+/telemetry"
        watchers = await stack.enter_async_context(child("bench.watchers", port, topic, *who))
        await watchers.answer()
        what = map(str, (broker.port, FLEET, scene.vehicles, scene.readings, 1, scene.rate))
        command = (sys.executable, "-m", "bench.load", *what, f"--connections={CONNECTIONS}")
        load = await stack.enter_async_context(program("load", *command, logs=logs, cwd=ROOT))

        rounds = [await _round(scene, watchers, node)]
        for _ in range(scene.rounds - 1):
            await watchers.ask("resume")
            rounds.append(await _round(scene, watchers, node))
        await _ended(load)
        await watchers.ask("settle", scene.readings)
        await watchers.ask("resume")
        found = await watchers.ask("finish", scene.readings)
        progress(f"all have caught up after {found['caught_up_ms']} ms")
    return _found(scene, rounds, found["caught_up_ms"], found["problems"])


def _found(scene: Scene, rounds: list[Round], caught_up_ms: int, problems: dict[str, int]) -> Found:
    before, during = median(one.free.p99_ms for one in rounds), median(one.held.p99_ms for one in rounds)
    stalled = max(one.stalled.resident - one.free.resident for one in rounds) / scene.stalled
    slow = max(one.held.resident - one.stalled.resident for one in rounds) / scene.slow
    return Found(
        f"{scene.dashboards} dashboards, of which {scene.stalled} read nothing and {scene.slow} a tenth; "
        f"{scene.vehicles:,} vehicles, {scene.rate:,} readings/s; {os.cpu_count()} cores; medians of {scene.rounds}",
        [
            Figure("p50 of the others, all read", median(one.free.p50_ms for one in rounds), "ms"),
            Figure("p50 of the others, some do not", median(one.held.p50_ms for one in rounds), "ms"),
            Figure("p99 of the others, all read", before, "ms"),
            Figure("p99 of the others, some do not", during, "ms"),
            Figure("p99 changes by", (during / before - 1) * 100, "%", "< 10 %"),
            Figure("memory of the node, all read", median(one.free.resident for one in rounds) / 1e6, "MB"),
            Figure("memory of the node, some do not", median(one.held.resident for one in rounds) / 1e6, "MB"),
            Figure("most growth for one that reads nothing", stalled / 1e3, "KB", "< 100 KB"),
            Figure("most growth for one that reads a tenth", slow / 1e3, "KB"),
            Figure("until all have the newest state again", caught_up_ms, "ms"),
        ],
        [f"{times} of the dashboards, {text}" for text, times in problems.items()],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dashboards", type=count, default=200, help="all of them")
    parser.add_argument("--stalled", type=count, default=20, help="those that read nothing")
    parser.add_argument("--slow", type=count, default=20, help="those that read a tenth")
    parser.add_argument("--vehicles", type=count, default=FRAME_ITEMS, help=f"at most {FRAME_ITEMS:,}")
    parser.add_argument("--rate", type=count, default=2_000, help="readings a second")
    parser.add_argument("--seconds", type=float, default=8, help="of each of the long phases")
    parser.add_argument("--rounds", type=count, default=3, help="of all phases; medians are taken")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    scene = Scene(**arguments)
    if scene.dashboards <= scene.stalled + scene.slow:
        parser.error("there must be more dashboards than stalled and slow ones")
    if scene.vehicles > FRAME_ITEMS:
        parser.error(f"at most {FRAME_ITEMS:,} vehicles: as many as one frame holds")
    conclude("bench-slow", slow(scene), as_json=as_json)


if __name__ == "__main__":
    main()
