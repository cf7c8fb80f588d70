"""`make bench-scale`: what a delivery costs when the dashboards multiply, and nodes with them.

The same load goes straight into one Redis, as the bridge stores it. One, two and four nodes have as many dashboards
each: a node that is added brings its own share of clients. These are spread evenly, those of each fleet too: each
node follows every fleet, the worst that a balancer can do. The rate is modest, so that nothing saturates. A reading
costs a node something (receive, decode, the table, a frame for each fleet) whoever watches: what that comes to when
the same dashboards are spread over more nodes than they need is printed beside it. Exit status 1 unless every
dashboard was given every reading of its fleet that Redis has, and each once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from bench.child import child
from bench.crowd import allow_files
from bench.figures import Figure, Found, conclude, count, progress
from bench.fleets import Fleets, Stored
from bench.followers import Outcome, Plan, State
from bench.programs import redis_server, stream_node
from fleetwire.parts import cpu_seconds

WARM_SECONDS = 1.5
MOST = 1.15  # times what a delivery costs at one node


class Scene(NamedTuple):
    """Dashboards of each node, fleets and vehicles; readings a second; seconds of each run; runs of each number of
    nodes."""

    dashboards: int
    fleets: int
    vehicles: int
    rate: int
    seconds: float
    rounds: int


class Run(NamedTuple):
    """Deliveries of all nodes; CPU seconds of these, and of Redis; and what was wrong."""

    deliveries: int
    nodes_s: float
    redis_s: float
    problems: list[str]

    @property
    def cost(self) -> float:
        """CPU seconds of the nodes for a million deliveries."""
        return self.nodes_s / self.deliveries * 1e6

    @property
    def all_cost(self) -> float:
        """CPU seconds of nodes and Redis for a million deliveries."""
        return (self.nodes_s + self.redis_s) / self.deliveries * 1e6


async def _run(scene: Scene, nodes: int, dashboards_each: int) -> Run:
    """So many nodes, fresh servers."""
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        redis = await stack.enter_async_context(redis_server(logs))
        numbers = range(1, nodes + 1)
        up = [await stack.enter_async_context(stream_node(f"node-{number}", redis, logs)) for number in numbers]
        plan = Plan(Fleets(scene.fleets, scene.vehicles), [node.port for node in up], dashboards_each * nodes)
        dashboards = await stack.enter_async_context(child("bench.followers", msgspec.json.encode(plan).decode()))
        await dashboards.answer()
        load = await stack.enter_async_context(
            child("bench.fleets", redis.port, scene.fleets, scene.vehicles, scene.rate)
        )
        await load.answer()

        async def look() -> tuple[State, float, float]:
            state = msgspec.convert(await dashboards.ask("state"), State)
            return state, sum(cpu_seconds(node.pid) for node in up), cpu_seconds(redis.pid)

        await asyncio.sleep(WARM_SECONDS)
        before, *cpu_before = await look()
        await asyncio.sleep(scene.seconds)
        after, *cpu_after = await look()
        stored = msgspec.convert(await load.ask("stop"), Stored)
        outcome = msgspec.convert(await dashboards.ask("finish", redis.port), Outcome)
    nodes_s, redis_s = (end - start for start, end in zip(cpu_before, cpu_after, strict=True))
    run = Run(after.deliveries - before.deliveries, nodes_s, redis_s, outcome.wrong(stored.readings))
    progress(
        f"{_named(nodes)}, {dashboards_each * nodes} dashboards: {run.deliveries / scene.seconds:,.0f} deliveries/s; "
        f"CPU of a million {run.cost:.2f} s, "
        f"with Redis {run.all_cost:.2f} s; CPU of the dashboards {after.cpu_s - before.cpu_s:.2f} s, "
        f"of the load {stored.cpu_s:.2f} s, which was {stored.late_s * 1000:.0f} ms behind at most"
    )
    return run


async def scale(scene: Scene, nodes: list[int]) -> Found:
    """All runs, in turns."""
    first, last = nodes[0], nodes[-1]
    allow_files(scene.dashboards * last)
    runs: dict[int, list[Run]] = {number: [] for number in nodes}
    spread = []
    for _ in range(scene.rounds):
        for number in nodes:
            runs[number].append(await _run(scene, number, scene.dashboards))
        if last > first:
            spread.append(await _run(scene, last, max(1, scene.dashboards * first // last)))
    return Found(
        f"{scene.dashboards} dashboards a node, of {scene.fleets} fleets, {scene.vehicles:,} vehicles, "
        f"{scene.rate:,} readings/s; {os.cpu_count()} cores; medians of {scene.rounds}",
        _figures(scene, runs, spread),
        [
            f"{_named(number)}: {text}"
            for number, some in (*runs.items(), (last, spread))
            for run in some
            for text in run.problems
        ],
    )


def _figures(scene: Scene, runs: dict[int, list[Run]], spread: list[Run]) -> list[Figure]:
    """By number of nodes; the first is what the others are compared with."""
    costs = {number: median(run.cost for run in some) for number, some in runs.items()}
    first, last = next(iter(runs)), next(reversed(runs))
    figures = []
    for number, some in runs.items():
        per_second = median(run.deliveries for run in some) / scene.seconds
        figures += [
            Figure(f"{_named(number)}, deliveries a second", per_second, "/s"),
            Figure(f"{_named(number)}, deliveries a second of CPU of the nodes", 1e6 / costs[number], "/s"),
            Figure(f"{_named(number)}, CPU of the nodes, a million deliveries", costs[number], "s"),
            Figure(f"{_named(number)}, with that of Redis", median(run.all_cost for run in some), "s"),
        ]
        if number != first:
            ratio = costs[number] / costs[first]
            figures.append(Figure(f"{_named(number)}, CPU of a delivery / {_named(first)}", ratio, "", f"≤ {MOST}"))
    if last > first:
        ratio = median(run.cost for run in spread) / costs[first]
        figures.append(Figure(f"those of {_named(first)} over {_named(last)}, CPU of a delivery", ratio, "times"))
    return figures


def _named(number: int) -> str:
    return "1 node" if number == 1 else f"{number} nodes"


def _nodes(text: str) -> list[int]:
    return [count(word) for word in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=_nodes, default=[1, 2, 4], help="how many, of each run: 1,2,4")
    parser.add_argument("--dashboards", type=count, default=200, help="of each node")
    parser.add_argument("--fleets", type=count, default=20)
    parser.add_argument("--vehicles", type=count, default=1_000, help="of all fleets")
    parser.add_argument("--rate", type=count, default=1_000, help="readings a second")
    parser.add_argument("--seconds", type=float, default=10, help="of each run")
    parser.add_argument("--rounds", type=count, default=3, help="runs of each number of nodes; medians are taken")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = vars(parser.parse_args())
    as_json, nodes = arguments.pop("json"), arguments.pop("nodes")
    conclude("bench-scale", scale(Scene(**arguments), nodes), as_json=as_json)


if __name__ == "__main__":
    main()
