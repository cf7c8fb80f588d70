"""`make bench-hostile`: a minute in which many mean no good, and what those who do notice of it.

The whole pipeline, with its limits as they are by default, under a steady load; and dashboards that read all of it.
First they are alone, then beside them are connections that never say what they want, clients that never read, that
write nonsense, that subscribe and unsubscribe, all of them as fast as they can and coming back whenever they are
thrown out, and a device that publishes thousands of readings a second. The node's memory is compared with what it was
when as many ordinary clients had come and gone. Exit status 1 unless each of the dashboards stayed connected and was
told of every reading, and all parts are still there.

The attackers are processes of their own, at nice 19: on a machine whose cores are all in use they get what is left.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from bench.child import ROOT, Child, child
from bench.crowd import allow_files
from bench.figures import Figure, Found, conclude, count, progress, resident
from bench.programs import mosquitto, redis_server
from fleetwire.embedded import free_port
from fleetwire.parts import Part, cpu_seconds, part, program, ready
from wire.errors import Unavailable

FLEET = "hostile"
CONNECTIONS = 10  # of the load
AGAIN = "alone again"
SAMPLE_SECONDS = 0.5
REFUSED_SECONDS = 60.0  # at most, until somebody is refused
WITHIN = 1.1  # times what it was


class Scene(NamedTuple):
    """How many of each there are; vehicles and readings a second of the load; seconds alone, and beside them, those
    before each phase, and at most until the node's memory is what it was."""

    dashboards: int
    half_open: int
    mute: int
    garbage: int
    churn: int
    devices: int
    vehicles: int
    rate: int
    alone: float
    seconds: float
    settle: float
    calm: float

    @property
    def crowds(self) -> dict[str, int]:
        """The attackers, by role."""
        crowds = {"half-open": self.half_open, "mute": self.mute, "garbage": self.garbage, "churn": self.churn}
        return {role: number for role, number in (crowds | {"device": self.devices}).items() if number}

    @property
    def readings(self) -> int:
        """Of the load, for all of it."""
        return int(self.rate * (2 * self.alone + self.seconds + 4 * self.settle))


class System(NamedTuple):
    """What is attacked."""

    node: Part
    bridge: Part
    broker: Part
    redis: Part

    def seconds(self) -> dict[str, float]:
        """CPU time of each so far."""
        return {one.name: cpu_seconds(one.process.pid) for one in self}


class Phase(NamedTuple):
    """Latency of the dashboards (ms), the node's resident memory at the end (bytes), and the shares of a core."""

    p50_ms: int
    p99_ms: int
    resident: int
    cpu: dict[str, float]


async def _phase(dashboards: Child, system: System, name: str, seconds: float) -> Phase:
    await dashboards.ask("clear")
    before = system.seconds()
    await asyncio.sleep(seconds)
    cpu = {part: (after - before[part]) / seconds for part, after in system.seconds().items()}
    found = await dashboards.ask("latency")
    if not found["readings"] and name != AGAIN:  # then the load may be at its end
        raise Unavailable(f"nothing reached the dashboards within {seconds:g} s")
    phase = Phase(found["p50"], found["p99"], resident(system.node), cpu)
    shares = ", ".join(f"{part} {share:.0%}" for part, share in cpu.items())
    progress(f"{name}: p50 {phase.p50_ms} ms, p99 {phase.p99_ms} ms; {phase.resident / 1e6:.1f} MB; CPU {shares}")
    return phase


async def _warm(port: int, clients: int) -> None:
    """As many clients as will be attackers come, and go: what memory Python keeps of that is not of an attack."""
    if clients:
        async with child("bench.idlers", port, clients) as idlers:
            await idlers.answer()
            await idlers.ask("subscribe", f"fleets/{FLEET}/+/telemetry")


async def _calm(node: Part, wanted: float, seconds: float) -> int:
    """The node's memory, once it is no more than that, or after a while."""
    found = resident(node)
    for _ in range(int(seconds / SAMPLE_SECONDS)):
        if found <= wanted:
            break
        await asyncio.sleep(SAMPLE_SECONDS)
        found = resident(node)
    return found


async def _refusals(port: int) -> dict[str, float]:
    """What the node has refused, by reason, once there is something, or after a while."""
    for _ in range(int(REFUSED_SECONDS / SAMPLE_SECONDS)):
        counted = await asyncio.to_thread(_counted, port, "fleetwire_stream_refusals_total", "reason")
        if counted:
            break
        await asyncio.sleep(SAMPLE_SECONDS)
    return counted | await asyncio.to_thread(_counted, port, "fleetwire_stream_throttled_total", "throttled")


def _counted(port: int, metric: str, label: str) -> dict[str, float]:
    """A metric by its label; what is 0 is left out."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode())
        samples = [sample for family in families for sample in family.samples if sample.name == metric]
    return {sample.labels.get(label, label): sample.value for sample in samples if sample.value}


async def hostile(scene: Scene) -> Found:
    """One run."""
    allow_files(scene.dashboards + sum(scene.crowds.values()))
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        broker = await stack.enter_async_context(mosquitto(logs))
        redis = await stack.enter_async_context(redis_server(logs))
        port, metrics, url = free_port(), free_port(), ("--redis-url", f"redis://127.0.0.1:{redis.port}")
        node = await stack.enter_async_context(part("node", "stream", *url, "--port", str(port), logs=logs))
        options = ("--mqtt-url", f"mqtt://127.0.0.1:{broker.port}", "--metrics-port", str(metrics))
        bridge = await stack.enter_async_context(part("bridge", "ingest", *url, *options, logs=logs))
        await ready(node, f"http://127.0.0.1:{port}/readyz")
        await ready(bridge, f"http://127.0.0.1:{metrics}/readyz")

        system = System(node, bridge, broker.part, redis.part)
        who = (port, f"fleets/{FLEET}/+/telemetry", scene.dashboards, 0, 0)
        dashboards = await stack.enter_async_context(child("bench.watchers", *who))
        await dashboards.answer()
        what = map(str, (broker.port, FLEET, scene.vehicles, scene.readings, 1, scene.rate))
        command = (sys.executable, "-m", "bench.load", *what, f"--connections={CONNECTIONS}")
        load = await stack.enter_async_context(program("load", *command, logs=logs, cwd=ROOT))

        await _warm(port, scene.mute + scene.garbage + scene.churn)
        await asyncio.sleep(scene.settle)
        alone = await _phase(dashboards, system, "alone", scene.alone)
        opened = {}
        async with AsyncExitStack() as attack:
            crowds = {
                role: await attack.enter_async_context(
                    child("bench.attack", role, broker.port if role == "device" else port, number)
                )
                for role, number in scene.crowds.items()
            }
            await asyncio.sleep(scene.settle)
            beside = await _phase(dashboards, system, "beside the others", scene.seconds)
            for role, crowd in crowds.items():
                found = await crowd.ask("count")
                opened[role] = found["opened"]
                progress(f"{role}: {found['opened']:,} connections, {found['inside']:,} of them still there")
            refusals = await _refusals(port) if crowds else {}
        await asyncio.sleep(scene.settle)
        again = await _phase(dashboards, system, AGAIN, scene.alone)
        if await load.process.wait():
            raise Unavailable(f"the load could not publish: {load.last_words()}")
        await dashboards.ask("settle", scene.readings)
        told = await dashboards.ask("finish", scene.readings)
        after = await _calm(node, WITHIN * alone.resident, scene.calm)
        problems = [] if refusals or not scene.crowds else ["nobody was refused anything"]
        problems += [f"{times} of the dashboards, {text}" for text, times in told["problems"].items()]
        problems += [
            f"the {one.name} has had an accident: {one.log.read_text('utf-8', 'replace')[-2_000:]}"
            for one in (node, bridge)
            if "Traceback" in one.log.read_text("utf-8", "replace")
        ]
    return _found(scene, (alone, beside, again), after, opened, refusals, problems)


def _found(
    scene: Scene,
    phases: tuple[Phase, Phase, Phase],
    after: int,
    opened: dict[str, int],
    refusals: dict[str, float],
    problems: list[str],
) -> Found:
    alone, beside, again = phases
    crowds = ", ".join(f"{number:,} {role}" for role, number in scene.crowds.items())
    return Found(
        f"{scene.dashboards} dashboards, {scene.rate:,} readings/s of {scene.vehicles} vehicles; beside them, at "
        f"nice 19, {crowds}; {os.cpu_count()} cores",
        [
            Figure("p50 of the dashboards, alone", alone.p50_ms, "ms"),
            Figure("p50 of the dashboards, beside the others", beside.p50_ms, "ms"),
            Figure("p99 of the dashboards, alone", alone.p99_ms, "ms"),
            Figure("p99 of the dashboards, beside the others", beside.p99_ms, "ms"),
            Figure("p99 of the dashboards, alone again", again.p99_ms, "ms"),
            Figure("p99 grows", beside.p99_ms / max(1, alone.p99_ms), "times", "≤ 2"),
            *(Figure(f"CPU of the {part}, alone", share * 100, "%") for part, share in alone.cpu.items()),
            *(
                Figure(f"CPU of the {part}, beside the others", share * 100, "%")
                for part, share in beside.cpu.items()
            ),
            Figure("memory of the node, alone", alone.resident / 1e6, "MB"),
            Figure("memory of the node, beside the others", beside.resident / 1e6, "MB"),
            Figure("memory of the node, afterwards", after / 1e6, "MB"),
            Figure("memory has grown by", (after / alone.resident - 1) * 100, "%", "≤ 10 %"),
            *(Figure(f"connections, {role}", number) for role, number in opened.items()),
            *(Figure(f"refused, {reason}", number) for reason, number in refusals.items()),
        ],
        problems,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dashboards", type=count, default=100, help="those who mean well")
    parser.add_argument("--half-open", type=int, default=2_000, help="connections that never say what they want")
    parser.add_argument("--mute", type=int, default=200, help="clients that never read")
    parser.add_argument("--garbage", type=int, default=100, help="clients that write nonsense")
    parser.add_argument("--churn", type=int, default=50, help="clients that subscribe and unsubscribe")
    parser.add_argument("--devices", type=int, default=1, help="devices of 5,000 readings/s with 300 signals")
    parser.add_argument("--vehicles", type=count, default=100, help="of the load")
    parser.add_argument("--rate", type=count, default=500, help="readings a second of the load")
    parser.add_argument("--alone", type=float, default=20, help="seconds without the others")
    parser.add_argument("--seconds", type=float, default=60, help="seconds beside them")
    parser.add_argument("--settle", type=float, default=4, help="seconds before each phase")
    parser.add_argument("--calm", type=float, default=60, help="seconds at most until memory is what it was")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    conclude("bench-hostile", hostile(Scene(**arguments)), as_json=as_json)


if __name__ == "__main__":
    main()
