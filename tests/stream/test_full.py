"""A node whose Redis is full (maxmemory): what is published is refused, those who only read notice nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from fleetwire.client import Connection, open_connection
from tests.programs import eventually, fleetwire, free_port, redis_server, valkey, wait_for_port
from tests.stream.nodes import TOPIC, Store, joined, running
from wire import keys
from wire.errors import CommandError

KEEPS = ("--appendonly", "yes", "--appendfsync", "always")
COMMANDS = TOPIC.replace("telemetry", "commands")


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a server of its own."""
    if request.param == "valkey":
        with valkey() as url:
            yield url
    else:
        with redis_server() as server:
            yield server.url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with Redis.from_url(url) as redis:
        yield Store(redis)


async def refusal(client: Connection, topic: str, data: Any) -> str:
    with pytest.raises(CommandError) as raised:
        await client.request("publish", topic=topic, data=data)
    return raised.value.reason


async def test_what_is_published_is_refused_at_both_doors_until_there_is_room(url: str, store: Store) -> None:
    await store.numbers([1])
    port = free_port()
    with fleetwire("stream", "--port", str(port), "--redis-url", url) as node:
        wait_for_port(node, port)
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
            open_connection(f"ws://127.0.0.1:{port}") as client,
        ):
            await client.request("publish", topic="rooms/ops", data="before")
            await store.redis.config_set("maxmemory", 1)
            before = {key: await store.redis.dump(key) for key in await store.redis.keys()}
            for topic, data in (("rooms/ops", "hello"), ("rooms/new", "hello"), (COMMANDS, {"name": "ping"})):
                assert await refusal(client, topic, data) == "storage_full"
                response = await http.post("/v1/publish", json={"topic": topic, "data": data})
                error = response.json()["error"]
                assert (response.status_code, error["number"], error["reason"]) == (507, 507, "storage_full")
            assert {key: await store.redis.dump(key) for key in await store.redis.keys()} == before
            assert (await http.get("/readyz")).status_code == 200
            await store.redis.config_set("maxmemory", 0)
            await client.request("publish", topic="rooms/ops", data="after")
            found = await http.get("/v1/history", params={"topic": "rooms/ops"})
            assert [item["data"] for item in found.json()["data"]] == ["before", "after"]


async def test_those_who_only_read_notice_nothing(url: str, store: Store) -> None:
    await store.numbers(range(1, 11))
    async with running(url) as node, joined(node) as early:
        live = await early.subscribe("fleets/#", strategy="batch", interval=0, meta=True)
        await eventually(lambda: live.frames)
        cursor = live.cursor
        await store.numbers(range(11, 21))
        await eventually(lambda: live.seqs == list(range(11, 21)))
        await store.redis.config_set("maxmemory", 1)

        async with joined(node) as late:
            shown = await late.subscribe("fleets/+/+/telemetry")
            await eventually(lambda: shown.frames)
            assert [item["values"] for item in shown.items(snapshot=True)] == [{"n": 20}]
            missed = await late.subscribe("fleets/#", strategy="batch", since=cursor, meta=True)
            await eventually(lambda: missed.seqs == list(range(11, 21)))
            assert [item["values"] for item in (await late.ask("get", topic=TOPIC))["data"]] == [{"n": 20}]
            assert len((await late.ask("history", topic=TOPIC))["data"]) == 20
        async with running(url) as another, joined(another) as peer:  # one that begins now
            shown = await peer.subscribe("fleets/#")
            await eventually(lambda: shown.items(snapshot=True))

        await store.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(node.ready)
        await store.redis.config_set("maxmemory", 0)
        await store.numbers(range(21, 31))
        await eventually(lambda: live.seqs == list(range(11, 31)))
        assert not live.gaps
        live.check_order()


async def test_a_redis_that_is_full_when_it_starts_again_is_read(tmp_path: Path) -> None:
    port = free_port()
    with redis_server(*KEEPS, port=port, folder=tmp_path) as first:
        async with running(first.url) as node, joined(node) as peer:
            async with Redis.from_url(first.url) as redis:
                await Store(redis).numbers(range(1, 11))
            live = await peer.subscribe("fleets/#", strategy="batch", interval=0, meta=True)
            await eventually(lambda: live.frames)
            first.program.kill()
            await eventually(lambda: unready(node))
            with redis_server(*KEEPS, "--maxmemory", "1", port=port, folder=tmp_path) as second:
                await eventually(node.ready)
                async with Redis.from_url(second.url) as redis:
                    assert len((await peer.ask("history", topic=TOPIC))["data"]) == 10
                    assert len(await redis.hkeys(keys.LIVES)) == 3  # `@life`, and the two
                    await redis.config_set("maxmemory", 0)
                    await Store(redis).numbers(range(11, 21))
                    await eventually(lambda: live.seqs == list(range(11, 21)))


async def unready(node: Any) -> bool:
    return not await node.ready()
