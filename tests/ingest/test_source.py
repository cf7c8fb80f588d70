"""The two sources on a real broker: what is not acknowledged comes again, and what had come is given to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest import source_v5, source_v311
from ingest.metrics import Metrics
from ingest.settings import Settings
from ingest.source import Arrivals, Message, Source
from tests.ingest.bridge import TOPIC, Bridge, dead_letters, device, logged, payload, publish, running
from tests.programs import Served, eventually, mosquitto
from tests.programs import broker as rumqttd
from wire.errors import Unavailable

VERSIONS = ["5", "3.1.1"]
BIG = "max_inflight_messages 1000\nmax_queued_messages 0"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is retained here, so the bridge need not listen for it for long."""
    monkeypatch.setattr("ingest.presence.QUIET_SECONDS", 0.05)


@pytest.fixture
def broker() -> Any:
    with mosquitto(f"allow_anonymous true\n{BIG}") as served:
        yield served


def connect(broker: Served, version: str, **changes: Any) -> AbstractAsyncContextManager[Source]:
    settings = Settings(mqtt_url=broker.url, mqtt_version=version, client_id="one", **changes)  # type: ignore[arg-type]
    return (source_v5 if version == "5" else source_v311).connect(settings, Metrics())


async def take(batches: AsyncIterator[Any], count: int) -> list[Message]:
    found: list[Message] = []
    while len(found) < count:
        found += [message for _, messages in await anext(batches) for message in messages]
    return found


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_not_acknowledged_comes_again_and_is_marked(broker: Served, version: str) -> None:
    async with connect(broker, version) as source, device(broker.url) as client:
        await publish(client, range(10))
        first = await take(source.batches(), 10)
        assert not any(message.duplicate for message in first)
    async with connect(broker, version) as source:
        batches = source.batches()
        again = await take(batches, 10)
        assert [(m.packet_id, m.payload, m.duplicate) for m in again] == [
            (m.packet_id, m.payload, True) for m in first
        ]


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_acknowledged_does_not_come_again(broker: Served, version: str) -> None:
    async with device(broker.url) as client:
        async with connect(broker, version) as source:
            await publish(client, range(10))
            async for batch in source.batches():
                source.ack(batch)
                if any(message.payload == payload(9) for _, messages in batch for message in messages):
                    break
        await publish(client, [10])
        async with connect(broker, version) as source:
            [only] = await take(source.batches(), 1)
            assert only.payload == payload(10)


async def test_a_session_is_resumed_or_a_new_one(broker: Served) -> None:
    for resumed in (False, True):
        async with connect(broker, "5") as source:
            assert source.resumed is resumed


async def test_everything_that_had_come_is_given_when_the_broker_is_killed(broker: Served) -> None:
    """Also what lies unread in the socket, and though the acknowledgement finds nobody there."""
    async with connect(broker, "5", linger_ms=1_000) as source, device(broker.url) as client:
        await publish(client, [0])
        batches = source.batches()
        first = await anext(batches)
        # From here on the source rests for a second. The broker has sent all of these when it confirms the last.
        async with asyncio.TaskGroup() as group:
            for n in range(1, 200):
                group.create_task(client.publish(TOPIC, payload(n), qos=1))
        broker.program.kill()
        close_by_writing(source, first)
        found = await take(batches, 199)
        assert [message.payload for message in found] == [payload(n) for n in range(1, 200)]
        with pytest.raises(Unavailable):
            await anext(batches)


async def test_what_comes_during_a_rest_is_one_batch(broker: Served) -> None:
    async with connect(broker, "5", linger_ms=1_000) as source, device(broker.url) as client:
        batches = source.batches()
        await publish(client, [0])
        first = await anext(batches)  # nobody rested, so it is not kept waiting
        await publish(client, range(1, 6))
        source.ack(first)  # nor does this end the rest
        await publish(client, range(6, 11))
        [(_, messages)] = await anext(batches)
        assert [message.payload for message in messages] == [payload(n) for n in range(1, 11)]


def close_by_writing(source: Source, batch: Sequence[Arrivals]) -> None:
    """The answer to the first acknowledgement is that nobody is there; then one fails, before anything is read."""
    assert isinstance(source, source_v5.SourceV5)
    assert source._transport is not None
    for _ in range(1_000):
        if source._transport.is_closing():
            return
        source.ack(batch)
    pytest.fail("it goes on writing")


async def test_a_broker_with_a_small_window_is_not_kept_waiting(valkey_url: str) -> None:
    """rumqttd sends a hundred, and the next ones when those are acknowledged: to rest after each would take 20 s."""
    with rumqttd() as ports:
        url = f"mqtt://127.0.0.1:{ports.port_v5}"
        async with running(url, valkey_url, linger_ms=1_000) as bridge, device(url) as client:
            client.pending_calls_threshold = 10_000
            async with asyncio.TaskGroup() as group:
                for n in range(2_000):
                    group.create_task(client.publish(TOPIC, payload(n), qos=1))
            await eventually(lambda: stored(bridge, 2_000))


async def stored(bridge: Bridge, count: int) -> bool:
    return await bridge.count("stored") == count


async def test_a_broker_that_is_not_there_or_refuses() -> None:
    with mosquitto("allow_anonymous false") as closed:
        with pytest.raises(Unavailable, match="not authorized"):
            async with connect(closed, "5"):
                pytest.fail("it was let in")
        closed.program.kill()
        with pytest.raises(Unavailable, match="Connect call failed"):
            async with connect(closed, "5"):
                pytest.fail("nobody was there")


async def test_a_payload_larger_than_the_buffer_becomes_a_dead_letter_and_the_rest_flows(
    broker: Served, valkey_url: str, redis_client: Redis
) -> None:
    async with running(broker.url, valkey_url), device(broker.url) as client:
        await publish(client, [1])
        await client.publish(TOPIC, b"[" + b" " * 1_000_000 + b"1]", qos=1)
        await publish(client, [2])
        await eventually(lambda: read(redis_client, 2))
    [letter] = await dead_letters(redis_client)
    assert letter["reason"] == b"too_big"


async def read(redis: Redis, count: int) -> bool:
    return len(await logged(redis)) == count


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_redelivery_is_stored_once_even_without_a_time_of_its_own(
    broker: Served, valkey_url: str, redis_client: Redis, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored, and then the bridge is gone before the broker has heard of it."""
    source = source_v5.SourceV5 if version == "5" else source_v311.SourceV311
    with monkeypatch.context() as patch:
        patch.setattr(source, "ack", lambda self, batch: None)
        async with running(broker.url, valkey_url, mqtt_version=version), device(broker.url) as client:
            for _ in range(20):
                await client.publish(TOPIC, b'{"Speed":0}', qos=1)
            await client.publish(TOPIC, b"noise", qos=1)
            await eventually(lambda: read(redis_client, 20))
            await eventually(lambda: dead_letters(redis_client))
    async with running(broker.url, valkey_url, mqtt_version=version), device(broker.url) as client:
        for _ in range(3):
            await client.publish(TOPIC, b'{"Speed":0}', qos=1)
        await eventually(lambda: read(redis_client, 23))
    assert len(await dead_letters(redis_client)) == 1
    async with running(broker.url, valkey_url, mqtt_version=version) as bridge:
        assert await bridge.count("received", qos="1") == 0  # all of it was acknowledged


async def test_the_session_is_kept_alive_while_redis_is_away(
    valkey_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ingest.source_v5.KEEPALIVE_SECONDS", 1)
    with mosquitto() as broker:
        async with running(broker.url, valkey_url, inbox=100) as bridge, device(broker.url) as client:
            await redis_client.client_pause(4_000, all=False)
            for n in range(300):
                await client.publish(TOPIC, payload(n), qos=1)
            await eventually(lambda: read(redis_client, 300), timeout=20)
            assert await bridge.count("disconnects", peer="mqtt") == 0
