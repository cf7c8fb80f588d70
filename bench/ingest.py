"""`make bench-ingest`: bridges from MQTT to Redis, compared in one run on this machine.

ours is `fleetwire ingest`: log, last known state, publish, and the acknowledgement after the store. node, node-tuned
and naive only publish. sink stores nothing: it is what the broker can deliver. codec, mqttium and aiomqtt, which run
when they are asked for, only receive, and acknowledge by hand: what ours could be built on. Each runs alone against
a fresh mosquitto and redis-server, in turn. At full speed bridge, broker, Redis and load share the cores; the CPU
that a bridge spends on a reading means something all the same. Compare figures of one run: those of another run, or
machine, say little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec
from redis.asyncio import Redis

from bench.programs import Server, find, mosquitto, node_bridge, program, redis_server, says_ready, tree_seconds
from bench.report import Run, medians, ratios, table
from fleetwire.embedded import free_port
from fleetwire.parts import Part, cpu_seconds, ready
from wire.errors import Unavailable

BENCH = Path(__file__).parent
SUBJECTS = ("ours", "node", "node-tuned", "naive", "sink")
RECEIVERS = ("codec", "mqttium", "aiomqtt")  # store nothing, and acknowledge by hand
SHARES = {"naive": 8, "aiomqtt": 8}  # of the readings, a part: these take so much longer
VEHICLES = 1_000
SIGNALS = 3
CONNECTIONS = 10
WARM = 1_000  # readings that are not counted
POLL_SECONDS = 0.02
LOG_LINES = 20  # of a bridge that ended, to be shown
QUIET_SECONDS = 5  # without a reading, after the load: no more will come

Stored = Callable[[], Awaitable[int]]


class Task(NamedTuple):
    """What one run is about: a subject, the QoS, readings, and readings a second (0: as fast as they go)."""

    subject: str
    qos: int
    readings: int
    rate: float


async def _bridge(task: Task, broker: Server, redis: Server, logs: Path, stack: AsyncExitStack) -> Part:
    """The subject, running and subscribed."""
    mqtt_url, redis_url = f"mqtt://127.0.0.1:{broker.port}", f"redis://127.0.0.1:{redis.port}"
    qos, metrics = str(task.qos), str(free_port())
    command: tuple[str, ...]
    match task.subject:
        case "ours":
            options = ("--mqtt-url", mqtt_url, "--redis-url", redis_url, "--metrics-port", metrics)
            command = (sys.executable, "-m", "fleetwire", "ingest", *options, "--client-id", "bench")
        case "node" | "node-tuned":
            tuned = ("tuned",) if task.subject == "node-tuned" else ()
            command = (*await node_bridge(BENCH / "bridges" / "node"), mqtt_url, redis_url, qos, *tuned)
        case "naive":
            command = (sys.executable, str(BENCH / "bridges" / "naive.py"), str(broker.port), redis_url, qos)
        case "codec" | "mqttium" | "aiomqtt":
            receiver = str(BENCH / "bridges" / "receiver.py")
            command = (sys.executable, receiver, task.subject, str(broker.port), qos)
        case _:
            command = (sys.executable, str(BENCH / "bridges" / "sink.py"), str(broker.port), qos)
    part = await stack.enter_async_context(program(task.subject, *command, logs=logs))
    if task.subject == "ours":
        await ready(part, f"http://127.0.0.1:{metrics}/readyz")
    else:
        await says_ready(part)
    return part


async def _calls(client: Redis, command: str) -> int:
    """Calls of a command that Redis has had, those of scripts included."""
    stats = await client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def _counted(sink: Part) -> int:
    words = sink.last_words()
    return int(words) if words.isdigit() else 0


def _log(part: Part) -> str:
    return "\n".join(part.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:])


class Arrival(NamedTuple):
    """What came of a load: how many readings, the seconds from the first publish to the last arrival, and the
    readings a second that the broker took."""

    readings: int
    seconds: float
    offered: float


async def _load(task: Task, fleet: str, broker: Server, bridge: Part, stored: Stored) -> Arrival:
    """Publish a task's readings, and wait until they are stored, or no more come."""
    base = await stored()
    options = (f"--signals={SIGNALS}", f"--connections={CONNECTIONS}", "--times")
    what = map(str, (broker.port, fleet, VEHICLES, task.readings, task.qos, task.rate))
    load = await asyncio.create_subprocess_exec(
        *(sys.executable, str(BENCH / "load.py"), *what, *options),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        count, at = 0, time.monotonic()
        while count < task.readings:
            await asyncio.sleep(POLL_SECONDS)
            if bridge.process.returncode is not None:
                raise Unavailable(f"{bridge.name} ended in the middle:\n{_log(bridge)}")
            before, count = count, await stored() - base
            if count != before:
                at = time.monotonic()
            elif load.returncode is not None and time.monotonic() - at > QUIET_SECONDS:
                break
        said, _ = await load.communicate()
    finally:
        if load.returncode is None:
            load.kill()
            await load.wait()
    if load.returncode:
        raise Unavailable("the load could not publish; see above")
    started, ended = map(float, said.split())
    return Arrival(count, at - started, task.readings / (ended - started))


async def _used(client: Redis) -> float:
    cpu = await client.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


async def _run(task: Task) -> Run:
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        broker = await stack.enter_async_context(mosquitto(logs))
        redis = await stack.enter_async_context(redis_server(logs))
        client = await stack.enter_async_context(Redis(port=redis.port))
        bridge = await _bridge(task, broker, redis, logs, stack)

        async def stored() -> int:
            if task.subject in ("sink", *RECEIVERS):
                return await _counted(bridge)
            # Ours publishes more than readings: it announces each batch.
            return await _calls(client, "xadd" if task.subject == "ours" else "publish")

        async def cpu() -> tuple[float, float, float]:
            return tree_seconds(bridge.process.pid), await _used(client), cpu_seconds(broker.pid)

        await _load(task._replace(readings=WARM, rate=0), "warm", broker, bridge, stored)
        before = await cpu()
        arrival = await _load(task, "bench", broker, bridge, stored)
        spent = [(after - was) / task.readings * 1e6 for after, was in zip(await cpu(), before, strict=True)]
    return Run(
        task.subject, task.qos, task.readings, arrival.readings,
        arrival.readings / arrival.seconds, arrival.offered, *spent,
    )  # fmt: skip


async def bench(tasks: list[Task]) -> list[Run]:
    """All runs, one after the other."""
    find("mosquitto", package="mosquitto")
    find("redis-server", package="redis-server")
    if any(task.subject.startswith("node") for task in tasks):
        await node_bridge(BENCH / "bridges" / "node")
    runs = []
    for number, task in enumerate(tasks, 1):
        run = await _run(task)
        lost = "" if run.complete else f", {run.arrived:,} of {run.sent:,} arrived"
        print(
            f"{number}/{len(tasks)}  QoS {run.qos}  {run.subject:10}{run.per_second:>9,.0f} readings/s"
            f"{run.bridge_us:>7.1f} µs of CPU a reading{lost}",
            file=sys.stderr,
        )
        runs.append(run)
    return runs


def _subjects(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := set(chosen) - {*SUBJECTS, *RECEIVERS}:
        some = ", ".join((*SUBJECTS, *RECEIVERS))
        raise argparse.ArgumentTypeError(f"no subject {', '.join(sorted(unknown))}: some of {some}")
    return chosen


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=_count, default=200_000, help="readings of a run")
    parser.add_argument("--repeat", type=_count, default=3, help="runs of each kind; medians are printed")
    parser.add_argument(
        "--rate", type=float, default=0, help="readings a second; 0: as fast as the broker takes them"
    )
    parser.add_argument(
        "--only", type=_subjects, default=SUBJECTS, help=f"some of {','.join((*SUBJECTS, *RECEIVERS))}"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    tasks = [
        Task(subject, qos, max(1, arguments.readings // SHARES.get(subject, 1)), arguments.rate)
        for qos in (0, 1) for _ in range(arguments.repeat) for subject in arguments.only
    ]  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: whatever was started is stopped
    try:
        runs = asyncio.run(bench(tasks))
    except Unavailable as error:
        sys.exit(f"bench-ingest: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    middle = medians(runs)
    if arguments.json:
        found = {"vehicles": VEHICLES, "rate": arguments.rate, "cores": os.cpu_count()}
        print(msgspec.json.encode(found | {"runs": runs, "medians": middle, "ratios": ratios(middle)}).decode())
    else:
        speed = f"{arguments.rate:,g} a second" if arguments.rate else "as fast as they go"
        print(
            f"{arguments.readings:,} readings from {VEHICLES:,} vehicles, {speed}; medians of {arguments.repeat}; "
            f"mosquitto and redis-server, {os.cpu_count()} cores\n\n{table(middle)}"
        )
    if any(run.subject == "ours" and run.qos and not run.complete for run in runs):
        sys.exit(1)


if __name__ == "__main__":
    main()
