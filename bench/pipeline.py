"""`make bench`: the whole pipeline on this machine, in one run.

Broker, Valkey, bridge, node and one dashboard that takes every reading. For each QoS: readings/s as fast as they
go, then latency at a steady rate; and the CPU that each part spent on a reading. Compare the columns of one run:
the times of another run, or machine, say little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from fleetwire.embedded import free_port
from fleetwire.observer import Observer, percentile
from fleetwire.parts import cpu_seconds, part, ready, servers
from wire.errors import Unavailable

VEHICLES = 1_000
PATIENCE_SECONDS = 60


class Run(NamedTuple):
    """What one load took. Latencies in ms from the device's clock to the dashboard; CPU in µs a reading."""

    name: str
    readings: int
    delivered: int
    per_second: float
    p50_ms: int | None
    p99_ms: int | None
    cpu_us: dict[str, float]


def _children(pid: int) -> dict[str, int]:
    """The servers by name: the processes that the helper process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    names = {child: Path(f"/proc/{child}/comm").read_text().strip() for child in found}
    return {"valkey" if "valkey" in name else "broker": int(child) for child, name in names.items()}


async def _run(name: str, url: str, port: int, pids: dict[str, int], count: int, qos: int, rate: float) -> Run:
    fleet = f"bench{time.time_ns()}"
    observer = Observer(url, fleet)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(observer.run())
        await observer.connected.wait()
        before = {part: cpu_seconds(pid) for part, pid in pids.items()}
        started = time.perf_counter()
        load = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.load", str(port), fleet, str(VEHICLES), str(count), str(qos), str(rate)
        )
        if await load.wait():
            raise Unavailable("the load could not publish; see above")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await observer.has(count)
        except TimeoutError:
            print(f"  {name}: only {observer.delivered} of {count} came within {PATIENCE_SECONDS} s", file=sys.stderr)
        elapsed = time.perf_counter() - started
        cpu = {part: (cpu_seconds(pid) - before[part]) / count * 1e6 for part, pid in pids.items()}
        watching.cancel()
    latencies = observer.latencies
    return Run(
        name, count, observer.delivered, observer.delivered / elapsed,
        percentile(latencies, 0.5), percentile(latencies, 0.99), cpu,
    )  # fmt: skip


async def bench(readings: int, rate: float) -> list[Run]:
    """All runs."""
    port, metrics_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="fleetwire-bench-") as folder:
        logs = Path(folder)
        async with servers() as embedded, AsyncExitStack() as stack:
            redis = ("--redis-url", embedded.redis)
            mqtt = ("--mqtt-url", f"mqtt://127.0.0.1:{embedded.mqtt5}", "--metrics-port", str(metrics_port))
            node = await stack.enter_async_context(part("node", "stream", "--port", str(port), *redis, logs=logs))
            bridge = await stack.enter_async_context(part("ingest", "ingest", *mqtt, *redis, logs=logs))
            await ready(bridge, f"http://127.0.0.1:{metrics_port}/readyz")
            await ready(node, f"http://127.0.0.1:{port}/readyz")
            pids = _children(embedded.pid)
            pids |= {"bridge": bridge.process.pid, "node": node.process.pid, "dashboard": os.getpid()}
            runs = []
            for qos in (0, 1):
                for name, count, pace in (
                    (f"QoS {qos}, as fast as it goes", readings, 0.0),
                    (f"QoS {qos}, {rate:g} a second", int(rate * 5), rate),
                ):
                    runs.append(await _run(name, f"ws://127.0.0.1:{port}", embedded.mqtt, pids, count, qos, pace))
            return runs


def _table(runs: list[Run]) -> str:
    parts = list(runs[0].cpu_us)
    head = f"{'':26}{'readings/s':>11}{'p50 ms':>8}{'p99 ms':>8}   CPU µs a reading:" + "".join(
        f"{p:>11}" for p in parts
    )
    rows = [
        f"{run.name:26}{run.per_second:>11,.0f}{run.p50_ms!s:>8}{run.p99_ms!s:>8}{'':20}"
        + "".join(f"{run.cpu_us[part]:>11.1f}" for part in parts)
        for run in runs
    ]
    return "\n".join([head, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=100_000, help="readings of a run at full speed")
    parser.add_argument("--rate", type=float, default=2_000, help="readings a second of a run for latency")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    runs = asyncio.run(bench(arguments.readings, arguments.rate))
    if arguments.json:
        print(msgspec.json.encode({"vehicles": VEHICLES, "runs": [run._asdict() for run in runs]}).decode())
    else:
        print(f"{VEHICLES:,} vehicles, one dashboard, embedded broker (rumqttd) and Valkey, {os.cpu_count()} cores\n")
        print(_table(runs))
    if any(run.delivered != run.readings for run in runs):
        sys.exit(1)


if __name__ == "__main__":
    main()
