"""The bridge outlives its broker and its Redis, and acknowledges only what is stored.

Broker and Redis are those of Debian: they can be started again on the same port, and the embedded broker
(rumqttd 0.20) does not survive a subscriber of a shared subscription that leaves with messages unacknowledged.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from ingest.link import Link
from tests.ingest.bridge import TOPIC, Bridge, device, numbers, publish, running, starting
from tests.programs import Served, eventually, free_port, mosquitto, redis_server
from wire import keys

KEEPS = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is retained here, so the bridge need not listen for it for long."""
    monkeypatch.setattr("ingest.presence.QUIET_SECONDS", 0.05)


@pytest.fixture
def store() -> Iterator[Served]:
    with redis_server() as server:
        yield server


@pytest.fixture
async def redis(store: Served) -> AsyncIterator[Redis]:
    async with Redis.from_url(store.url) as client:
        yield client


async def has(redis: Redis, wanted: range) -> bool:
    return await numbers(redis) == list(wanted)


async def has_all(redis: Redis, wanted: range) -> bool:
    return set(await numbers(redis)) >= set(wanted)


async def unready(bridge: Bridge) -> bool:
    return not await bridge.ready()


async def received(bridge: Bridge, count: int) -> bool:
    return await bridge.count("received") == count


async def test_a_broker_that_is_away_at_first_and_later(store: Served, redis: Redis) -> None:
    port = free_port()
    async with starting(f"mqtt://127.0.0.1:{port}", store.url) as bridge:
        await eventually(lambda: bridge.count("disconnects", peer="mqtt"))
        assert await bridge.healthy()
        assert not await bridge.ready()
        with mosquitto(port=port) as broker:
            await eventually(bridge.ready)
            async with device(broker.url) as client:
                await publish(client, range(5))
            await eventually(lambda: has(redis, range(5)))
        await eventually(lambda: unready(bridge))
        with mosquitto(port=port) as broker:
            await eventually(bridge.ready)
            async with device(broker.url) as client:
                await publish(client, range(5, 10))
            await eventually(lambda: has(redis, range(10)))
        assert await bridge.count("stored") == 10


async def test_nothing_of_qos_1_is_lost_while_redis_is_killed(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto() as broker, redis_server(*KEEPS, port=port, folder=tmp_path) as store:
        async with running(broker.url, store.url, batch=10) as bridge, device(broker.url) as client:
            await publish(client, range(20))
            async with Redis.from_url(store.url) as redis:
                await eventually(lambda: has(redis, range(20)))
            store.program.kill()
            await publish(client, range(20, 60))
            await eventually(lambda: unready(bridge))
            await eventually(lambda: bridge.count("disconnects", peer="redis"))
            await publish(client, range(60, 80))
            with redis_server(*KEEPS, port=port, folder=tmp_path) as again:
                async with Redis.from_url(again.url) as redis:
                    await eventually(lambda: has(redis, range(80)), 20)
                    await eventually(bridge.ready)
                    assert await bridge.count("stored") == 80
                    assert await redis.smembers(keys.fleet("berlin")) == {b"v1"}


async def test_a_redis_that_comes_back_empty_gets_the_names_of_the_vehicles_again() -> None:
    port = free_port()
    with mosquitto() as broker, redis_server(port=port) as first:
        async with running(broker.url, first.url) as bridge, device(broker.url) as client:
            await publish(client, range(5))
            async with Redis.from_url(first.url) as redis:
                await eventually(lambda: has(redis, range(5)))
            first.program.kill()
            await publish(client, range(5, 10))
            await eventually(lambda: bridge.count("disconnects", peer="redis"))
            with redis_server(port=port) as second:
                async with Redis.from_url(second.url) as redis:
                    await eventually(lambda: has(redis, range(5, 10)), 20)
                    assert await redis.smembers(keys.FLEETS) == {b"berlin"}
                    assert await redis.smembers(keys.fleet("berlin")) == {b"v1"}


async def test_a_message_is_acknowledged_only_once_it_is_stored(store: Served, redis: Redis) -> None:
    with mosquitto() as broker:
        async with device(broker.url) as client:
            async with running(broker.url, store.url) as bridge:
                await publish(client, range(5))
                await eventually(lambda: has(redis, range(5)))
                await redis.client_pause(60_000, all=False)
                await publish(client, range(5, 15))
                await eventually(lambda: received(bridge, 15))
            await redis.client_unpause()  # the bridge went away with the messages in its hands
            assert await has(redis, range(5))
            async with running(broker.url, store.url):
                await eventually(lambda: has_all(redis, range(15)))
                await publish(client, [15])
                await eventually(lambda: has_all(redis, range(16)))
        assert await has(redis, range(16))  # and those that it had acknowledged do not come again


async def test_what_is_published_while_the_bridge_is_away_waits_for_it(store: Served, redis: Redis) -> None:
    with mosquitto() as broker:
        async with device(broker.url) as client:
            async with running(broker.url, store.url):
                pass
            await publish(client, range(50))
            async with running(broker.url, store.url):
                await eventually(lambda: has(redis, range(50)))


async def test_the_broker_remembers_across_its_own_restart(store: Served, redis: Redis, tmp_path: Path) -> None:
    port = free_port()
    config = f"allow_anonymous true\npersistence true\npersistence_location {tmp_path}/"
    with mosquitto(config, port) as broker:
        async with running(broker.url, store.url):
            pass
        async with device(broker.url) as client:
            await publish(client, range(20))
    with mosquitto(config, port) as broker:
        async with running(broker.url, store.url):
            await eventually(lambda: has(redis, range(20)))


async def test_a_bridge_that_is_alone_misses_nothing_that_comes_before_it_after_a_crash_of_the_broker(
    store: Served, redis: Redis, tmp_path: Path
) -> None:
    """With a shared subscription these readings would be accepted and go nowhere: mosquitto does not save those."""
    port = free_port()
    config = f"allow_anonymous true\npersistence true\npersistence_location {tmp_path}/"
    with mosquitto(config, port=port) as broker:
        async with running(broker.url, store.url, group=""), device(broker.url) as client:
            await publish(client, range(5))
            await eventually(lambda: has(redis, range(5)))
            broker.program.signal(signal.SIGUSR1)  # save
            await eventually((tmp_path / "mosquitto.db").exists)
        broker.program.kill()
    with mosquitto(config, port=port) as broker:
        async with device(broker.url) as client:
            await publish(client, range(5, 10))
        async with running(broker.url, store.url, group=""):
            await eventually(lambda: has(redis, range(10)))


async def test_a_broker_that_dies_while_it_is_asked_for_presence(
    store: Served, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had come before is stored all the same."""
    monkeypatch.setattr("ingest.presence.QUIET_SECONDS", 1.0)
    with mosquitto() as broker:
        async with running(broker.url, store.url, batch=10):
            pass
        async with device(broker.url) as client:
            await publish(client, range(50))  # they wait for the bridge
        async with starting(broker.url, store.url, batch=10) as bridge:
            await eventually(lambda: received(bridge, 50))
            broker.program.kill()
            await eventually(lambda: has(redis, range(50)), 30)  # aiomqtt may take 10 s to notice


async def test_a_batch_whose_answer_is_lost_is_stored_and_counted_once(
    store: Served, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, lost = Link.call, 0

    async def carried_out_unheard(self: Link, *command: Any) -> Any:
        nonlocal lost
        answer = await call(self, *command)
        if lost < 3:
            lost += 1
            raise RedisConnectionError("the answer is lost")
        return answer

    monkeypatch.setattr(Link, "call", carried_out_unheard)
    with mosquitto() as broker:
        async with running(broker.url, store.url) as bridge, device(broker.url) as client:
            for _ in range(20):
                await client.publish(TOPIC, b'{"Speed":0}', qos=1)
            await eventually(lambda: counted(bridge, 20))
            assert await bridge.count("redelivered") == 0
    assert lost == 3
    assert len(await numbers(redis)) == 20


async def counted(bridge: Bridge, stored: int) -> bool:
    return await bridge.count("stored") == stored
