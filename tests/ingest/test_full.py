"""A Redis that is full (maxmemory), or that would drop what is stored: nothing is acknowledged, all is told, and all
that came at QoS 1 is stored when there is room.

Redis and Valkey are started for each test; the broker is mosquitto, since the embedded one does not survive a bridge
that leaves with messages unacknowledged."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator

import aiomqtt
import pytest
from redis.asyncio import Redis

from ingest.memory import Memory, Report
from ingest.metrics import Metrics
from tests.ingest.bridge import TOPIC, Bridge, dead_letters, device, numbers, running, starting
from tests.programs import eventually, mosquitto, redis_server, valkey
from wire import keys
from wire.reading import decode_reading
from wire.store import Retention, parse_state

HOLDS = "allow_anonymous true\nmax_queued_messages 0"  # the broker forgets nothing that waits
ALL = range(600)
PLENTY = Retention(entries=100_000)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is retained here, so the bridge need not listen for it for long; and it looks at the memory often."""
    monkeypatch.setattr("ingest.presence.QUIET_SECONDS", 0.05)
    monkeypatch.setattr("ingest.store.LOOK_SECONDS", 0.05)


@pytest.fixture(params=["valkey", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server of its own."""
    if request.param == "valkey":
        with valkey() as url:
            yield url
    else:
        with redis_server() as server:
            yield server.url


@pytest.fixture
async def redis(store: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(store) as client:
        yield client


@pytest.fixture
def broker() -> Iterator[str]:
    with mosquitto(HOLDS) as server:
        yield server.url


async def leave(redis: Redis, megabytes: float) -> None:
    """So much memory is left."""
    used = int((await redis.info("memory"))["used_memory"])
    await redis.config_set("maxmemory", used + int(megabytes * 1e6))


async def publish(client: aiomqtt.Client, wanted: Iterable[int], topic: str = TOPIC) -> None:
    """A reading of 4 KB for each number."""
    for n in wanted:
        text = json.dumps({"ts": n + 1, "seq": n, "values": {"n": n, "text": "x" * 4_000}})
        await client.publish(topic, text, qos=1)


async def has(redis: Redis, wanted: range) -> bool:
    return await numbers(redis) == list(wanted)


async def full(bridge: Bridge) -> bool:
    return await bridge.gauge("redis_full") == 1


async def why(bridge: Bridge, text: str) -> bool:
    """Whether the bridge is not ready, and says so."""
    return text in await bridge.why()


async def newest(redis: Redis) -> list[int | None]:
    """The numbers in the state."""
    return [decode_reading(body).seq for _, body in parse_state(await redis.hgetall(keys.state(TOPIC)))]


async def test_what_a_full_redis_refuses_waits_for_room(broker: str, store: str, redis: Redis) -> None:
    async with running(broker, store, batch=50, retention=PLENTY) as bridge, device(broker) as client:
        await leave(redis, 1.5)
        await publish(client, ALL)
        await eventually(lambda: full(bridge))
        await eventually(lambda: why(bridge, "nothing is acknowledged: Redis at 127.0.0.1:"))
        assert await why(bridge, "is full (maxmemory)")
        assert await bridge.healthy()
        stored = await numbers(redis)
        assert stored == list(range(len(stored)))
        assert 0 < len(stored) < len(ALL)
        assert await newest(redis) == stored[-1:]
        assert await bridge.count("stored") == len(stored)
        assert await bridge.gauge("connected", peer="redis") == 1
        assert await bridge.count("disconnects", peer="redis") == 0
        await redis.config_set("maxmemory", 0)
        await eventually(lambda: has(redis, ALL), 30)
        await eventually(bridge.ready)
        assert not await full(bridge)
        assert await newest(redis) == [ALL[-1]]
        assert (await bridge.count("stored"), await bridge.count("redelivered")) == (len(ALL), 0)


async def test_what_a_full_redis_refuses_is_not_acknowledged(broker: str, store: str, redis: Redis) -> None:
    """The bridge goes away with it, and another is given it."""
    async with device(broker) as client:
        async with running(broker, store, batch=50, retention=PLENTY) as bridge:
            await leave(redis, 1.5)
            await publish(client, ALL)
            await eventually(lambda: full(bridge))
        stored = await numbers(redis)
        assert 0 < len(stored) < len(ALL)
        async with starting(broker, store, retention=PLENTY) as bridge:
            await eventually(lambda: full(bridge))
            assert await numbers(redis) == stored
            await redis.config_set("maxmemory", 0)
            await eventually(lambda: has(redis, ALL), 30)


async def test_a_full_redis_gets_names_and_dead_letters_once_there_is_room(
    broker: str, store: str, redis: Redis
) -> None:
    async with running(broker, store) as bridge, device(broker) as client:
        await eventually(lambda: redis.exists(keys.COMMANDS))  # what the bridge makes at its start
        await redis.config_set("maxmemory", 1)
        before = set(await redis.keys())
        await client.publish(TOPIC, b"{", qos=1)
        await client.publish(TOPIC, b"}", qos=1)
        await publish(client, [0])
        await eventually(lambda: full(bridge))
        assert set(await redis.keys()) == before
        await redis.config_set("maxmemory", 0)
        await eventually(lambda: has(redis, range(1)))
        await eventually(bridge.ready)
    assert await redis.smembers(keys.FLEETS) == {b"berlin"}
    assert await redis.smembers(keys.fleet("berlin")) == {b"v1"}
    assert [letter["payload"] for letter in await dead_letters(redis)] == [b"{", b"}"]


async def test_a_bridge_may_begin_with_a_redis_that_is_full(broker: str, store: str, redis: Redis) -> None:
    await redis.config_set("maxmemory", 1)
    async with starting(broker, store) as bridge, device(broker) as client:
        await eventually(lambda: full(bridge))  # it can't even make the stream of commands
        await redis.config_set("maxmemory", 0)
        await eventually(bridge.ready, 30)
        await publish(client, [0])
        await eventually(lambda: has(redis, range(1)))


async def test_a_redis_that_would_drop_what_is_stored_is_given_nothing(broker: str, store: str, redis: Redis) -> None:
    await redis.config_set("maxmemory", 100_000_000)
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    async with starting(broker, store) as bridge, device(broker) as client:
        await eventually(lambda: why(bridge, "has the maxmemory-policy allkeys-lru"))
        assert not await redis.exists(keys.FLEETS, keys.CLOCK, keys.log(TOPIC))
        await redis.config_set("maxmemory-policy", "noeviction")
        await eventually(bridge.ready, 30)
        await publish(client, range(10))
        await eventually(lambda: has(redis, range(10)))
        await redis.config_set("maxmemory-policy", "allkeys-random")  # while it runs
        await eventually(lambda: why(bridge, "has the maxmemory-policy allkeys-random"))
        await publish(client, range(10, 20))
        await eventually(lambda: waits(bridge))
        assert await has(redis, range(10))
        await redis.config_set("maxmemory-policy", "volatile-lru")  # nothing of ours expires
        await eventually(lambda: has(redis, range(20)), 30)
        await eventually(bridge.ready)


async def waits(bridge: Bridge) -> bool:
    return await bridge.gauge("waiting_messages") == 10


async def test_how_much_is_used_is_a_metric_of_each_server(broker: str, store: str, redis: Redis) -> None:
    server = store.removeprefix("redis://")
    async with running(broker, store) as bridge:
        await eventually(lambda: bridge.gauge("redis_used_bytes", server=server))
        assert await bridge.gauge("redis_max_bytes", server=server) == 0
        await redis.config_set("maxmemory", 50_000_000)
        await eventually(lambda: bridge.gauge("redis_max_bytes", server=server))
        used = (await redis.info("memory"))["used_memory"]
        assert 0.5 < await bridge.gauge("redis_used_bytes") / used < 2
        assert await bridge.gauge("redis_max_bytes") == 50_000_000


def test_a_server_that_becomes_tight_is_named_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    report = Report(metrics)

    def found(*used: int) -> list[str]:
        caplog.clear()
        report(Memory(f"10.0.0.{n}:6379", each, 100, "noeviction") for n, each in enumerate(used))
        return [record.getMessage().split()[2] for record in caplog.records if record.levelno == logging.WARNING]

    assert found(80, 79) == []
    assert found(81, 79) == ["10.0.0.0:6379"]
    assert found(99, 81) == ["10.0.0.1:6379"]
    assert found(99, 99) == []
    assert found(10) == []
    assert metrics.registry.get_sample_value("fleetwire_ingest_redis_used_bytes", {"server": "10.0.0.0:6379"}) == 10
    assert metrics.registry.get_sample_value("fleetwire_ingest_redis_used_bytes", {"server": "10.0.0.1:6379"}) is None
    assert found(99) == ["10.0.0.0:6379"]


def test_a_server_without_a_limit_is_never_tight_and_drops_nothing() -> None:
    memory = Memory("10.0.0.1:6379", 1 << 40, 0, "allkeys-lru")
    assert not memory.tight
    assert not memory.evicts
