"""`make bench-resume`: a node dies, and all its clients come back to another at once.

Two nodes share a Redis under a steady load, stored as the bridge stores it. One has the clients, half of them with
`batch` and half with `latest`; the other has some observers. The first is killed; its clients connect to the other as
soon as they notice, each with its cursor. Printed is how long after the death they had their first frame, and
everything that was stored up to the death; and the latency at the observers, which has the interval in it. Exit
status 1 unless all are served within half a minute, and have in the end every reading of their fleet that Redis has
(with `latest` the newest of each vehicle), and none twice.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import msgspec
from redis.asyncio import Redis

from bench.child import Child, child
from bench.crowd import allow_files
from bench.figures import Figure, Found, conclude, count, progress
from bench.fleets import Fleets, Stored
from bench.followers import Latency, Outcome, Plan, Served, State
from bench.programs import Server, redis_server, stream_node
from fleetwire.observer import percentile
from fleetwire.parts import cpu_seconds
from wire import keys
from wire.clock import now_ms
from wire.ids import parse_id

T = TypeVar("T")

SETTLE_SECONDS = 2.0  # before anything is measured, and after all were served


class Scene(NamedTuple):
    """Clients that come back, and observers; fleets and vehicles; readings a second; `interval` of all subscriptions,
    ms; seconds before the death."""

    clients: int
    observers: int
    fleets: int
    vehicles: int
    rate: int
    interval: int
    seconds: float


class Death(NamedTuple):
    """When the node died, and when all of its clients had everything again, epoch ms; when they were served, by
    strategy. CPU seconds in the meantime: of the other node, of Redis, and of the processes of the clients."""

    at: int
    over: int
    served: dict[str, Served]
    node_s: float
    redis_s: float
    clients_s: float

    @property
    def seconds(self) -> float:
        """From the one to the other."""
        return (self.over - self.at) / 1000

    @property
    def late(self) -> int:
        """How many clients were not served until then."""
        return sum(one.late for one in self.served.values())


async def _ask(child: Child, kind: type[T], *words: object) -> T:
    return msgspec.convert(await child.ask(*words), kind)


async def _kill(dying: Server, other: Server, redis: Server, clients: dict[str, Child]) -> Death:
    """Kill one, and wait until all its clients have come back to the other, and have what they missed."""

    async def used() -> tuple[float, float, float]:
        states = [await _ask(some, State, "state") for some in clients.values()]
        return cpu_seconds(other.pid), cpu_seconds(redis.pid), sum(state.cpu_s for state in states)

    async with Redis(port=redis.port) as client:
        before = await used()
        at = now_ms()
        dying.part.process.kill()
        order = parse_id(await client.get(keys.CLOCK) or "0-0")
    answers = await asyncio.gather(*(_ask(some, Served, "served", order) for some in clients.values()))
    spent = [after - start for start, after in zip(before, await used(), strict=True)]
    served = dict(zip(clients, answers, strict=True))
    return Death(at, max(one.over for one in answers), served, *spent)


async def resume(scene: Scene) -> Found:
    """One run."""
    allow_files(scene.clients + scene.observers)
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        redis = await stack.enter_async_context(redis_server(logs))
        dying = await stack.enter_async_context(stream_node("dying", redis, logs))
        other = await stack.enter_async_context(stream_node("other", redis, logs))
        fleets = Fleets(scene.fleets, scene.vehicles)

        async def follow(port: int, number: int, strategy: Literal["batch", "latest"]) -> Child:
            plan = Plan(fleets, [port], number, strategy, scene.interval, refuge=other.port)
            followers = await stack.enter_async_context(child("bench.followers", msgspec.json.encode(plan).decode()))
            await followers.answer()
            return followers

        observers = await follow(other.port, scene.observers, "batch")
        half = scene.clients // 2
        clients = {
            "batch": await follow(dying.port, scene.clients - half, "batch"),
            "latest": await follow(dying.port, half, "latest"),
        }
        load = await stack.enter_async_context(child("bench.fleets", redis.port, *fleets, scene.rate))
        await load.answer()

        await asyncio.sleep(SETTLE_SECONDS)
        began, node_s = now_ms(), cpu_seconds(other.pid)
        await asyncio.sleep(scene.seconds)
        node_s = (cpu_seconds(other.pid) - node_s) / scene.seconds
        death = await _kill(dying, other, redis, clients)
        progress(f"{scene.clients - death.late:,} of {scene.clients:,} were served within {death.seconds:.2f} s")
        await asyncio.sleep(SETTLE_SECONDS)
        stored = await _ask(load, Stored, "stop")
        progress(f"the load was {stored.late_s * 1000:.0f} ms behind at most, and took {stored.cpu_s:.2f} s of CPU")
        outcomes = {name: await _ask(some, Outcome, "finish", redis.port) for name, some in clients.items()}
        outcomes["observers"] = await _ask(observers, Outcome, "finish", redis.port)
        before = await _ask(observers, Latency, "latency", began, death.at)
        during = await _ask(observers, Latency, "latency", death.at, death.over)
    return Found(
        f"{scene.clients:,} clients of a node that dies, {scene.observers} observers at another; {scene.fleets} "
        f"fleets, {scene.vehicles:,} vehicles, {scene.rate:,} readings/s; {os.cpu_count()} cores",
        [
            *_waited(death),
            Figure("live p50 before", before.p50, "ms"),
            Figure("live p99 before", before.p99, "ms"),
            Figure("live max before", before.most, "ms"),
            Figure("live p50 from the death until then", during.p50, "ms"),
            Figure("live p99 from the death until then", during.p99, "ms", "≤ 250 ms"),
            Figure("live max from the death until then", during.most, "ms"),
            Figure("sent away, and come again", sum(one.sent_away for one in death.served.values())),
            Figure("readings missing, batch", outcomes["batch"].missing, "", "0"),
            Figure("readings doubled, batch", outcomes["batch"].doubled, "", "0"),
            Figure("CPU of the node before, a second", node_s, "s"),
            Figure("CPU of the node in the meantime", death.node_s, "s"),
            Figure("CPU of Redis in the meantime", death.redis_s, "s"),
            Figure("CPU of the clients in the meantime", death.clients_s, "s"),
        ],
        [
            *(f"{name}: {one.late:,} clients were not served" for name, one in death.served.items() if one.late),
            *(f"{name}: {text}" for name, outcome in outcomes.items() for text in outcome.wrong(stored.readings)),
        ],
    )


def _waited(death: Death) -> list[Figure]:
    """How long the clients waited, from the death on."""
    figures = [Figure("until the last has everything", death.over - death.at, "ms", "≤ 2,000 ms")]
    for name, served in death.served.items():
        for what, times in (("first frame", served.first), ("everything", served.whole)):
            waited = [at - death.at for at in times]
            figures += [
                Figure(f"{name}, {what}, p50", percentile(waited, 0.5) or 0, "ms"),
                Figure(f"{name}, {what}, p99", percentile(waited, 0.99) or 0, "ms"),
                Figure(f"{name}, {what}, max", max(waited, default=0), "ms"),
            ]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=count, default=1_000, help="of the node that dies; at least 2")
    parser.add_argument("--observers", type=count, default=50, help="clients of the other node")
    parser.add_argument("--fleets", type=count, default=20)
    parser.add_argument("--vehicles", type=count, default=1_000, help="of all fleets")
    parser.add_argument("--rate", type=count, default=1_000, help="readings a second")
    parser.add_argument("--interval", type=int, default=100, help="ms between frames")
    parser.add_argument("--seconds", type=float, default=5, help="before the death")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    if arguments["clients"] < 2:
        parser.error("at least 2 clients, for both strategies")
    conclude("bench-resume", resume(Scene(**arguments)), as_json=as_json)


if __name__ == "__main__":
    main()
