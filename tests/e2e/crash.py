"""Crashes at the ingest side, one at a time and under load: afterwards every reading must be in the log, once.

`make soak` is this module as a program: many kills, one line of JSON, exit status 1 when anything was lost or
stored twice.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import pytest

from fleetwire.verify import report
from simulator.truth import Manifest
from tests.e2e.site import BRIDGES, Site, site
from tests.e2e.system import get
from tests.programs import eventually
from tests.stored import Stored, stored
from wire.clock import now_ms

__all__ = ["TARGETS", "Outcome", "Step", "crash", "plan"]

TARGETS = ("bridge", "redis", "mosquitto")
SAVE = "save"  # no crash: the broker writes its database
GAPS_SECONDS = (0.05, 0.6)
QUIET_SECONDS = 1.0
DRAIN_SECONDS = 60.0


class Step(NamedTuple):
    """Wait so many seconds, then kill the part of this name, or have the broker save."""

    after_s: float
    name: str


class Outcome(NamedTuple):
    """What was done, and what the logs hold. `dropped`: readings that the simulator gave up, so that nothing can be
    said about them."""

    seed: int
    kills: dict[str, int]
    published: int
    stored: int
    lost: int
    duplicates: int
    invented: int
    trimmed: int
    dropped: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether each reading is there just once."""
        return not (self.lost or self.duplicates or self.invented or self.trimmed or self.dropped)


def plan(seed: int, kills: int, targets: Sequence[str]) -> list[Step]:
    """What to kill and when: the targets share the kills evenly, in random order. Before about every second kill the
    broker saves, so that a crash finds a database of any age. Pure."""
    chance = random.Random(seed)
    order = list(itertools.islice(itertools.cycle(targets), kills))
    chance.shuffle(order)
    steps = []
    for target in order:
        if chance.random() < 0.5:
            steps.append(Step(chance.uniform(*GAPS_SECONDS), SAVE))
        name = chance.choice(BRIDGES) if target == "bridge" else target
        steps.append(Step(chance.uniform(*GAPS_SECONDS), name))
    return steps


async def crash(seed: int, kills: int, targets: Sequence[str]) -> Outcome:
    """Carry out the plan of a seed. Standard error gets a line for each kill, and all logs if it ends badly."""
    outcome = None
    with site() as running:
        try:
            outcome = await _crash(running, seed, plan(seed, kills, targets))
        finally:
            if outcome is None or not outcome.good:
                print(running.logs(), file=sys.stderr)
    return outcome


async def _crash(running: Site, seed: int, steps: Sequence[Step]) -> Outcome:
    started = time.monotonic()
    await running.ready()
    running.load()
    async with stored(running.redis_url) as redis:
        for fleet in running.manifests:
            await eventually(partial(redis.vehicles, fleet))
    killed: Counter[str] = Counter()
    for after_s, name in steps:
        await asyncio.sleep(after_s)
        at = time.monotonic() - started
        if name == SAVE:
            await running.save()
            print(f"seed {seed}  {at:8.3f} s  the broker saved", file=sys.stderr)
            continue
        await running.crash(name)
        killed["bridge" if name in BRIDGES else name] += 1
        took = time.monotonic() - started - at
        print(
            f"seed {seed}  {at:8.3f} s  kill {killed.total()}: {name}, recovered after {took:.3f} s", file=sys.stderr
        )
    # The last recovery is under load, too. A device that ended before it was connected again would have to give up
    # what it has in flight.
    async with stored(running.redis_url) as redis:
        await eventually(partial(_flowing, redis, list(running.manifests), now_ms()), DRAIN_SECONDS)
    running.unload()
    return await _verified(running, seed, dict(killed), started)


async def _verified(running: Site, seed: int, kills: dict[str, int], started: float) -> Outcome:
    """Wait until nothing more comes, then compare what was sent with the logs behind a node."""
    manifests = [Manifest.load(path) for path in running.manifests.values()]
    async with stored(running.redis_url) as redis:
        await eventually(lambda: _quiet(redis), DRAIN_SECONDS)
        lengths = [await redis.length(topic) for manifest in manifests for topic in manifest.topics]
    await eventually(partial(get, running.node_port, "/readyz"))
    found: Counter[str] = Counter()
    for manifest in manifests:
        found.update((await report(manifest, f"ws://127.0.0.1:{running.node_port}")).totals)
    return Outcome(
        seed=seed,
        kills=kills,
        published=found["sent"],
        stored=sum(lengths),
        lost=found["lost"],
        duplicates=found["duplicates"],
        invented=found["invented"],
        trimmed=found["trimmed"],
        dropped=sum(manifest.dropped for manifest in manifests),
        seconds=round(time.monotonic() - started, 1),
    )


async def _flowing(redis: Stored, fleets: list[str], since: int) -> bool:
    """Whether every vehicle has sent something after a moment, epoch ms."""
    topics = [
        f"fleets/{fleet}/{name}/telemetry"
        for fleet in fleets
        for name in await redis.vehicles(fleet)
        if name.startswith("v")
    ]
    return all([await redis.newest(topic) > since for topic in topics])


async def _quiet(redis: Stored) -> bool:
    """Whether nothing was stored for a while."""
    before = await redis.clocks()
    await asyncio.sleep(QUIET_SECONDS)
    return await redis.clocks() == before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=100)
    arguments = parser.parse_args()
    try:
        outcome = asyncio.run(crash(arguments.seed, arguments.kills, TARGETS))
    except (pytest.fail.Exception, pytest.skip.Exception) as reason:  # how tests/programs.py says what is wrong
        sys.exit(str(reason))
    print(json.dumps(outcome._asdict()))
    sys.exit(not outcome.good)


if __name__ == "__main__":
    main()
