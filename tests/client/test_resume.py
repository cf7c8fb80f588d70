"""The browser client over what breaks: nodes, lines and Redis."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.client.driven import driven
from tests.client.streams import stream
from tests.deploy.test_nginx import balancer
from tests.e2e.line import line
from tests.e2e.system import get
from tests.e2e.test_failover import KEEPS, Nodes
from tests.programs import eventually, free_port, redis_server
from tests.stored import stored
from tests.stream.nodes import Store
from wire.reading import Reading

FLEET = "fleets/berlin/+/telemetry"
TOPIC = "fleets/berlin/v1/telemetry"
TOPICS = [f"fleets/berlin/v{number}/telemetry" for number in range(10)]
PLACE = {"CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4}


@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_nothing_is_missed_or_doubled(valkey_url: str, format: str) -> None:
    """Two nodes behind nginx, which die in turn, and a line that is cut."""
    with ExitStack() as stack:
        nodes = Nodes(valkey_url, stack)
        front, _ = stack.enter_context(balancer(nodes.ports))
        for port in nodes.ports:
            await eventually(lambda port=port: get(port, "/readyz"), 30)  # type: ignore[misc]
        async with (
            Redis.from_url(valkey_url) as redis,
            line(front) as wire,
            driven(f"ws://127.0.0.1:{wire.port}", format=format) as client,
        ):
            store = Store(redis)
            asks: list[dict[str, Any]] = [
                {"strategy": "batch"},
                {"strategy": "batch"},
                {"strategy": "batch", "interval": 0},
                {},
                {"delta": True},
            ]
            told = [await client.subscribe(FLEET, **{"snapshot": False, "interval": 50, **ask}) for ask in asks]
            placed = await client.subscribe(FLEET, interval=50, bbox=[13, 52, 14, 53])
            await client.call("get", FLEET)  # then they are all begun

            enough = asyncio.Event()

            async def drive() -> int:
                """Store as long as it takes, as the nodes may be long in coming back; the last number."""
                for number in count(1):
                    await store.readings(
                        *[(topic, Reading(number, {"n": number, **PLACE}, number)) for topic in TOPICS]
                    )
                    if enough.is_set():
                        return number
                    await asyncio.sleep(0.05)
                raise AssertionError

            driving = asyncio.create_task(drive())
            for act in (lambda: nodes.kill(0), lambda: nodes.kill(1), wire.cut, lambda: nodes.kill(0), wire.cut):
                heard = len(told[0].keys)
                await eventually(lambda heard=heard: len(told[0].keys) > heard, 30)  # type: ignore[misc]
                await asyncio.to_thread(act)
                await asyncio.sleep(random.uniform(0, 0.3))
            enough.set()
            last = await driving
            async with stored(valkey_url) as at:
                logs = [(topic, id) for topic in TOPICS for id in await at.ids(topic)]
            assert len(logs) == last * len(TOPICS)
            for one in told[:3]:
                await eventually(lambda one=one: len(set(one.keys)) == len(logs), 30)  # type: ignore[misc, arg-type]
                assert Counter(one.keys) == Counter(logs)
                assert not one.kind("gap")
            final = {topic: {"n": last, **PLACE} for topic in TOPICS}
            for one in (told[3], placed):
                await eventually(lambda one=one: one.states == final, 30)  # type: ignore[misc]
            await eventually(
                lambda: {item["values"].get("n") for item in told[4].items()[-len(TOPICS) :]} == {last}, 30
            )
            stats = await client.stats()
            assert stats["connects"] >= 4, stats
            assert not stats["gaps"], stats


async def test_an_update_on_the_way_is_not_forgotten(valkey_url: str) -> None:
    port = free_port()
    async with stream(valkey_url, port=port) as node:
        await node.store.numbers([1])
        await node.store.readings(("fleets/berlin/v2/telemetry", Reading(1, {"m": 1}, 1)))
        async with driven(node.url) as client:
            told = await client.subscribe(FLEET, signals=["n"], interval=0)
            await eventually(lambda: told.states == {TOPIC: {"n": 1}})
            node.program.kill()
            await client.becomes("waiting")
            await told.on("update", {"signals": ["m"]})
            async with stream(valkey_url, port=port):
                await client.becomes("live", 30)
                await eventually(lambda: told.states == {"fleets/berlin/v2/telemetry": {"m": 1}})
                assert [event["whole"] for event in told.events] == [True, True]


async def test_a_replay_goes_on_where_it_was(valkey_url: str) -> None:
    async with stream(valkey_url) as node, line(node.port) as wire:
        await node.store.numbers(range(1, 101))
        async with driven(f"ws://127.0.0.1:{wire.port}") as client:
            [first, *_] = (await client.call("history", {"topic": FLEET, "limit": 1}))["data"]
            begin = int(first["id"].split("-")[0])
            told = await client.replay(FLEET, strategy="batch", interval=0, **{"from": begin - 3_000})
            await eventually(lambda: told.kind("replay"))
            wire.cut()
            await eventually(lambda: [state["name"] for state in client.states].count("live") == 2)
            await eventually(lambda: len(told.keys) == 100, 20)
            wire.cut()
            await eventually(lambda: [state["name"] for state in client.states].count("live") == 3)
            await node.store.numbers([101])
            await told.on("live")
            await eventually(lambda: told.states[TOPIC] == {"n": 101})
            assert [count for count in Counter(told.keys).values() if count > 1] == []
            assert (await client.stats())["connects"] == 3


async def test_redis_may_be_away_when_a_client_comes_back(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as life:
        server = life.enter_context(redis_server(*KEEPS, port=port, folder=tmp_path))
        async with stream(server.url) as node, line(node.port) as wire:
            await node.store.numbers([1])
            async with driven(f"ws://127.0.0.1:{wire.port}") as client:
                told = await client.subscribe(FLEET, strategy="batch", interval=0)
                await eventually(lambda: told.states)
                server.program.kill()
                await eventually(lambda: not get(node.port, "/readyz"))
                wire.cut()
                await eventually(lambda: [state["name"] for state in client.states].count("live") == 2)
                await asyncio.sleep(0.5)  # long enough to be refused
                assert not told.kind("error")
                with redis_server(*KEEPS, port=port, folder=tmp_path):
                    async with Redis.from_url(server.url) as redis:
                        await Store(redis).numbers(range(2, 5))
                    await eventually(lambda: [item["values"]["n"] for item in told.items()] == [1, 2, 3, 4], 30)


async def test_a_node_that_says_nothing_is_left(valkey_url: str) -> None:
    async with stream(valkey_url) as node, driven(node.url, ping=100, silence=1_000) as client:
        told = await client.subscribe(FLEET, strategy="batch", interval=0)
        await eventually(lambda: told.events)
        node.program.signal(signal.SIGSTOP)
        try:
            await eventually(lambda: any(s.get("reason") == "no sign of life" for s in client.states), 15)
        finally:
            node.program.signal(signal.SIGCONT)
        await node.store.numbers([1])
        await client.becomes("live", 20)
        await eventually(lambda: len(told.keys) == 1)


async def test_commands_wait_for_a_node(valkey_url: str) -> None:
    port = free_port()
    async with driven(f"http://127.0.0.1:{port}", timeout=60_000) as client:
        await client.becomes("waiting")
        waiting = asyncio.create_task(client.call("publish", "rooms/ops", 1))
        with pytest.raises(Exception, match="no node has answered in time"):
            await client.call("get", FLEET, {"timeout": 100})
        async with stream(valkey_url, port=port):
            assert await waiting
            assert [item["data"] for item in await client.call("get", "rooms/ops")] in ([], [1])
