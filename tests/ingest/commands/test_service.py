"""Commands through a real broker and a real Redis: to devices of the test's own, and back; whatever goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import msgpack
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from redis.asyncio import Redis

from tests.conftest import Servers
from tests.ingest.bridge import Bridge, dead_letters, device, running, starting
from tests.programs import eventually, free_port, mosquitto, redis_server
from wire import keys
from wire.clock import now_ms
from wire.command import MAX_TTL, Command, Reply, reply_of
from wire.data import MAX_MESSAGE_BYTES
from wire.reading import Message, Reading, decode_message, encode
from wire.store import SCRIPT, Entry, Retention, arguments, pack_parts, parse_entry

VEHICLE = "fleets/berlin/v1"
COMMANDS, REPLIES, STATUS = (f"{VEHICLE}/{kind}" for kind in ("commands", "replies", "status"))
LONG = 60_000

# rumqttd may panic when a bridge comes back to its session, or who listens leaves in the midst of it.
restarts = pytest.mark.parametrize("servers", ["debian"], indirect=True)


async def store(redis: Redis, *entries: Entry) -> str:
    """Store entries as a node or a bridge does: the id of the first."""
    names, args = arguments(entries, Retention())
    id, *_ = await redis.register_script(SCRIPT)(keys=names, args=args)
    return str(id.decode())


async def command(redis: Redis, data: dict[str, Any] | None = None, ttl: int = LONG, ts: int | None = None) -> str:
    """What a node does when a client publishes a command: its correlation."""
    return await store(
        redis, Entry(COMMANDS, encode(Command(now_ms() if ts is None else ts, data or {}, ttl, "anna")))
    )


async def presence(redis: Redis, state: str) -> None:
    reading = Reading(now_ms(), {"connectionState": state})
    await store(redis, Entry(STATUS, encode(reading), reading.ts, pack_parts([("connectionState", b"")])))


async def replies(redis: Redis, topic: str = REPLIES) -> list[Reply]:
    found = await redis.xrange(keys.log(topic))
    return [reply_of(decode_message(parse_entry(fields))) for _, fields in found]


async def settled(redis: Redis) -> bool:
    """Whether nothing waits any more: neither in the stream nor in its group."""
    return not await redis.xlen(keys.COMMANDS) and not (await redis.xpending(keys.COMMANDS, "ingest"))["pending"]


async def statuses(redis: Redis, correlation: str) -> list[str]:
    return [reply.status for reply in await replies(redis) if reply.correlation == correlation]


class Vehicle:
    """A device that hears its commands, and does nothing by itself."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.heard: list[aiomqtt.Message] = []

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(bytes(message.payload)) for message in self.heard]

    @property
    def correlations(self) -> list[str]:
        return [payload["correlation"] for payload in self.payloads]

    async def next(self) -> dict[str, Any]:
        """The next command."""
        async with asyncio.timeout(10):
            self.heard.append(await anext(aiter(self._client.messages)))
        return self.payloads[-1]

    async def answer(self, correlation: str, status: str, topic: str = REPLIES, **fields: Any) -> None:
        reply = {"correlation": correlation, "status": status} | fields
        await self._client.publish(topic, json.dumps(reply), qos=1)


@asynccontextmanager
async def vehicle(mqtt_url: str, **options: Any) -> AsyncIterator[Vehicle]:
    async with device(mqtt_url, **options) as client:
        await client.subscribe(COMMANDS, qos=1)
        yield Vehicle(client)


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    async with Redis.from_url(servers.redis) as client:
        yield client


async def timed_out(bridge: Bridge, reason: str) -> int:
    return await bridge.count("commands_timed_out", reason=reason)


async def test_a_command_is_answered_and_settled(servers: Servers, redis: Redis) -> None:
    async with running(servers.mqtt, servers.redis) as bridge, vehicle(servers.mqtt) as v1:
        before = now_ms()
        id = await command(redis, {"name": "stop", "at": [1, {"x": None}]})
        heard = await v1.next()
        assert heard["data"] == {"name": "stop", "at": [1, {"x": None}]}
        assert heard["correlation"] == id
        assert before <= heard["ts"] <= now_ms()
        assert heard["expires"] == heard["ts"] + LONG
        properties = v1.heard[0].properties
        assert properties is not None
        assert v1.heard[0].qos == 1
        assert properties.ResponseTopic == REPLIES
        assert properties.CorrelationData == id.encode()
        assert properties.ContentType == "application/json"
        assert 50 < properties.MessageExpiryInterval <= 60
        await v1.answer(id, "IN_PROGRESS")
        await v1.answer(id, "SUCCEEDED", data={"speed": 0})
        await eventually(lambda: settled(redis))
        assert await replies(redis) == [Reply(id, "IN_PROGRESS"), Reply(id, "SUCCEEDED", data={"speed": 0})]
        for name, count in {"taken": 1, "sent": 1, "answered": 2, "timed_out": 0}.items():
            assert await bridge.count(f"commands_{name}") == count, name


async def test_a_device_of_mqtt_3_answers_through_a_bridge_of_mqtt_3(servers: Servers, redis: Redis) -> None:
    options = {"protocol": aiomqtt.ProtocolVersion.V311}
    async with (
        running(servers.mqtt_v311, servers.redis, mqtt_version="3.1.1"),
        vehicle(servers.mqtt_v311, **options) as v1,
    ):
        id = await command(redis, {"name": "ping"})
        assert (await v1.next())["correlation"] == id
        await v1.answer(id, "FAILED", reason="no such thing")
        await eventually(lambda: settled(redis))
        assert await replies(redis) == [Reply(id, "FAILED", "no such thing")]


async def test_correlation_data_is_enough(servers: Servers, redis: Redis) -> None:
    async with running(servers.mqtt, servers.redis), device(servers.mqtt) as client:
        await client.subscribe(COMMANDS, qos=1)
        id = await command(redis)
        asked = await anext(aiter(client.messages))
        assert asked.properties is not None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = asked.properties.CorrelationData
        await client.publish(asked.properties.ResponseTopic, b'{"status":"SUCCEEDED"}', qos=1, properties=properties)
        await eventually(lambda: settled(redis))
        assert await replies(redis) == [Reply(id, "SUCCEEDED")]


async def test_a_device_that_never_answers(servers: Servers, redis: Redis) -> None:
    async with running(servers.mqtt, servers.redis) as bridge, vehicle(servers.mqtt) as v1:
        id = await command(redis, ttl=300)
        await v1.next()
        await eventually(lambda: settled(redis))
        assert await replies(redis) == [Reply(id, "TIMED_OUT", "no_answer")]
        assert await timed_out(bridge, "no_answer") == 1
        await v1.answer(id, "SUCCEEDED")  # too late, and said all the same
        await eventually(lambda: statuses_are(redis, id, ["TIMED_OUT", "SUCCEEDED"]))


async def statuses_are(redis: Redis, correlation: str, wanted: list[str]) -> bool:
    return await statuses(redis, correlation) == wanted


async def test_one_that_is_at_it_for_too_long(servers: Servers, redis: Redis) -> None:
    async with running(servers.mqtt, servers.redis), vehicle(servers.mqtt) as v1:
        id = await command(redis, ttl=2_000)
        await v1.next()
        await v1.answer(id, "IN_PROGRESS")
        await eventually(lambda: settled(redis))
        assert await statuses(redis, id) == ["IN_PROGRESS", "TIMED_OUT"]


async def test_a_vehicle_that_is_offline(servers: Servers, redis: Redis) -> None:
    await presence(redis, "CONNECTIONBROKEN")
    async with running(servers.mqtt, servers.redis):
        id = await command(redis, ttl=300)
        await eventually(lambda: settled(redis))
        assert await replies(redis) == [Reply(id, "TIMED_OUT", "offline")]


async def test_a_vehicle_that_comes_back_gets_what_is_still_alive(servers: Servers, redis: Redis) -> None:
    await presence(redis, "OFFLINE")
    async with running(servers.mqtt, servers.redis) as bridge:
        dead = await command(redis, {"n": 0}, ttl=200)
        alive = [await command(redis, {"n": n}) for n in (1, 2)]
        await eventually(lambda: statuses_are(redis, dead, ["TIMED_OUT"]))
        await eventually(lambda: bridge.count("commands_sent"))
        async with vehicle(servers.mqtt) as v1:
            await v1._client.publish(STATUS, b'{"values":{"connectionState":"ONLINE"}}', qos=1)
            for id in alive:
                assert (await v1.next())["correlation"] == id
                await v1.answer(id, "SUCCEEDED")
            await eventually(lambda: settled(redis))
        assert v1.correlations == alive


async def test_a_command_that_expired_before_a_bridge_was_there(servers: Servers, redis: Redis) -> None:
    late = await command(redis, ttl=1_000, ts=now_ms() - 2_000)
    good = await command(redis)
    async with vehicle(servers.mqtt) as v1, running(servers.mqtt, servers.redis):
        assert (await v1.next())["correlation"] == good
        await eventually(lambda: statuses_are(redis, late, ["TIMED_OUT"]))
        assert (await replies(redis))[0].reason == "expired"
        await v1.answer(good, "SUCCEEDED")
        await eventually(lambda: settled(redis))
        assert v1.correlations == [good]


@restarts
async def test_a_bridge_that_comes_back_goes_on_and_one_that_does_not_is_succeeded(
    servers: Servers, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.commands.queue.IDLE_MS", 300)
    monkeypatch.setattr("ingest.commands.service.KEEP_SECONDS", 0.1)
    async with vehicle(servers.mqtt) as v1:
        async with running(servers.mqtt, servers.redis, client_id="first"):
            id = await command(redis)
            await v1.next()
        assert not await settled(redis)
        async with running(servers.mqtt, servers.redis, client_id="first"):
            assert (await v1.next())["correlation"] == id
        async with running(servers.mqtt, servers.redis, client_id="second"):
            assert (await v1.next())["correlation"] == id
            await v1.answer(id, "SUCCEEDED")
            await eventually(lambda: settled(redis))
    assert await statuses(redis, id) == ["SUCCEEDED"]


async def test_two_bridges_leave_each_other_what_they_hold(
    servers: Servers, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.commands.queue.IDLE_MS", 400)
    monkeypatch.setattr("ingest.commands.service.KEEP_SECONDS", 0.1)
    async with (
        vehicle(servers.mqtt) as v1,
        running(servers.mqtt, servers.redis, client_id="first") as first,
        running(servers.mqtt, servers.redis, client_id="second") as second,
    ):
        ids = [await command(redis, {"n": n}, ttl=1_500) for n in range(20)]
        for _ in ids:
            await v1.next()
        await v1.answer(ids[0], "SUCCEEDED")
        await eventually(lambda: settled(redis))
        assert sorted(v1.correlations) == sorted(ids)  # two bridges keep no order between them
        assert await first.count("commands_sent") + await second.count("commands_sent") == 20
        assert await timed_out(first, "no_answer") + await timed_out(second, "no_answer") == 19
    assert [await statuses(redis, id) for id in ids] == [["SUCCEEDED"], *[["TIMED_OUT"]] * 19]


@restarts
async def test_what_was_answered_while_no_bridge_listened_is_settled_by_the_log(
    servers: Servers, redis: Redis
) -> None:
    async with vehicle(servers.mqtt) as v1:
        async with running(servers.mqtt, servers.redis, client_id="first"):
            done, timed = await command(redis), await command(redis, ttl=1)
            await eventually(lambda: statuses_are(redis, timed, ["TIMED_OUT"]))
            await v1.next()
        await store(redis, Entry(REPLIES, encode(Reply(done, "SUCCEEDED").message(now_ms()))))
        async with running(servers.mqtt, servers.redis, client_id="first") as bridge:
            await eventually(lambda: settled(redis))
            assert await bridge.count("commands_sent") == 0
    assert await statuses(redis, done) == ["SUCCEEDED"]


async def test_a_reply_that_a_crash_left_unsettled_is_not_given_twice(servers: Servers, redis: Redis) -> None:
    id = await command(redis, ttl=1, ts=now_ms() - 10)
    await store(redis, Entry(REPLIES, encode(Reply(id, "TIMED_OUT", "expired").message(now_ms()))))
    async with running(servers.mqtt, servers.redis):
        await eventually(lambda: settled(redis))
    assert await statuses(redis, id) == ["TIMED_OUT"]


async def test_a_vehicle_answers_for_itself_only(servers: Servers, redis: Redis) -> None:
    async with running(servers.mqtt, servers.redis), vehicle(servers.mqtt) as v1:
        id = await command(redis)
        await v1.next()
        await v1.answer(id, "SUCCEEDED", "fleets/berlin/v2/replies")
        await eventually(lambda: replies(redis, "fleets/berlin/v2/replies"))
        await v1.answer("another", "SUCCEEDED")
        await eventually(lambda: replies(redis))
        assert not await settled(redis)
        await v1.answer(id, "FAILED")
        await eventually(lambda: settled(redis))


async def test_what_no_node_has_written_is_a_dead_letter(servers: Servers, redis: Redis) -> None:
    await redis.xadd(keys.COMMANDS, {"topic": COMMANDS, "b": b"nonsense"})
    await redis.xadd(keys.COMMANDS, {"topic": STATUS, "b": encode(Command(1, {}, 1))})
    await redis.xadd(keys.COMMANDS, {"x": "y"})
    async with running(servers.mqtt, servers.redis) as bridge:
        await eventually(lambda: settled(redis))
        await eventually(lambda: bridge.count("dead_letters", reason="bad_command"))
        assert [letter["reason"] for letter in await dead_letters(redis)] == [b"bad_command"] * 3
        await redis.delete(keys.COMMANDS)  # with its group
        id = await command(redis, ttl=1)
        await eventually(lambda: statuses_are(redis, id, ["TIMED_OUT"]))


def _deep(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


def _forged() -> list[tuple[str, bytes]]:
    """What somebody might write into the stream who is no node: topics, and bodies."""
    now, good = now_ms(), encode(Command(now_ms(), {}, LONG))
    topics = (
        "fleets/+/+/commands",
        "fleets/berlin/+/commands",
        "fleets/berlin/#",
        "#",
        "rooms/ops",
        "spBv1.0/g/NCMD/e",
    )
    topics += (
        "fleets/berlin/v1/commands/x",
        "fleets/berlin/v1",
        "$SYS/commands",
        "",
        STATUS,
        "fleets/berlin/v 1/commands",
    )
    raw = {"ts": now, "data": {}, "ttl": LONG}
    fields = [
        {"ttl": 0},
        {"ttl": -5},
        {"ttl": MAX_TTL + 1},
        {"ttl": 1 << 62},
        {"ts": 1 << 62},
        {"ts": now + 3 * MAX_TTL},
        {"data": []},
        {"data": {"x": msgpack.ExtType(5, b"x")}},
        {"data": {"x": b"bytes"}},
        {"data": {"x": {1: 2}}},
        {"data": {"x": _deep(40)}},
        {"data": {"x": _deep(400)}},
        {"data": {"x": "y" * MAX_MESSAGE_BYTES}},
    ]
    return [*((topic, good) for topic in topics), *((COMMANDS, msgpack.packb(raw | wrong)) for wrong in fields)]


@restarts
async def test_what_no_node_may_write_reaches_no_device(servers: Servers, redis: Redis) -> None:
    forged = _forged()
    async with running(servers.mqtt, servers.redis) as bridge, device(servers.mqtt) as everybody:
        await everybody.subscribe("#", qos=1)
        for topic, body in forged:
            await redis.xadd(keys.COMMANDS, {"topic": topic, "b": body})
        id = await command(redis, {"name": "good"})
        heard = await anext(aiter(everybody.messages))
        assert (heard.topic.value, json.loads(bytes(heard.payload))["correlation"]) == (COMMANDS, id)
        await eventually(lambda: held(bridge, 1))
        await eventually(lambda: bridge.count("commands_sent"))
        assert await bridge.count("commands_sent") == 1
        counts = [await bridge.count("dead_letters", reason=reason) for reason in ("bad_command", "too_big")]
        assert counts == [len(forged) - 1, 1]


async def held(bridge: Bridge, count: int) -> bool:
    return await bridge.gauge("commands_waiting") == count


async def test_a_status_or_replies_key_of_another_type_stops_nothing(servers: Servers, redis: Redis) -> None:
    await redis.set(keys.state(STATUS), "not ours")
    await redis.set(keys.log(REPLIES), "not ours")
    async with running(servers.mqtt, servers.redis):
        await command(redis, ttl=100)
        await eventually(lambda: settled(redis))
        assert [letter["reason"] for letter in await dead_letters(redis)] == [b"refused"]


async def test_commands_wait_for_a_broker_and_a_redis_that_are_away() -> None:
    mqtt, port = free_port(), free_port()
    async with starting(f"mqtt://127.0.0.1:{mqtt}", f"redis://127.0.0.1:{port}") as bridge:
        await eventually(lambda: bridge.count("disconnects", peer="redis"))
        with redis_server(port=port) as server:
            async with Redis.from_url(server.url) as redis:
                late, id = await command(redis, ttl=200), await command(redis)
                await eventually(lambda: statuses_are(redis, late, ["TIMED_OUT"]), 20)
                assert [reply.reason for reply in await replies(redis)] == ["expired"]
                with mosquitto(port=mqtt) as broker:
                    async with vehicle(broker.url) as v1:
                        assert (await v1.next())["correlation"] == id
                        await v1.answer(id, "SUCCEEDED")
                        await eventually(lambda: settled(redis))


async def test_a_connection_to_redis_that_breaks_costs_no_answer(servers: Servers, redis: Redis) -> None:
    async with running(servers.mqtt, servers.redis), vehicle(servers.mqtt) as v1:
        id = await command(redis)
        await v1.next()
        for client in await redis.client_list():
            if client["cmd"] != "client|list":
                await redis.client_kill_filter(client["id"])
        await v1.answer(id, "SUCCEEDED")
        await eventually(lambda: settled(redis))
        again = await command(redis)
        assert (await v1.next())["correlation"] == again
        await v1.answer(again, "SUCCEEDED")
        await eventually(lambda: settled(redis))


async def test_more_than_a_bridge_holds_waits_in_the_stream(
    servers: Servers, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.commands.service.MOST", 5)
    monkeypatch.setattr("ingest.commands.service.KEEP_SECONDS", 0.1)
    async with running(servers.mqtt, servers.redis) as bridge, vehicle(servers.mqtt) as v1:
        ids = [await command(redis, {"n": n}) for n in range(12)]
        for id in ids:
            assert (await v1.next())["correlation"] == id
            assert (await redis.xpending(keys.COMMANDS, "ingest"))["pending"] <= 5
            await v1.answer(id, "SUCCEEDED")
        await eventually(lambda: settled(redis))
        assert await bridge.count("commands_taken") == 12


async def test_a_command_is_seen_by_subscribers_as_a_message(servers: Servers, redis: Redis) -> None:
    id = await command(redis, {"name": "stop"})
    [(stored, fields)] = await redis.xrange(keys.log(COMMANDS))
    assert stored.decode() == id
    message = decode_message(parse_entry(fields))
    assert message == Message(message.ts, {"name": "stop"}, "anna")
