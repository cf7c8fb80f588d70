"""Retained status messages from before the bridge: stored once, and only when they say something new."""

from __future__ import annotations

import aiomqtt
import pytest
from redis.asyncio import Redis

from tests.conftest import Servers
from tests.ingest.bridge import Bridge, dead_letters, device, logged, publish, running, starting
from tests.programs import eventually, free_port, redis_server
from wire import keys
from wire.reading import decode_reading
from wire.store import parse_state

ONLINE = b'{"ts":1,"values":{"Online":true}}'
OFFLINE = b'{"ts":2,"values":{"Online":false}}'
STATUSES = [f"fleets/berlin/v{n}/status" for n in range(3)]


async def say(client: aiomqtt.Client, payload: bytes) -> None:
    for topic in STATUSES:
        await client.publish(topic, payload, qos=1, retain=True)


async def flowing(bridge: Bridge, redis: Redis, client: aiomqtt.Client, mark: int) -> None:
    """Until a reading that was published now is stored, which comes after the presence, and acknowledged: rumqttd
    panics when a bridge leaves it with unacknowledged messages."""
    await publish(client, [mark], "fleets/berlin/mark/telemetry")
    await eventually(lambda: stored(redis, "fleets/berlin/mark/telemetry", mark))
    await eventually(lambda: idle(bridge))


async def idle(bridge: Bridge) -> bool:
    return await bridge.gauge("waiting_messages") == 0


async def stored(redis: Redis, topic: str, mark: int) -> bool:
    return any(reading.seq == mark for reading in await logged(redis, topic))


async def presence(redis: Redis, topic: str) -> object:
    [(_, body)] = parse_state(await redis.hgetall(keys.state(topic)))
    return decode_reading(body).values["Online"]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_presence_from_before_is_stored_once(servers: Servers, version: str) -> None:
    mqtt = servers.mqtt if version == "5" else servers.mqtt_v311
    async with Redis.from_url(servers.redis) as redis, device(servers.mqtt) as client:
        await say(client, ONLINE)
        await client.publish("fleets/berlin/bad/status", b"nonsense", qos=1, retain=True)
        for mark in range(2):  # the second start finds it known
            async with running(mqtt, servers.redis, mqtt_version=version) as bridge:
                await flowing(bridge, redis, client, mark)
        for topic in STATUSES:
            assert [reading.ts for reading in await logged(redis, topic)] == [1]
            assert await presence(redis, topic) is True
        assert await redis.smembers(keys.fleet("berlin")) >= {b"v0", b"v1", b"v2"}


async def test_presence_that_changed_meanwhile_is_seen_at_the_next_start(servers: Servers) -> None:
    async with Redis.from_url(servers.redis) as redis, device(servers.mqtt) as client:
        await say(client, ONLINE)
        async with running(servers.mqtt, servers.redis, client_id="first", group="first") as bridge:
            await flowing(bridge, redis, client, 1)
        await say(client, OFFLINE)
        async with running(servers.mqtt, servers.redis, client_id="second", group="second") as bridge:
            await flowing(bridge, redis, client, 2)
        for topic in STATUSES:
            assert [reading.ts for reading in await logged(redis, topic)] == [1, 2]
            assert await presence(redis, topic) is False


async def test_a_live_status_is_stored_once(servers: Servers) -> None:
    async with Redis.from_url(servers.redis) as redis, device(servers.mqtt) as client:
        async with running(servers.mqtt, servers.redis) as bridge:
            await flowing(bridge, redis, client, 1)
            await say(client, ONLINE)
            await say(client, OFFLINE)
            await flowing(bridge, redis, client, 2)
        for topic in STATUSES:
            assert [reading.ts for reading in await logged(redis, topic)] == [1, 2]


async def test_presence_under_a_key_of_another_type_does_not_stop_the_flow(servers: Servers) -> None:
    async with Redis.from_url(servers.redis) as redis, device(servers.mqtt) as client:
        await redis.set(keys.state(STATUSES[0]), "not ours")
        await say(client, ONLINE)
        async with running(servers.mqtt, servers.redis) as bridge:
            await flowing(bridge, redis, client, 1)
        assert await presence(redis, STATUSES[1]) is True
        assert [letter["topic"].decode() for letter in await dead_letters(redis)] == [STATUSES[0]]


async def test_presence_waits_for_a_redis_that_is_away(servers: Servers) -> None:
    port = free_port()
    async with device(servers.mqtt) as client:
        await say(client, ONLINE)
        async with starting(servers.mqtt, f"redis://127.0.0.1:{port}") as bridge:
            await eventually(lambda: bridge.count("disconnects", peer="redis"))
            with redis_server(port=port) as server:
                async with Redis.from_url(server.url) as redis:
                    for topic in STATUSES:
                        await eventually(lambda topic=topic: redis.exists(keys.state(topic)), 20)
                        assert await presence(redis, topic) is True
