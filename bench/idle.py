"""`make bench-idle`: thousands of idle WebSocket connections to one node.

All ask for the same, with interval 0. Printed are the node's resident memory (the kernel's for the sockets is not in
it), how fast the connections are taken and their subscriptions answered, and how long a reading is on its way from
its store in Redis to the first and to the last of them. Exit status 1 when one of them did not get a reading.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from redis.asyncio import Redis

from bench.child import Child, child
from bench.crowd import allow_files
from bench.feeder import Feeder
from bench.figures import Figure, Found, conclude, count, progress, resident
from bench.programs import CROWDED, redis_server
from fleetwire.embedded import free_port
from fleetwire.parts import part, ready
from wire.clock import now_ms
from wire.reading import Reading

TOPIC = "fleets/bench/v1/telemetry"
FILTER = "fleets/bench/+/telemetry"
WARM = 50  # connections before the memory is looked at first
SETTLE_SECONDS = 1.0


class Reach(NamedTuple):
    """How many had a reading, and ms from its store to the first and the last of them."""

    heard: int
    first_ms: float
    last_ms: float


async def _reach(clients: Child, feeder: Feeder, number: int) -> Reach:
    await clients.ask("hear", f'{{"n":{number}}}')
    stored = time.monotonic()
    await feeder.store([(TOPIC, Reading(now_ms(), {"n": number}))])
    heard = await clients.answer()
    return Reach(heard["count"], (heard["first"] - stored) * 1e3, (heard["last"] - stored) * 1e3)


async def idle(connections: int, readings: int) -> Found:
    """One run."""
    allow_files(connections + WARM)
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        redis = await stack.enter_async_context(redis_server(logs))
        feeder = Feeder(await stack.enter_async_context(Redis(port=redis.port)))
        await feeder.introduce([TOPIC])
        await feeder.store([(TOPIC, Reading(now_ms(), {"n": 0}))])
        port = free_port()
        options = ("--port", str(port), "--redis-url", f"redis://127.0.0.1:{redis.port}", *CROWDED)
        node = await stack.enter_async_context(part("node", "stream", *options, logs=logs))
        await ready(node, f"http://127.0.0.1:{port}/readyz")

        few = await stack.enter_async_context(child("bench.idlers", port, WARM))
        await few.answer()
        await few.ask("subscribe", FILTER)
        await asyncio.sleep(SETTLE_SECONDS)
        before = resident(node)
        progress(f"{before / 1e6:.1f} MB; opening {connections:,} connections")

        clients = await stack.enter_async_context(child("bench.idlers", port, connections))
        opened = await clients.answer()
        progress(f"opened in {opened['seconds']:.2f} s; subscribing")
        subscribed = await clients.ask("subscribe", FILTER)
        await asyncio.sleep(SETTLE_SECONDS)
        memory = resident(node)
        progress(f"{memory / 1e6:.1f} MB; {readings} readings for all")
        reaches = [await _reach(clients, feeder, number) for number in range(1, readings + 1)]
        high = resident(node)

    lost = sum(connections - reach.heard for reach in reaches)
    problems = [f"{lost:,} of {readings * connections:,} deliveries never came"] if lost else []
    if subscribed["count"] < connections:
        problems.append(f"{connections - subscribed['count']:,} subscriptions were not answered")
    return Found(
        f"{connections:,} idle connections to one node, {os.cpu_count()} cores; medians of {readings} readings",
        [
            Figure("resident memory before", before / 1e6, "MB"),
            Figure("resident memory with them", memory / 1e6, "MB"),
            Figure("and after the readings", high / 1e6, "MB"),
            Figure("memory a connection", (memory - before) / connections / 1e3, "KB", "≤ 25 KB"),
            Figure("connections accepted a second", connections / opened["seconds"], "/s", "≥ 2,000/s"),
            Figure("subscriptions answered a second", connections / subscribed["seconds"], "/s"),
            Figure("first connect to last reply", opened["seconds"] + subscribed["seconds"], "s"),
            Figure("a reading, stored to first client", median(reach.first_ms for reach in reaches), "ms"),
            Figure("a reading, stored to last client", median(reach.last_ms for reach in reaches), "ms", "≤ 200 ms"),
        ],
        problems,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=count, default=10_000, help="idle connections")
    parser.add_argument("--readings", type=count, default=11, help="readings for all of them, one after the other")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    conclude("bench-idle", idle(arguments.connections, arguments.readings), as_json=arguments.json)


if __name__ == "__main__":
    main()
