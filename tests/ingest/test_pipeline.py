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
from tests.ingest.payload.wires import DOUBLE, metric
from tests.ingest.payload.wires import payload as sparkplug
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
    ours = {keys.CLOCK, keys.LIVES, keys.DEAD, keys.FLEETS, keys.fleet("berlin"), keys.log(TOPIC), keys.state(TOPIC)}
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


async def test_a_clock_far_ahead_is_clamped_and_does_not_hold_the_state(servers: Servers, redis: Redis) -> None:
    ahead = now_ms() + 3_600_000
    async with running(servers.mqtt, servers.redis, max_ahead_ms=300_000) as bridge, device(servers.mqtt) as client:
        await client.publish(TOPIC, b'{"ts":%d,"values":{"Speed":1}}' % ahead, qos=1)
        await eventually(lambda: at_least(redis, 1))
        await client.publish(TOPIC, b'{"ts":%d,"values":{"Speed":2}}' % (now_ms() + 60_000), qos=1)
        first, second = await eventually(lambda: at_least(redis, 2))
        assert await bridge.count("clamped") == 1
    assert (first.clock, first.ts) == ("clamped", first.received)
    assert second.clock == "device"
    [(_, body)] = parse_state(await redis.hgetall(keys.state(TOPIC)))
    assert decode_reading(body).values == {"Speed": 2}


async def test_what_waits_is_a_metric(valkey_url: str, redis_client: Redis) -> None:
    with mosquitto() as broker:
        async with running(broker.url, valkey_url, inbox=200, batch=10) as bridge, device(broker.url) as client:
            assert await bridge.gauge("window_messages") == 200
            assert await bridge.gauge("waiting_messages") == 0
            await redis_client.client_pause(60_000, all=False)
            try:
                await publish(client, range(50))
                await eventually(lambda: waits(bridge, 50))
                await eventually(lambda: old(bridge, 0.05))
            finally:
                await redis_client.client_unpause()
            await eventually(lambda: has(redis_client, range(50)))
            await eventually(lambda: waits(bridge, 0))
            assert await bridge.gauge("oldest_waiting_seconds") == 0


async def waits(bridge: Bridge, count: int) -> bool:
    return await bridge.gauge("waiting_messages") == count


async def old(bridge: Bridge, seconds: float) -> bool:
    return await bridge.gauge("oldest_waiting_seconds") > seconds


async def test_each_device_may_speak_its_own_format(servers: Servers, redis: Redis) -> None:
    # Alone: rumqttd knows one filter for each shared subscription's name, and forgets the first for the second.
    layout = "fleets/{fleet}/{vehicle}/{kind}=json tracks/{fleet}/{vehicle}=owntracks spBv1.0=sparkplug"
    async with (
        running(servers.mqtt, servers.redis, layout=layout, group="") as bridge,
        device(servers.mqtt) as client,
    ):
        await client.publish(
            "tracks/berlin/bike", b'{"_type":"location","tst":7,"lat":52.5,"lon":13.4,"vel":18}', qos=1
        )
        await client.publish("fleets/berlin/car/telemetry", b'{"ts":7,"values":{"Speed":54}}', qos=1)
        await client.publish("tracks/berlin/bike", b'{"_type":"encrypted"}', qos=1)
        [track] = await eventually(lambda: at_least(redis, 1, "fleets/berlin/bike/telemetry"))
        [car] = await eventually(lambda: at_least(redis, 1, "fleets/berlin/car/telemetry"))
        await eventually(lambda: buried(redis, 1))
        assert await bridge.count("dead_letters", reason="encrypted") == 1
    assert (track.ts, track.values["CurrentLocation.Latitude"], track.values["Speed"]) == (7_000, 52.5, 18)
    assert (car.ts, car.values) == (7, {"Speed": 54})


async def test_sparkplug_data_without_a_birth_ask_for_one_over_mqtt(redis_client: Redis, valkey_url: str) -> None:
    with mosquitto() as broker:
        async with (
            running(broker.url, valkey_url, layout="spBv1.0=sparkplug", group="") as bridge,
            device(broker.url) as edge,
        ):
            await edge.subscribe("spBv1.0/plant/NCMD/press", qos=1)
            data = sparkplug(metric(alias=1, value=2.5), ts=5, seq=1)
            await edge.publish("spBv1.0/plant/NDATA/press", data, qos=0)
            request = await anext(edge.messages)
            assert isinstance(request.payload, bytes)
            assert b"Node Control/Rebirth" in request.payload
            birth = sparkplug(metric("Pressure", 2.5, alias=1, datatype=DOUBLE), ts=6, seq=0)
            await edge.publish("spBv1.0/plant/NBIRTH/press", birth, qos=0)
            await edge.publish("spBv1.0/plant/NDATA/press", data, qos=0)
            found = await eventually(lambda: at_least(redis_client, 2, "fleets/plant/press/telemetry"))
            assert await bridge.count("ignored", reason="sparkplug_rebirth") == 1
    assert [reading.values["Pressure"] for reading in found] == [2.5, 2.5]
