"""A device that sends too much, with real servers: its surplus is dropped and counted, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from ingest.bucket import Bucket, Rate
from ingest.decoder import Decoder
from ingest.devices import Devices
from ingest.limits import Limits
from ingest.metrics import Metrics
from ingest.settings import Settings
from ingest.source import Arrivals, Received
from ingest.surplus import NAMED, REPORT_MS, SAMPLE_MS, Surplus
from tests.ingest.bridge import TOPIC, Bridge, dead_letters, device, flood, logged, numbers, payload, running
from tests.programs import Served, eventually, mosquitto
from wire import keys
from wire.clock import now_ms
from wire.errors import TopicError
from wire.reading import decode_reading
from wire.retention import parse_retention
from wire.store import parse_state

NOISY = "fleets/berlin/noisy/telemetry"
GOOD = [f"fleets/berlin/good{n}/telemetry" for n in range(5)]
LONG = {"retention": parse_retention("", 100_000, 3_600)}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is retained here, so the bridge need not listen for it for long."""
    monkeypatch.setattr("ingest.presence.QUIET_SECONDS", 0.05)


@pytest.fixture
def broker() -> Iterator[Served]:
    with mosquitto("allow_anonymous true\nmax_inflight_messages 1000\nmax_queued_messages 0") as served:
        yield served


def reading(ts: int | None, signals: int = 1, **fields: Any) -> bytes:
    values = {f"Cabin.Signal{n}": n / 3 for n in range(signals)}
    return json.dumps({"ts": ts, "values": values} | fields).encode()


async def accounted(bridge: Bridge, sent: int) -> bool:
    """Whether everything that was sent is stored, dropped as surplus, or a dead letter."""
    counts = [await bridge.count(name) for name in ("stored", "surplus", "dead_letters")]
    assert sum(counts) <= sent
    return sum(counts) == sent


async def idle(bridge: Bridge) -> bool:
    """Whether nothing waits: all of it is acknowledged."""
    return await bridge.gauge("waiting_messages") == 0


async def test_a_noisy_device_loses_its_surplus_and_nobody_else_anything(
    broker: Served, valkey_url: str, redis_client: Redis
) -> None:
    rate, burst_s = 20, 1
    limits = {"device_rate": rate, "device_burst_s": burst_s, "inbox": 1_000}
    async with running(broker.url, valkey_url, **limits, **LONG) as bridge, device(broker.url) as good:
        begun = now_ms()

        async def noise() -> None:
            for _ in range(8):
                await flood(broker.url, [(NOISY, reading(now_ms(), 300, seq=n)) for n in range(250)])

        async def signal() -> None:
            for n in range(30):
                for topic in GOOD:
                    await good.publish(topic, reading(begun + 1_000 * n, seq=n), qos=1)

        await asyncio.gather(noise(), signal())
        await eventually(lambda: accounted(bridge, 2_150), 60)
        ended = now_ms()
        dropped = await bridge.count("surplus", reason="rate")
        assert await bridge.count("surplus") == dropped
        assert await bridge.count("dead_letters") == 0
        await eventually(lambda: idle(bridge))
    for topic in GOOD:
        assert await numbers(redis_client, topic) == list(range(30))
    stored = await logged(redis_client, NOISY)
    assert len(stored) == 2_000 - dropped
    assert rate * burst_s <= len(stored) <= rate * ((ended - begun) / 1000 + 2 * burst_s) + 2
    assert [reading.ts for reading in stored] == sorted(reading.ts for reading in stored)
    assert all(len(reading.values) == 300 for reading in stored)
    samples = await dead_letters(redis_client)
    assert 1 <= len(samples) <= 1 + (ended - begun) // SAMPLE_MS
    assert {(letter["topic"], letter["reason"]) for letter in samples} == {(NOISY.encode(), b"surplus")}
    assert samples[0]["detail"].startswith(b"more than 20 readings/s for more than 1 s")


async def test_a_flood_of_telemetry_costs_nobody_a_status_or_a_reply(
    broker: Served, valkey_url: str, redis_client: Redis
) -> None:
    async with running(broker.url, valkey_url, device_rate=1, device_burst_s=2) as bridge:
        others = [(f"fleets/berlin/noisy/{kind}", reading(5)) for kind in ("status", "alerts")]
        reply = ("fleets/berlin/noisy/replies", b'{"correlation":"1","status":"SUCCEEDED"}')
        await flood(broker.url, [*((NOISY, reading(now_ms(), seq=n)) for n in range(500)), *others, reply])
        await eventually(lambda: accounted(bridge, 503))
    for topic, _ in (*others, reply):
        assert await redis_client.xlen(keys.log(topic)) == 1


@pytest.mark.parametrize("timed", [True, False])
async def test_what_waited_for_a_bridge_that_was_away_is_stored_to_the_last(
    broker: Served, valkey_url: str, redis_client: Redis, timed: bool
) -> None:
    """Ten minutes of five a second, and of ten devices more, in one burst; with a time of their own or without."""
    limits = {"device_rate": 5, "device_burst_s": 1, "device_backlog_s": 700, **LONG}
    async with running(broker.url, valkey_url, **limits):
        pass
    begun = now_ms() - 600_000
    messages = [(TOPIC, reading(begun + 200 * n if timed else None, seq=n)) for n in range(3_000)]
    messages += [(topic, reading(begun + n, seq=n)) for n in range(10) for topic in GOOD]
    await flood(broker.url, messages)
    async with running(broker.url, valkey_url, **limits) as bridge:
        await eventually(lambda: accounted(bridge, 3_050), 60)
        assert await bridge.count("stored") == 3_050
    assert await numbers(redis_client) == list(range(3_000))
    assert await dead_letters(redis_client) == []


async def test_a_late_upload_beside_live_readings_is_stored_to_the_last(
    broker: Served, valkey_url: str, redis_client: Redis
) -> None:
    limits = {"device_rate": 10, "device_burst_s": 1, **LONG}
    async with running(broker.url, valkey_url, **limits) as bridge:
        now = now_ms()
        messages = []
        for n in range(50):  # an hour in arrays of a minute, the latest first
            start = now - 60_000 * (n + 2)
            late = [{"ts": start + 250 * k, "historical": True, "n": k} for k in range(240)]
            messages += [(TOPIC, json.dumps(late).encode()), (TOPIC, reading(now + 100 * n))]
        await flood(broker.url, messages)
        await eventually(lambda: accounted(bridge, 50 * 241), 60)
        assert await bridge.count("stored") == 50 * 241
    assert await dead_letters(redis_client) == []


async def test_who_lies_about_the_time_is_held_by_the_arrival(broker: Served, valkey_url: str) -> None:
    limits = {"device_rate": 10, "device_burst_s": 1, "device_backlog_s": 30}
    async with running(broker.url, valkey_url, **limits) as bridge:
        begun = now_ms()
        await flood(broker.url, [(NOISY, reading(n * 3_600_000)) for n in range(2_000)])
        await eventually(lambda: accounted(bridge, 2_000))
        most = 10 * (30 + (now_ms() - begun) / 1000) + 2
        assert 300 <= await bridge.count("stored") <= most
        assert await bridge.count("surplus", reason="backlog") == 2_000 - await bridge.count("stored")


async def test_garbage_washes_away_nobodys_dead_letters(broker: Served, valkey_url: str, redis_client: Redis) -> None:
    async with running(broker.url, valkey_url, device_rate=1, device_burst_s=2) as bridge:
        await flood(broker.url, [(NOISY, b"{")] * 500 + [(f"fleets/{n}", b"{") for n in range(500)])
        await flood(broker.url, [(TOPIC, b"{"), (TOPIC, payload(1))])
        await eventually(lambda: accounted(bridge, 1_002))
        assert await bridge.count("stored") == 1
    letters = await dead_letters(redis_client)
    reasons = [letter["reason"] for letter in letters]
    assert reasons.count(b"surplus") == 2  # of the device, and of all topics that are none
    assert len(letters) < 50
    assert (letters[-1]["topic"], letters[-1]["reason"]) == (TOPIC.encode(), b"not_json")


async def test_signals_payloads_and_names_are_bounded(broker: Served, valkey_url: str, redis_client: Redis) -> None:
    limits = {"reading_signals": 10, "device_signals": 25, "payload_bytes": 2_000}
    sent = [
        json.dumps({"ts": 1, "values": {f"a{n}": n for n in range(10)}}),
        json.dumps({"ts": 2, "values": {f"b{n}": n for n in range(10)}}),
        json.dumps({"ts": 3, "values": {f"c{n}": n for n in range(10)}}),  # five too many
        json.dumps([{"ts": 4, "values": {"a0": 4}}, {"ts": 5, "values": {f"c{n}": n for n in range(6)}}]),
        json.dumps({"ts": 6, "values": {f"a{n}": n for n in range(11)}}),
        json.dumps({"ts": 7, "historical": True, "values": {f"a{n}": n for n in range(11)}}),
        json.dumps({"ts": 8, "values": {"s": "x" * 2_000}}),
        json.dumps({"ts": 9, "values": {"n" * 257: 1}}),
        json.dumps({"n" * 257: 1}),
        json.dumps({"ts": 10, "values": {f"c{n}": n for n in range(5)}}),
        json.dumps({"ts": 11, "values": {"a0": 11, "b0": 11, "c4": 11}}),
    ]
    async with running(broker.url, valkey_url, **limits) as bridge:
        await flood(broker.url, [(TOPIC, text.encode()) for text in sent])
        await eventually(lambda: accounted(bridge, len(sent)))
        assert await bridge.count("dead_letters", reason="too_many_signals") == 4
        assert await bridge.count("dead_letters", reason="too_big") == 1
        assert await bridge.count("dead_letters", reason="long_name") == 2
    assert [reading.ts for reading in await logged(redis_client)] == [1, 2, 10, 11]
    assert len(parse_state(await redis_client.hgetall(keys.state(TOPIC)))) == 4


def test_each_reading_of_an_array_counts_and_what_is_over_is_left_out() -> None:
    metrics = Metrics()
    settings = Settings(device_rate=1, device_burst_s=2)
    decoder = Decoder(settings, metrics, lambda topic, data: None, Devices(None).let_in)
    array = json.dumps([{"n": n} for n in range(100)]).encode()
    batch = decoder.decode([Arrivals(1_000_000, [Received(TOPIC, array)])])
    assert [decode_reading(entry.body).values["n"] for entry in batch.entries] == [0, 1, 2]
    assert metrics.surplus.labels("rate")._value.get() == 97
    [sample] = batch.dead
    assert (sample.topic, sample.reason, sample.payload) == (TOPIC, "surplus", array)
    batch = decoder.decode([Arrivals(1_000_500, [Received(TOPIC, array)])])  # shut, and not read
    assert batch == ([], [])
    assert metrics.surplus.labels("rate")._value.get() == 98
    assert len(decoder.decode([Arrivals(1_001_000, [Received(TOPIC, array)])]).entries) == 1


def test_a_rate_of_0_is_none() -> None:
    bucket = Bucket(Rate.of(0, 10, 3_600))
    assert all(bucket.take(1_000, None, False) for _ in range(10_000))


def limits() -> Limits:
    def topic(name: str) -> str | None:
        if name.startswith("bad"):
            raise TopicError(name)
        return None if name == "gateway" else f"fleets/berlin/{name}/telemetry"

    return Limits(Rate.of(10, 1, 100), topic, lambda topic: "stranger" not in topic)


def test_who_has_which_bucket() -> None:
    found = limits()
    assert found.of_name["v1"] is found.of_name["v1"] is found.of_topic["fleets/berlin/v1/telemetry"]
    assert found.of_name["v1"] is not found.of_name["v2"]
    assert found.of_name["gateway"] is found.of_name["gateway"]
    assert found.of_name["stranger1"] is found.of_name["stranger2"] is found.unknown
    assert found.of_name["bad1"] is found.of_name["bad2"] is not found.unknown
    assert set(found.of_name) == {"v1", "v2", "gateway"}
    assert found.of_name["fleets/berlin/v1/replies"] is found.of_topic["fleets/berlin/v1/replies"]
    before = found.of_name["v1"]
    found.forget()
    assert found.of_name["v1"] is not before


def test_the_time_of_buckets_goes_on_when_the_clock_is_set_back() -> None:
    found = limits()
    assert [found.now(time) for time in (100_000, 200_000, 199_000, 201_000)] == [100_000, 200_000, 200_000, 201_000]
    assert [found.now(time) for time in (1_000, 1_500, 901_000)] == [201_000, 201_500, 1_101_000]


def test_surplus_is_counted_sampled_and_named(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    surplus, now = Surplus("more than is good", metrics), 1_000_000
    buckets = {name: Bucket(Rate.of(10, 1, 100)) for name in ("a", "b", "c", "d")}
    samples = []
    with caplog.at_level(logging.WARNING):
        for _ in range(105):
            for weight, (name, bucket) in enumerate(buckets.items(), 1):
                samples += [surplus.drop(bucket, name, b"x", now) for _ in range(weight)]
            surplus.settle(now)
            now += SAMPLE_MS // 50
        assert len(caplog.records) == 10  # one in ten rounds
        surplus.settle(now + REPORT_MS)
        surplus.settle(now + 2 * REPORT_MS)
        assert len(caplog.records) == 11  # what was left, and then there is no more to say
    kept = [(letter.topic, letter.reason) for letter in samples if letter is not None]
    assert kept == [(name, "surplus") for _ in range(3) for name in buckets]
    assert metrics.surplus.labels("rate")._value.get() == 1_050
    text = caplog.messages[0]
    assert text.startswith("dropped ")
    assert "of 4 topics with more than is good; the worst: d (" in text
    assert ", c (" in text
    assert "a (" not in text


def test_a_flood_of_names_fills_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    surplus, bucket = Surplus("more than is good", Metrics()), Bucket(Rate.of(10, 1, 100))
    for n in range(2 * NAMED):
        surplus.drop(bucket, str(n), b"x", 1)
    surplus.settle(1)
    with caplog.at_level(logging.WARNING):
        surplus.settle(1 + REPORT_MS)
    assert f"of {NAMED} or more topics" in caplog.text
