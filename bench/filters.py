"""`make bench-filters`: what thousands of different filters cost a node, for each reading.

Readings of all vehicles are stored in Redis while a node has: one filter that matches none of them; as many as are
asked for that match none either, but look as deep (what these cost more is the matching); the same so that they
match. What came for a sample of the last is compared with what `wire.topics.matches` says. Exit status 1 when it is
anything else, or when the node has more patterns in Redis than there are fleets.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from redis.asyncio import Redis

from bench.feeder import Feeder
from bench.figures import Figure, Found, conclude, count, progress
from bench.listener import Arrival, Listener, listening
from bench.programs import CROWDED, redis_server
from fleetwire.embedded import free_port
from fleetwire.parts import cpu_seconds, part, ready
from wire.clock import now_ms
from wire.errors import Unavailable
from wire.ids import parse_id
from wire.reading import Reading, Value
from wire.topics import Trie, matches

FLEETS, VEHICLES = 20, 500  # vehicles of each fleet
SHAPES = {  # shapes of filters, with how many of twenty have it
    "fleets/{fleet}/{vehicle}/telemetry": 10,
    "fleets/{fleet}/{vehicle}/#": 6,
    "fleets/{fleet}/{vehicle}/+": 2,
    "fleets/+/{vehicle}/telemetry": 2,
}
NOTHING = "fleets/+/nobody/telemetry"
MARK = "fleets/f0/mark/status"  # what is stored behind some readings: when it comes, they have come
MARKED, CALL = 10_000, 500  # readings before a mark, and of one call
INTERVAL_MS = 500
SAMPLE = 100
OUTBOX_BYTES = 64_000_000  # what it costs to fall behind is not what is measured


class Run(NamedTuple):
    """CPU of the node, µs a reading; its patterns in Redis while all filters named their fleet, and with all of them;
    how often a reading was delivered; and what was wrong."""

    cpu_us: float
    patterns: tuple[int, int]
    deliveries: float
    problems: list[str]


def vehicles() -> list[str]:
    """The topics of all vehicles; neighbours are of different fleets."""
    pairs = itertools.product(range(VEHICLES), range(FLEETS))
    return [f"fleets/f{fleet}/v{vehicle}/telemetry" for vehicle, fleet in pairs]


def mixture(size: int) -> list[str]:
    """So many different filters, always the same ones: all of each fleet, and of each shape its share. Those that
    name their fleet come first."""
    chance = random.Random(1)
    found = {f"fleets/f{fleet}/+/telemetry": None for fleet in range(FLEETS)}
    while len(found) < size:
        (shape,) = chance.choices(list(SHAPES), list(SHAPES.values()))
        found[shape.format(fleet=f"f{chance.randrange(FLEETS)}", vehicle=f"v{chance.randrange(VEHICLES)}")] = None
    return sorted(list(found)[:size], key=_any_fleet)


def silenced(filter: str) -> str:
    """A filter that looks as deep, and matches no telemetry."""
    head, _, last = filter.rpartition("/")
    return f"{head}/alerts/#" if last == "#" else f"{head}/alerts"


def trie_us(filters: Sequence[str], topics: Sequence[str]) -> float:
    """µs of CPU to find the filters of a topic that was not asked for before, in this process."""
    trie: Trie[str] = Trie()
    for filter in filters:
        trie.add(filter, filter)
    started = time.process_time()
    for topic in topics:
        trie.match(topic)
    return (time.process_time() - started) / len(topics) * 1e6


def sample(filters: Sequence[str], topics: Sequence[str]) -> dict[str, list[str]]:
    """Some of the filters, with the topics that each matches."""
    some = random.Random(2).sample(filters, min(SAMPLE, len(filters)))
    return {filter: [topic for topic in topics if matches(filter, topic)] for filter in some}


def differs(came: Sequence[Arrival], expected: Mapping[str, int]) -> str:
    """How what came for a filter differs from how many readings of which topics match; nothing when it does not."""
    if Counter(topic for topic, _ in came) != expected:
        return f"{len(came):,} readings came, and {sum(expected.values()):,} match"
    last: dict[str, int] = {}
    for topic, id in came:
        order = parse_id(id)
        if order <= last.get(topic, 0):
            return f"the ids of {topic} do not grow"
        last[topic] = order
    return ""


def _any_fleet(filter: str) -> bool:
    return filter.startswith("fleets/+/")


async def _feed(feeder: Feeder, listener: Listener, topics: Sequence[str], readings: int) -> Counter[str]:
    """Store readings of these topics in turn, not faster than the node takes them: how many of each."""
    stored: Counter[str] = Counter()
    before = len(listener.came[MARK])
    for start in range(0, readings, MARKED):
        end = min(start + MARKED, readings)
        for at in range(start, end, CALL):
            numbers = range(at, min(at + CALL, end))
            some = [topics[number % len(topics)] for number in numbers]
            values: list[dict[str, Value]] = [
                {"Speed": number % 120 + 0.5, "StateOfCharge": number % 100} for number in numbers
            ]
            ts = now_ms() + at // CALL  # each call is newer than the one before
            await feeder.store([(topic, Reading(ts, value)) for topic, value in zip(some, values, strict=True)])
            stored.update(some)
        await feeder.store([(MARK, Reading(now_ms() + start, {"n": start}))])
        stored[MARK] += 1
        if not await listener.has(MARK, before + stored[MARK]):
            raise Unavailable(f"{stored.total():,} readings were stored, and then the node brought no more")
    return stored


async def _run(redis_port: int, filters: Sequence[str], readings: int, sampled: Mapping[str, list[str]]) -> Run:
    """A fresh node with these filters, and what readings cost it; it ends when those for `sampled` have come."""
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        redis = await stack.enter_async_context(Redis(port=redis_port))
        feeder, topics = Feeder(redis), vehicles()
        port = free_port()
        options = ("--port", str(port), "--redis-url", f"redis://127.0.0.1:{redis_port}")
        more = ("--outbox-bytes", str(OUTBOX_BYTES), *CROWDED)
        node = await stack.enter_async_context(part("node", "stream", *options, *more, logs=logs))
        await ready(node, f"http://127.0.0.1:{port}/readyz")

        listener = await stack.enter_async_context(listening(f"ws://127.0.0.1:{port}", len(filters) + 1))
        await listener.subscribe([MARK], 0)
        await listener.subscribe([filter for filter in filters if not _any_fleet(filter)], INTERVAL_MS)
        named = await redis.pubsub_numpat()
        await listener.subscribe([filter for filter in filters if _any_fleet(filter)], INTERVAL_MS)
        patterns = named, await redis.pubsub_numpat()

        stored = await _feed(feeder, listener, topics, len(topics))  # each topic was seen once
        before = cpu_seconds(node.process.pid)
        stored += await _feed(feeder, listener, topics, readings)
        expected = {filter: {topic: stored[topic] for topic in some} for filter, some in sampled.items()}
        for filter, times in expected.items():
            await listener.has(filter, sum(times.values()))
        cpu_us = (cpu_seconds(node.process.pid) - before) / readings * 1e6
    problems = [
        f"{filter}: {text}" for filter in expected if (text := differs(listener.came[filter], expected[filter]))
    ]
    delivered = sum(map(len, listener.came.values()))
    return Run(cpu_us, patterns, delivered / stored.total(), listener.complaints + problems)


async def filters(size: int, readings: int, repeat: int) -> Found:
    """All runs."""
    chosen = mixture(size)
    silent = [silenced(filter) for filter in chosen]
    topics = vehicles()
    sampled = sample(chosen, [*topics, MARK])
    runs: dict[str, list[Run]] = {"one filter": [], "silent ones": []}
    with tempfile.TemporaryDirectory(prefix="fleetwire-bench-") as folder:
        async with redis_server(Path(folder)) as redis, Redis(port=redis.port) as client:
            await Feeder(client).introduce([*topics, MARK])
            for _ in range(repeat):
                for name, some in (("one filter", [NOTHING]), ("silent ones", silent)):
                    runs[name].append(await _run(redis.port, some, readings, {}))
                    progress(f"{name}: {runs[name][-1].cpu_us:.2f} µs of CPU a reading")
            full = await _run(redis.port, chosen, readings, sampled)
            progress(f"{len(chosen):,} filters that match: {full.cpu_us:.2f} µs of CPU a reading")

    alone, silenced_all = (median(run.cpu_us for run in some) for some in runs.values())
    problems = list(full.problems)
    if max(full.patterns) > FLEETS:
        problems.append(f"the node has {max(full.patterns)} patterns in Redis, for {FLEETS} fleets")
    return Found(
        f"{len(chosen):,} filters, {FLEETS * VEHICLES:,} vehicles in {FLEETS} fleets, {readings:,} readings; "
        f"{os.cpu_count()} cores; medians of {repeat}",
        [
            Figure("node, one filter, nothing matches", alone, "µs"),
            Figure("node, all filters, nothing matches", silenced_all, "µs"),
            Figure("the matching, topics seen before", silenced_all - alone, "µs", "≤ 5 µs"),
            Figure("the matching, topics not seen before", trie_us(chosen, topics), "µs", "≤ 5 µs"),
            Figure("node, all filters, all match and are sent", full.cpu_us, "µs"),
            Figure("readings sent for one that came", full.deliveries),
            Figure("patterns in Redis, filters name their fleet", full.patterns[0], "", f"≤ {FLEETS}"),
            Figure("patterns in Redis, all filters", full.patterns[1], "", f"≤ {FLEETS}"),
            Figure("filters whose readings were looked at", len(sampled)),
        ],
        problems,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filters", type=count, default=5_000, help="different filters")
    parser.add_argument("--readings", type=count, default=200_000, help="readings of a run")
    parser.add_argument("--repeat", type=count, default=3, help="runs of which the median is taken")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    work = filters(arguments.filters, arguments.readings, arguments.repeat)
    conclude("bench-filters", work, as_json=arguments.json)


if __name__ == "__main__":
    main()
