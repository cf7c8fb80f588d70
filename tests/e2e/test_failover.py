"""Dashboards behind nginx miss nothing while nodes die, lines break, and Redis restarts, fails over or grows."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import Watched, ask, cluster, sentinels
from tests.conftest import CLUSTERED
from tests.deploy.test_nginx import balancer
from tests.e2e.dashboards import Dashboard, watching
from tests.e2e.line import Line, line
from tests.e2e.system import get
from tests.programs import Program, eventually, fleetwire, free_port, mosquitto, redis_server
from tests.stored import Stored, stored
from wire import keys
from wire.cursor import parse_cursor
from wire.ids import format_id, parse_id
from wire.urls import parse_redis

TOPIC = "fleets/berlin/+/telemetry"
VEHICLES, HZ = 20, 10
KEEPS = ("--appendonly", "yes", "--appendfsync", "always")
KEEP_ALL = ("--log-entries", "100000")
DRAIN_SECONDS = 30.0
CLIENTS = ["batch", "latest"] * 3

Act = Callable[[], Any]


class Store:
    """A Redis in one of its forms, and what can happen to it."""

    def __init__(self, url: str, acts: dict[str, Act]) -> None:
        self.url = url
        self.acts = acts


@contextmanager
def single(folder: Path) -> Iterator[Store]:
    """One server that keeps what it has confirmed, and restarts."""
    port, life = free_port(), ExitStack()
    program = life.enter_context(redis_server(*KEEPS, port=port, folder=folder)).program

    def restart() -> None:
        nonlocal program
        program.kill()
        life.close()
        program = life.enter_context(redis_server(*KEEPS, port=port, folder=folder)).program

    with life:
        yield Store(f"redis://127.0.0.1:{port}", {"restart": restart})


@contextmanager
def failing_over() -> Iterator[Store]:
    """A master whose replica takes its place."""
    with sentinels(*KEEPS) as watched:

        def fail_over() -> None:
            old = watched.kill_master()
            watched.failed_over(old)
            watched.restart(old)

        yield Store(watched.url, {"failover": fail_over})


@contextmanager
def clustered() -> Iterator[Store]:
    """Three masters, which a fourth joins; slots move one by one, and at one blow."""
    with cluster(keeps=KEEPS) as running:
        slots = [running.partition_slot(number) for number in range(16)]

        def grow() -> None:
            fourth = running.add_master()
            running.move(slots[::4], fourth)
            running.move_key_by_key(slots[1::4], fourth)

        def restart() -> None:
            port = running.ports[1]
            running.programs[port].kill()
            running.restart(port)
            running.whole()

        yield Store(running.url, {"grow": grow, "restart": restart})


@contextmanager
def store(kind: str, folder: Path) -> Iterator[Store]:
    """A Redis of a kind."""
    with {"single": lambda: single(folder), "sentinel": failing_over, "cluster": clustered}[kind]() as running:
        yield running


class Nodes:
    """Two nodes behind nginx; each comes back after it was killed."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.ports = (free_port(), free_port())
        self._url = url
        self._stack = stack
        self._programs = [self._start(port) for port in self.ports]

    def _start(self, port: int) -> Program:
        return self._stack.enter_context(fleetwire("stream", "--port", str(port), "--redis-url", self._url))

    def kill(self, number: int) -> None:
        """`kill -9`, and start another in its place."""
        self._programs[number].kill()
        self._programs[number] = self._start(self.ports[number])

    @property
    def output(self) -> str:
        return "\n".join(program.output for program in self._programs)


class Site:
    """All of it."""

    def __init__(self, store: Store, stack: ExitStack, folder: Path) -> None:
        self.store = store
        self.manifest = folder / "manifest.json"
        self._stack = stack
        broker = stack.enter_context(mosquitto())
        self._broker = broker.url
        self._bridge_port = free_port()
        urls = ("--mqtt-url", broker.url, "--redis-url", store.url)
        self.bridge = stack.enter_context(
            fleetwire("ingest", *urls, "--metrics-port", str(self._bridge_port), *KEEP_ALL)
        )
        self.nodes = Nodes(store.url, stack)
        self.nginx, _ = stack.enter_context(balancer(self.nodes.ports))

    async def ready(self) -> None:
        for port in (self._bridge_port, *self.nodes.ports):
            try:
                await eventually(lambda port=port: get(port, "/readyz"), DRAIN_SECONDS)  # type: ignore[misc]
            except BaseException:
                print(self.bridge.output, self.nodes.output, sep="\n")
                raise

    @contextmanager
    def load(self) -> Iterator[Program]:
        """A fleet that drives, until the end."""
        fleet = ("--vehicles", str(VEHICLES), "--hz", str(HZ), "--qos", "1", "--manifest", str(self.manifest))
        with fleetwire("simulate", "--mqtt-url", self._broker, *fleet) as simulator:
            yield simulator
            simulator.signal(signal.SIGTERM)
            assert simulator.wait(DRAIN_SECONDS) == 0, simulator.output


@asynccontextmanager
async def site(kind: str, folder: Path) -> AsyncIterator[tuple[Site, Line, list[Dashboard]]]:
    """A site with dashboards."""
    with ExitStack() as stack:
        running = await asyncio.to_thread(lambda: Site(stack.enter_context(store(kind, folder)), stack, folder))
        await running.ready()
        async with (
            line(running.nginx) as wire,
            watching(f"ws://127.0.0.1:{wire.port}", TOPIC, CLIENTS) as dashboards,
        ):
            yield running, wire, dashboards


async def flowing(dashboards: list[Dashboard]) -> None:
    """Until each dashboard has been told something new."""
    before = [len(dashboard.ids) for dashboard in dashboards]
    await eventually(
        lambda: all(len(dashboard.ids) > count for dashboard, count in zip(dashboards, before, strict=True)),
        DRAIN_SECONDS,
    )


async def in_logs(at: Stored) -> set[tuple[str, str]]:
    """What is stored: topics and ids."""
    found = set()
    for vehicle in await at.vehicles("berlin"):
        topic = f"fleets/berlin/{vehicle}/telemetry"
        found |= {(topic, id) for id in await at.ids(topic)}
    return found


def spans(dashboard: Dashboard, url: str) -> list[tuple[int, str, str]]:
    """What it was told to be gone: of which partition, after one id and up to another."""
    partitions = max(1, parse_redis(url).partitions)
    return [
        (number, format_id(after), format_id(until))
        for gap in dashboard.gaps
        for number, (after, until) in enumerate(
            zip(parse_cursor(gap["from"], partitions), parse_cursor(gap["to"], partitions), strict=True)
        )
        if after < until
    ]


def covered(dashboard: Dashboard, key: tuple[str, str], url: str) -> bool:
    """Whether a gap says that this may be missing."""
    order = parse_id(key[1])
    return any(parse_id(after) < order <= parse_id(until) for _, after, until in spans(dashboard, url))


async def settled(dashboards: list[Dashboard], url: str) -> set[tuple[str, str]]:
    """What is stored, when nothing more comes and each dashboard of `batch` has it, or knows that it is gone."""
    async with stored(url) as at:
        before = await in_logs(at)
        batches = [dashboard for dashboard in dashboards if dashboard.strategy == "batch"]
        await eventually(
            lambda: all(
                key in dashboard.ids or covered(dashboard, key, url) for dashboard in batches for key in before
            ),
            DRAIN_SECONDS,
        )
        return before


async def states(port: int) -> dict[str, dict[str, Any]]:
    text = await asyncio.to_thread(get, port, f"/v1/state?topic={TOPIC.replace('+', '%2B')}")
    return {item["topic"]: item["values"] for item in json.loads(text)["data"]}


async def check(running: Site, dashboards: list[Dashboard]) -> set[tuple[str, str]]:
    """That nobody missed or doubled anything, and that all show the same in the end."""
    await running.ready()
    logs = await settled(dashboards, running.store.url)
    for dashboard in dashboards:
        assert not (doubled := dashboard.doubled), (len(doubled), sorted(doubled)[:5], dashboard.log)
    first, second = [await states(port) for port in running.nodes.ports]
    assert first == second
    for dashboard in dashboards:
        await eventually(lambda dashboard=dashboard: dashboard.values == first)  # type: ignore[misc]
    return logs


KINDS = ["cluster"] if CLUSTERED else ["single", "sentinel"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1])
async def test_nothing_is_missed_or_doubled(kind: str, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    async with site(kind, tmp_path) as (running, wire, dashboards):
        acts: dict[str, Act] = {
            "node 0": lambda: running.nodes.kill(0), "node 1": lambda: running.nodes.kill(1), **running.store.acts,
        }  # fmt: skip
        order = [*acts, "cut", "cut", "cut", chance.choice(["node 0", "node 1"])]
        chance.shuffle(order)
        try:
            with running.load():
                await flowing(dashboards)
                for act in order:
                    if act == "cut":
                        wire.cut()
                    else:
                        await asyncio.to_thread(acts[act])
                    await asyncio.sleep(chance.uniform(0, 0.5))  # so that the next may come before all is well again
                await flowing(dashboards)
                wire.cut()  # whatever came before, each comes back at least once more
                await flowing(dashboards)
            logs = await check(running, dashboards)
            assert wire.cuts
            assert len(logs) > 200
            for dashboard in dashboards:
                assert dashboard.connected > 2
                if dashboard.strategy == "batch" and kind != "sentinel":
                    assert not spans(dashboard, running.store.url)  # Redis has kept all that it has confirmed
                    assert dashboard.ids.keys() == logs
        except BaseException:
            print(order, running.bridge.output, running.nodes.output, *(d.log for d in dashboards), sep="\n")
            raise


@pytest.mark.skipif(CLUSTERED, reason="is about Sentinels")
async def test_what_a_failover_loses_is_told_exactly(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        watched: Watched = stack.enter_context(sentinels())
        with ExitStack() as programs:
            running = Site(Store(watched.url, {}), programs, tmp_path)
            await running.ready()
            wire = await stack.enter_async_context(line(running.nginx))
            url = f"ws://127.0.0.1:{wire.port}"
            dashboards = await stack.enter_async_context(watching(url, TOPIC, CLIENTS))
            try:
                with running.load():
                    await flowing(dashboards)
                    replica = watched.replica
                    replica.signal(signal.SIGSTOP)
                    ask(watched.master, "CLIENT", "KILL", "TYPE", "replica")  # it is told no more
                    cut = parse_id(ask(watched.master, "GET", keys.CLOCK))
                    await eventually(
                        lambda: all(sum(parse_id(id) > cut for _, id in d.ids) > 40 for d in dashboards),
                        DRAIN_SECONDS,
                    )
                    old = watched.kill_master()
                    replica.signal(signal.SIGCONT)
                    await asyncio.to_thread(watched.failed_over, old)
                    await running.ready()
                    await flowing(dashboards)
                logs = await check(running, dashboards)
                batches = [dashboard for dashboard in dashboards if dashboard.strategy == "batch"]
                lost = {key for dashboard in batches for key in dashboard.ids if key not in logs}
                assert len(lost) >= 40
                async with stored(watched.url) as at:
                    (after, until) = await at.lost()
                for _, id in lost:
                    assert after < parse_id(id) <= until
                for _, id in logs:
                    assert not after < parse_id(id) <= until
                for dashboard in batches:
                    assert {gap["to"] for gap in dashboard.gaps} == {dashboard.gaps[0]["to"]}
                    assert parse_id(dashboard.gaps[0]["to"]) == until
                    assert after <= parse_id(dashboard.gaps[0]["from"])
                    for key in lost - dashboard.ids.keys():
                        assert covered(dashboard, key, watched.url), key
            except BaseException:
                print(running.bridge.output, running.nodes.output, *(d.log for d in dashboards), sep="\n")
                raise
