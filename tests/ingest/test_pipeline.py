"""From MQTT to Redis through the whole bridge: what is stored, what becomes a dead letter, what is never a key."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiomqtt
import msgpack
import pytest
from redis.asyncio import Redis

from tests.conftest import Servers
from tests.ingest.bridge import (
    TOPIC,
    Bridge,
    dead_letters,
    device,
    logged,
    numbers,
    payload,
    publish,
    running,
)
from tests.programs import eventually, mosquitto
from wire import keys
from wire.clock import now_ms
from wire.reading import Reading, decode_reading, split
from wire.store import parse_state


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is retained here, so the bridge need not listen for it for long."""
    monkeypatch.setattr("ingest.presence.QUIET_SECONDS", 0.05)


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    async with Redis.from_url(servers.redis) as client:
        yield client


async def has(redis: Redis, wanted: range, topic: str = TOPIC) -> bool:
    return await numbers(redis, topic) == list(wanted)


async def at_least(redis: Redis, count: int, topic: str = TOPIC) -> list[Reading]:
    found = await logged(redis, topic)
    return found if len(found) >= count else []


async def buried(redis: Redis, count: int) -> bool:
    return int(await redis.xlen(keys.DEAD)) == count


async def counted(bridge: Bridge, **wanted: int) -> bool:
    return all([await bridge.count(name) == count for name, count in wanted.items()])


async def test_a_payload_is_logged_becomes_the_state_and_is_published(servers: Servers, redis: Redis) -> None:
    before = now_ms()
    async with (
        redis.pubsub() as pubsub,
        running(servers.mqtt, servers.redis) as bridge,
        device(servers.mqtt) as client,
    ):
        await pubsub.psubscribe("fleets/*")
        await pubsub.get_message(timeout=5)
        await client.publish(TOPIC, b'{"ts":17,"seq":3,"values":{"Speed":54.2,"Name":"caf\xc3\xa9"}}', qos=1)
        heard = await eventually(lambda: pubsub.get_message(timeout=1))
        assert await eventually(lambda: bridge.count("stored")) == 1
        assert await bridge.count("received", qos="1") == 1
        assert await bridge.healthy()

    [(id, fields)] = await redis.xrange(keys.log(TOPIC))
    reading = decode_reading(fields[b"b"])
    assert reading.received is not None
    assert before <= reading.received <= now_ms()
    assert reading == Reading(17, {"Speed": 54.2, "Name": "café"}, seq=3, received=reading.received)
    assert msgpack.unpackb(fields[b"b"])["values"] == {"Speed": 54.2, "Name": "café"}
    assert (heard["channel"].decode(), split(heard["data"])) == (TOPIC, (id.decode(), fields[b"b"]))
    state = parse_state(await redis.hgetall(keys.state(TOPIC)))
    assert state == [(id.decode(), fields[b"b"])]
    assert await redis.smembers(keys.FLEETS) == {b"berlin"}
    assert await redis.smembers(keys.fleet("berlin")) == {b"v1"}
    assert await dead_letters(redis) == []


async def test_readings_of_every_qos_and_version_are_stored_in_order(servers: Servers, redis: Redis) -> None:
    topics = {qos: f"fleets/berlin/qos{qos}/telemetry" for qos in (0, 1, 2)}
    async with running(servers.mqtt, servers.redis), device(servers.mqtt) as new:
        for qos, topic in topics.items():
            await publish(new, range(50), topic, qos)
        async with device(servers.mqtt_v311, protocol=aiomqtt.ProtocolVersion.V311) as old:
            await publish(old, range(50), "fleets/berlin/old/telemetry")
        for topic in (*topics.values(), "fleets/berlin/old/telemetry"):
            await eventually(lambda topic=topic: has(redis, range(50), topic))


async def test_a_late_or_historical_reading_never_overwrites_the_state(servers: Servers, redis: Redis) -> None:
    async with running(servers.mqtt, servers.redis), device(servers.mqtt) as client:
        await client.publish(TOPIC, b'{"ts":10,"values":{"Speed":10}}', qos=1)
        await client.publish(TOPIC, b'{"ts":9,"values":{"Speed":9}}', qos=1)
        await client.publish(TOPIC, b'[{"ts":20,"historical":true,"Speed":20},{"ts":8,"Speed":8}]', qos=1)
        readings = await eventually(lambda: at_least(redis, 4))
    assert [reading.ts for reading in readings] == [10, 9, 20, 8]
    [(_, body)] = parse_state(await redis.hgetall(keys.state(TOPIC)))
    assert decode_reading(body).values == {"Speed": 10}


async def test_a_bad_payload_is_a_dead_letter_and_the_rest_flows(servers: Servers, redis: Redis) -> None:
    bad = [b"", b"{", b"\xff\x00", b'{"ts":"now","values":{"a":1}}', b'{"values":{"a":{"b":1}}}', b"[" * 10_000]
    async with running(servers.mqtt, servers.redis) as bridge, device(servers.mqtt) as client:
        for n, wrong in enumerate(bad):
            await client.publish(TOPIC, wrong, qos=n % 2)
            await client.publish(TOPIC, payload(n), qos=1)
        await eventually(lambda: has(redis, range(len(bad))))
        await eventually(lambda: buried(redis, len(bad)))
        assert await bridge.count("dead_letters") == len(bad)
        assert await bridge.count("dead_letters", reason="not_json") == 3
        assert await bridge.ready()
    letters = await dead_letters(redis)
    assert [letter["payload"] for letter in letters] == [wrong[:4096] for wrong in bad]
    assert [letter["reason"] for letter in letters] == [
        b"not_json",
        b"not_json",
        b"not_utf8",
        b"bad_ts",
        b"bad_value",
        b"not_json",
    ]
    assert {letter["topic"] for letter in letters} == {TOPIC.encode()}
    assert all(letter["detail"] for letter in letters)


async def test_a_bad_topic_never_makes_a_key(servers: Servers, redis: Redis) -> None:
    bad = [
        "fleets/a//telemetry",
        "fleets/a/b/foo",
        "fleets/a/b",
        "fleets/a/b/telemetry/more",
        "fleets/a/b/telemetry/",
        "fleets/$a/b/telemetry",
        "fleets/a/{b}/telemetry",
        "fleets/a/b c/telemetry",
        "fleets/a/é/telemetry",
        f"fleets/{'a' * 65}/b/telemetry",
        f"fleets/a/{'b' * 65}/status",
    ]
    async with running(servers.mqtt, servers.redis) as bridge, device(servers.mqtt) as client:
        for topic in (*bad, "fleets/a/b/commands", "elsewhere/a/b/telemetry"):
            await client.publish(topic, payload(1), qos=1)
        await publish(client, [1])
        await eventually(lambda: has(redis, range(1, 2)))
        await eventually(lambda: buried(redis, len(bad)))
        assert await bridge.count("dead_letters", reason="bad_topic") == len(bad)
        assert await bridge.count("ignored", reason="commands") == 1
    letters = await dead_letters(redis)
    assert [letter["topic"].decode() for letter in letters] == bad
    assert {letter["payload"] for letter in letters} == {payload(1)}
    ours = {keys.CLOCK, keys.DEAD, keys.FLEETS, keys.fleet("berlin"), keys.log(TOPIC), keys.state(TOPIC)}
    ours |= {keys.session("bridge"), keys.COMMANDS}
    assert {key.decode() for key in await redis.keys()} == ours


async def test_what_redis_refuses_is_a_dead_letter_and_the_rest_flows(servers: Servers, redis: Redis) -> None:
    await redis.set(keys.log("fleets/berlin/bad/telemetry"), "not ours")
    async with running(servers.mqtt, servers.redis) as bridge, device(servers.mqtt) as client:
        await publish(client, [1])
        await publish(client, [2], "fleets/berlin/bad/telemetry")
        await publish(client, [3])
        await eventually(lambda: redis.xlen(keys.DEAD))
        await eventually(lambda: counted(bridge, stored=2))
    assert await numbers(redis) == [1, 3]
    [letter] = await dead_letters(redis)
    assert (letter["topic"], letter["reason"]) == (b"fleets/berlin/bad/telemetry", b"refused")
    assert decode_reading(letter["payload"]).seq == 2


async def test_two_bridges_share_the_load_and_store_each_reading_once(servers: Servers, redis: Redis) -> None:
    vehicles = [f"fleets/berlin/v{n}/telemetry" for n in range(20)]
    async with (
        running(servers.mqtt, servers.redis, client_id="one") as one,
        running(servers.mqtt, servers.redis, client_id="two") as two,
        device(servers.mqtt) as client,
    ):
        for n in range(20):
            for topic in vehicles:
                await publish(client, [n], topic)
        for topic in vehicles:
            await eventually(lambda topic=topic: at_least(redis, 20, topic))
        shares = [await bridge.count("stored") for bridge in (one, two)]
    assert sum(shares) == 400
    assert all(shares)
    for topic in vehicles:
        assert sorted(await numbers(redis, topic)) == list(range(20))


async def test_a_layout_maps_other_topics_onto_ours(servers: Servers, redis: Redis) -> None:
    layout = "vehicles/{vehicle}/{fleet}/data"
    async with running(servers.mqtt, servers.redis, layout=layout), device(servers.mqtt) as client:
        await publish(client, [1], "vehicles/v1/berlin/data")
        await publish(client, [2], "fleets/berlin/v1/telemetry")
        await publish(client, [3], "vehicles/v1/berlin/data")
        await eventually(lambda: at_least(redis, 2))
    assert await numbers(redis) == [1, 3]


async def test_a_bridge_may_speak_mqtt_3_1_1(servers: Servers, redis: Redis) -> None:
    old = {"mqtt_version": "3.1.1"}
    async with running(servers.mqtt_v311, servers.redis, **old) as bridge, device(servers.mqtt) as client:
        await publish(client, range(50))
        await eventually(lambda: has(redis, range(50)))
        assert await bridge.count("received", qos="1") == 50


async def test_qos_0_that_finds_the_inbox_full_is_dropped_and_counted(
    valkey_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.source_v5.STALLED_SECONDS", 0.1)
    # With mosquitto only: rumqttd delivers with the QoS of the subscription, so nothing of it is QoS 0.
    redis = redis_client
    with mosquitto() as broker:
        await overload(broker.url, valkey_url, redis)


async def overload(mqtt_url: str, redis_url: str, redis: Redis) -> None:
    async with running(mqtt_url, redis_url, inbox=100, batch=50) as bridge, device(mqtt_url) as client:
        await publish(client, [0], qos=1)
        await eventually(lambda: redis.xlen(keys.log(TOPIC)))
        await redis.client_pause(60_000, all=False)
        try:
            await publish(client, range(1, 1001), qos=0)
            await eventually(lambda: counted(bridge, received=1001))
            dropped = await bridge.count("dropped")
        finally:
            await redis.client_unpause()
        assert 1000 - 100 - 2 * 50 - 1 <= dropped < 1000  # one batch is being stored, one is decoded
        await eventually(lambda: counted(bridge, stored=1001 - dropped))
        assert await bridge.count("dropped") == dropped
    found = [n for n in await numbers(redis) if n is not None]
    assert len(found) == 1001 - dropped
    assert found == sorted(set(found))
