"""A Redis that is full (maxmemory): what it is asked to store it stores as a whole or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from store.lives import begin
from wire import keys
from wire.partition import WHOLE
from wire.reading import Message, Reading, encode
from wire.store import SCRIPT, Entry, Receipts, Retention, arguments, pack_parts

TOPICS = [f"fleets/berlin/v{n}/telemetry" for n in range(300)]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, protocol=2) as client:
        yield client
        await client.config_set("maxmemory", 0)  # others use it too
        await client.config_set("maxmemory-policy", "noeviction")


def batch(number: int, topics: list[str] = TOPICS[:10]) -> list[Entry]:
    """A reading of each topic, a command and a message."""
    body = encode(Reading(number, {"n": number}, number))
    message = encode(Message(number, {"name": "ping"}))
    readings = [Entry(topic, body, number, pack_parts([("n", b"")])) for topic in topics]
    return [*readings, Entry("fleets/berlin/v0/commands", message), Entry("rooms/ops", message)]


async def store(redis: Redis, entries: list[Entry], receipts: bytes) -> list[int | bytes]:
    names, args = arguments(entries, Retention(), Receipts("bridge", receipts, 1_000))
    found: list[int | bytes] = await redis.eval(SCRIPT, len(names), *names, *args)
    return found


async def contents(redis: Redis) -> dict[bytes, bytes]:
    """All that is stored."""
    return {key: await redis.dump(key) for key in await redis.keys()}


async def used(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])


async def test_a_batch_is_refused_as_a_whole_and_publishes_nothing(redis: Redis) -> None:
    await store(redis, batch(1), b"1" * 8)
    before = await contents(redis)
    async with redis.pubsub() as pubsub:
        await pubsub.psubscribe("*")
        await pubsub.get_message(timeout=5)
        await redis.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            await store(redis, batch(2), b"2" * 8)
        assert await contents(redis) == before
        await redis.publish("after", "it")
        heard = await pubsub.get_message(timeout=5)
    assert heard is not None
    assert heard["channel"] == b"after"
    await redis.config_set("maxmemory", 0)
    await store(redis, batch(2), b"2" * 8)
    assert [await redis.xlen(keys.log(topic)) for topic in TOPICS[:10]] == [2] * 10


async def test_a_batch_that_fills_it_is_stored_as_a_whole(redis: Redis) -> None:
    """Redis refuses only what a script writes first: once it has written, it goes on."""
    await store(redis, batch(1), b"1" * 8)
    before = await contents(redis)
    limit = await used(redis)
    stored = None
    while stored is None:
        limit += 20_000
        await redis.config_set("maxmemory", limit)
        try:
            stored = await store(redis, batch(2, TOPICS), b"2" * 8)
        except OutOfMemoryError:
            assert await contents(redis) == before
    assert await used(redis) > limit
    assert len(stored) == 2  # no entry was refused
    for topic in TOPICS:
        [(id, _)] = await redis.xrevrange(keys.log(topic), count=1)
        assert (await redis.hget(keys.state(topic), "n")).startswith(id + b" ")
    assert await redis.xlen(keys.COMMANDS) == await redis.xlen(keys.log("rooms/ops")) == 2
    assert await redis.get(keys.session("bridge")) == b"1" * 8 + b"2" * 8
    before = await contents(redis)
    with pytest.raises(OutOfMemoryError):
        await store(redis, batch(3), b"3" * 8)
    assert await contents(redis) == before


async def test_whether_a_batch_was_stored_before_is_told_when_there_is_room_again(redis: Redis) -> None:
    await store(redis, batch(1), b"1" * 8)
    await redis.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        await store(redis, batch(1), b"1" * 8)
    await redis.config_set("maxmemory", 0)
    assert (await store(redis, batch(1), b"1" * 8))[0] == b""


async def test_a_policy_that_drops_what_expires_drops_nothing_of_ours(redis: Redis) -> None:
    await store(redis, batch(1), b"1" * 8)
    before = await contents(redis)
    for policy in ("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"):
        await redis.config_set("maxmemory", 0)
        await redis.config_set("maxmemory-policy", policy)
        await redis.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            await store(redis, batch(2), b"2" * 8)
        assert await contents(redis) == before


async def test_a_life_begins_also_when_it_is_full(redis: Redis) -> None:
    """Those who only read are not held up by it."""
    await store(redis, batch(1), b"1" * 8)
    before = await begin(redis, WHOLE, 0)
    await redis.hset(keys.LIVES, "@life", "another")
    await redis.config_set("maxmemory", 1)
    found = await begin(redis, WHOLE, 0)
    assert found[:-1] == before
    assert await begin(redis, WHOLE, 0) == found
