"""The script, on Valkey and on Redis: one call stores, merges and publishes a batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings, strategies
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from tests.programs import eventually
from wire import keys
from wire.clock import now_ms
from wire.ids import parse_id
from wire.reading import Message, Reading, decode_reading, encode, split
from wire.retention import MOST
from wire.store import SCRIPT, Entry, Kept, Receipts, Retention, arguments, pack_parts, parse_state

TOPIC = "fleets/berlin/v1/telemetry"
OTHER = "fleets/berlin/v2/telemetry"
PLENTY = Retention(1_000, 3_600_000)
_SEQ = count()


class Stored:
    """The script on a Redis, and what it left there."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._script = redis.register_script(SCRIPT)

    async def call(self, entries: Sequence[Entry], retention: Retention = PLENTY) -> list[Any]:
        names, args = arguments(entries, retention)
        found: list[Any] = await self._script(keys=names, args=args)
        return found

    async def log(self, topic: str) -> list[tuple[str, bytes]]:
        return [(id.decode(), *fields.values()) for id, fields in await self.redis.xrange(keys.log(topic))]

    async def state(self, topic: str) -> dict[str, tuple[str, bytes]]:
        fields = await self.redis.hgetall(keys.state(topic))
        return {name.decode(): parsed for name, value in fields.items() for parsed in parse_state({name: value})}


@pytest.fixture
async def stored(redis_url: str) -> AsyncIterator[Stored]:
    async with Redis.from_url(redis_url) as redis:
        yield Stored(redis)


def entry(
    topic: str = TOPIC, ts: int = 1, parts: tuple[str, ...] = ("Speed",), speed: float = 1.0, seq: int | None = None
) -> Entry:
    """A reading; each is another one, unless `seq` says that it is the same."""
    reading = Reading(ts, {"Speed": speed}, next(_SEQ) if seq is None else seq, received=now_ms())
    return Entry(topic, encode(reading), ts, pack_parts([(name, b"") for name in parts]))


async def test_an_entry_is_logged_becomes_the_state_and_is_published(stored: Stored) -> None:
    async with stored.redis.pubsub() as pubsub:
        await pubsub.psubscribe("fleets/*")
        await pubsub.get_message(timeout=5)
        one = entry(speed=54.2)
        first, _ = await stored.call([one])
        id = first.decode()
        assert await stored.log(TOPIC) == [(id, one.body)]
        assert await stored.state(TOPIC) == {"Speed": (id, one.body)}
        assert await stored.redis.hget(keys.state(TOPIC), "Speed") == f"{id} ".encode() + one.body
        heard = await pubsub.get_message(timeout=5)
        assert heard is not None
        assert (heard["channel"].decode(), split(heard["data"])) == (TOPIC, (id, one.body))
    assert await stored.redis.get(keys.CLOCK) == first


async def test_a_subscriber_hears_a_batch_in_the_order_of_ids(stored: Stored) -> None:
    async with stored.redis.pubsub() as pubsub:
        await pubsub.psubscribe("fleets/*")
        await pubsub.get_message(timeout=5)
        batch = [entry(topic, speed=speed) for speed, topic in enumerate([TOPIC, OTHER] * 20)]
        first, _ = await stored.call(batch)
        heard = [await pubsub.get_message(timeout=5) for _ in batch]
    payloads = [split(message["data"]) for message in heard if message]
    ms, _, n = first.decode().partition("-")
    assert [id for id, _ in payloads] == [f"{ms}-{int(n) + place}" for place in range(len(batch))]
    assert [body for _, body in payloads] == [one.body for one in batch]
    assert [message["channel"].decode() for message in heard if message] == [one.topic for one in batch]
    logged = await stored.log(TOPIC) + await stored.log(OTHER)
    assert sorted(logged, key=lambda pair: parse_id(pair[0])) == payloads


async def test_ids_strictly_grow_over_topics_and_calls(stored: Stored) -> None:
    before = now_ms()
    for _ in range(50):
        await stored.call([entry(TOPIC), entry(OTHER), entry("rooms/ops", parts=())])
    found = [await stored.log(topic) for topic in (TOPIC, OTHER, "rooms/ops")]
    in_order = [parse_id(id) for three in zip(*found, strict=True) for id, _ in three]
    assert in_order == sorted(set(in_order))
    assert before << 32 <= in_order[0]
    assert in_order[-1] < (now_ms() + 1) << 32
    assert parse_id(await stored.redis.get(keys.CLOCK)) == in_order[-1]


async def test_ids_grow_on_when_the_clock_of_the_machine_steps_back(stored: Stored) -> None:
    ahead = now_ms() + 3_600_000
    await stored.redis.set(keys.CLOCK, f"{ahead}-41")
    assert (await stored.call([entry(), entry(OTHER)]))[0] == f"{ahead}-42".encode()
    assert (await stored.call([entry()]))[0] == f"{ahead}-44".encode()
    assert [id for id, _ in await stored.log(TOPIC)] == [f"{ahead}-42", f"{ahead}-44"]
    assert await stored.redis.get(keys.CLOCK) == f"{ahead}-44".encode()


async def test_two_callers_share_one_clock(stored: Stored, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as other:
        for _ in range(20):
            await Stored(other).call([entry(), entry()])
            await stored.call([entry()])
    ids = [id for id, _ in await stored.log(TOPIC)]
    assert len(ids) == len(set(ids)) == 60


@pytest.mark.parametrize(
    ("times", "winner"),
    [((1, 2), 1), ((2, 1), 0), ((5, 5), 1), ((1_764_000_000_000, 1_764_000_000_001), 1), ((10, 9), 0), ((0, 0), 1)],
)
async def test_the_newest_ts_is_the_state_and_of_equals_the_later(
    stored: Stored, times: tuple[int, int], winner: int
) -> None:
    entries = [entry(ts=ts, speed=place) for place, ts in enumerate(times)]
    for one in entries:
        await stored.call([one])
    assert (await stored.state(TOPIC))["Speed"][1] == entries[winner].body
    assert [body for _, body in await stored.log(TOPIC)] == [one.body for one in entries]


async def test_the_same_holds_within_one_batch(stored: Stored) -> None:
    entries = [entry(ts=ts, speed=ts) for ts in (2, 3, 1, 3)]
    await stored.call(entries)
    id, body = (await stored.state(TOPIC))["Speed"]
    assert (id, body) == ((await stored.log(TOPIC))[3][0], entries[3].body)


async def test_each_field_of_the_state_has_its_own_newest(stored: Stored) -> None:
    def reading(ts: int, *names: str) -> Entry:
        one = {name: encode(Reading(ts, {name: ts})) for name in names}
        return Entry(
            TOPIC, encode(Reading(ts, dict.fromkeys(names, ts), received=now_ms())), ts, pack_parts(list(one.items()))
        )

    for one in (reading(2, "b", "c"), reading(1, "a", "b")):
        await stored.call([one])
    values = {name: decode_reading(body).values for name, (_, body) in (await stored.state(TOPIC)).items()}
    assert values == {"a": {"a": 1}, "b": {"b": 2}, "c": {"c": 2}}


async def test_bodies_may_hold_any_bytes(stored: Stored) -> None:
    body = bytes(range(256)) + b" 1-1 \r\n"
    await stored.call([Entry(TOPIC, body, 1, pack_parts([("a", b"")]))])
    assert [found for _, found in await stored.log(TOPIC)] == [body]
    assert (await stored.state(TOPIC))["a"][1] == body


async def test_an_entry_without_parts_leaves_the_state_alone(stored: Stored) -> None:
    current = entry(ts=5)
    await stored.call([current, entry(ts=9, parts=()), entry("rooms/ops", parts=())])
    assert [body for _, body in (await stored.state(TOPIC)).values()] == [current.body]
    assert len(await stored.log(TOPIC)) == 2
    assert not await stored.redis.exists(keys.state("rooms/ops"))
    assert len(await stored.log("rooms/ops")) == 1


async def test_a_log_keeps_about_as_many_as_its_cap_and_never_fewer(stored: Stored) -> None:
    entries = [entry(speed=speed) for speed in range(500)]
    await stored.call(entries, Retention(200, 3_600_000))
    kept = await stored.log(TOPIC)
    assert 200 <= len(kept) < 400  # whole nodes of a stream go, of 100 entries by default
    assert [body for _, body in kept] == [one.body for one in entries[-len(kept) :]]


async def test_a_log_forgets_what_is_too_old(stored: Stored) -> None:
    old = now_ms() - 10_000
    for n in range(300):
        await stored.redis.xadd(keys.log(TOPIC), {"b": b"old"}, id=f"{old}-{n}")
    await stored.call([entry(speed=5)], Retention(1_000, 60_000))
    assert len(await stored.log(TOPIC)) == 301  # none is as old as that
    await stored.call([entry(speed=6) for _ in range(32)], Retention(1_000, 5_000))
    assert 33 <= len(await stored.log(TOPIC)) < 33 + 100


async def test_each_kind_keeps_what_is_said_of_it(stored: Stored) -> None:
    kinds = {"telemetry": 100, "status": 400, "alerts": 600, "replies": 200, "rooms": 300, "commands": 500}
    retention = Retention(1_000, 3_600_000, tuple((kind, Kept(cap, 3_600_000)) for kind, cap in kinds.items()))
    topics = {kind: "rooms/ops" if kind == "rooms" else f"fleets/berlin/v1/{kind}" for kind in kinds}
    for start in range(0, 1_200, 100):
        for topic in topics.values():
            await stored.call([entry(topic, ts=ts) for ts in range(start, start + 100)], retention)
    kept = {kind: await stored.redis.xlen(keys.log(topic)) for kind, topic in topics.items()}
    assert all(kinds[kind] <= kept[kind] < kinds[kind] + 150 for kind in kinds), kept
    assert await stored.redis.xlen(keys.COMMANDS) == 1_200  # those wait until they are settled


async def test_a_kind_has_an_age_of_its_own(stored: Stored) -> None:
    old = now_ms() - 10_000
    status = "fleets/berlin/v1/status"
    for topic in (TOPIC, status):
        for n in range(300):
            await stored.redis.xadd(keys.log(topic), {"b": b"old"}, id=f"{old}-{n}")
    retention = Retention(1_000, 5_000, (("status", Kept(1_000, 60_000)),))
    await stored.call([entry(topic, ts=ts) for ts in range(32) for topic in (TOPIC, status)], retention)
    await stored.call([entry(topic, ts=ts) for topic in (TOPIC, status) for ts in range(32, 64)], retention)
    assert await stored.redis.xlen(keys.log(status)) == 364
    assert 64 <= await stored.redis.xlen(keys.log(TOPIC)) < 64 + 100


@pytest.mark.parametrize(
    "most", [Retention(MOST, MOST * 1000), Retention(1, 1000, (("telemetry", Kept(MOST, MOST * 1000)),))]
)
async def test_the_most_that_can_be_said_is_understood(stored: Stored, most: Retention) -> None:
    await stored.call([entry(ts=ts) for ts in range(64)], most)
    assert len(await stored.log(TOPIC)) == 64


async def test_an_empty_batch_is_nothing(stored: Stored) -> None:
    await stored.call([entry()])
    before = await stored.log(TOPIC)
    await stored.call([])
    assert await stored.log(TOPIC) == before


@pytest.mark.parametrize("key", [keys.log, keys.state])
async def test_a_key_of_another_type_refuses_that_entry_only(stored: Stored, key: Any) -> None:
    await stored.redis.set(key(OTHER), "not ours")
    batch = [entry(TOPIC, ts=1), entry(OTHER, ts=2), entry(TOPIC, ts=3), entry(OTHER, ts=4), entry(TOPIC, ts=5)]
    _, _, *refused = await stored.call(batch)
    assert refused[::2] == [1, 3]
    assert all(b"WRONGTYPE" in why for why in refused[1::2])
    assert [body for _, body in await stored.log(TOPIC)] == [batch[place].body for place in (0, 2, 4)]
    assert (await stored.state(TOPIC))["Speed"][1] == batch[4].body
    assert await stored.redis.get(key(OTHER)) == b"not ours"


async def test_a_refused_entry_with_several_parts_does_not_shift_those_after_it(stored: Stored) -> None:
    await stored.redis.set(keys.log(OTHER), "not ours")
    refused = Entry(OTHER, b"refused", 1, pack_parts([("a", b"1"), ("b", b"2"), ("c", b"3")]))
    after = Entry(TOPIC, b"after", 2, pack_parts([("d", b"4"), ("e", b"5")]))
    _, _, *found = await stored.call([refused, after])
    assert found[0] == 0
    assert [body for _, body in await stored.log(TOPIC)] == [b"after"]
    assert {name: body for name, (_, body) in (await stored.state(TOPIC)).items()} == {"d": b"4", "e": b"5"}


async def test_what_is_refused_for_its_log_is_not_published(stored: Stored) -> None:
    await stored.redis.set(keys.log(OTHER), "not ours")
    async with stored.redis.pubsub() as pubsub:
        await pubsub.psubscribe("fleets/*")
        await pubsub.get_message(timeout=5)
        await stored.call([entry(OTHER), entry(TOPIC)])
        heard = await eventually(lambda: pubsub.get_message(timeout=1))
    assert heard["channel"].decode() == TOPIC


async def test_a_reading_that_comes_again_is_stored_and_published_once(stored: Stored) -> None:
    async with stored.redis.pubsub() as pubsub:
        await pubsub.psubscribe("fleets/*")
        await pubsub.get_message(timeout=5)
        batch = [entry(ts=ts, seq=ts) for ts in (5, 6, 7)]
        assert (await stored.call(batch))[1] == 0
        assert (await stored.call([entry(ts=6, seq=6), entry(ts=8, seq=8), *batch]))[1] == 4
        heard = [await pubsub.get_message(timeout=5) for _ in range(4)]
        assert await pubsub.get_message(timeout=0.05) is None
    assert [decode_reading(split(message["data"])[1]).seq for message in heard if message] == [5, 6, 7, 8]
    assert [decode_reading(body).seq for _, body in await stored.log(TOPIC)] == [5, 6, 7, 8]


@pytest.mark.parametrize("parts", [("Speed",), ()])
async def test_late_and_historical_readings_that_come_again_are_known_too(
    stored: Stored, parts: tuple[str, ...]
) -> None:
    await stored.call([entry(ts=ts, seq=ts) for ts in range(100, 300)])
    late = [entry(ts=ts, seq=1000 + ts, parts=parts) for ts in (150, 120, 299, 300)]
    assert (await stored.call(late[:3]))[1] == 0
    await stored.call([entry(ts=ts, seq=ts) for ts in range(301, 400)])
    assert (await stored.call(late))[1] == 3
    assert (await stored.call([entry(ts=ts, seq=ts) for ts in (100, 250, 399)]))[1] == 3
    assert len(await stored.log(TOPIC)) == 303


async def test_readings_that_differ_in_anything_but_their_arrival_are_two(stored: Stored) -> None:
    await stored.call([entry(ts=9, seq=1)])
    others = [entry(ts=9, seq=2), entry(ts=9, seq=1, speed=2.0), entry(ts=8, seq=1), entry(OTHER, ts=9, seq=1)]
    assert (await stored.call(others))[1] == 0
    assert len(await stored.log(TOPIC)) == 4


async def test_what_a_log_no_longer_has_is_stored_again(stored: Stored) -> None:
    await stored.call([entry(ts=1, seq=1)])
    await stored.call([entry(ts=ts, seq=ts) for ts in range(2, 1_000)], Retention(100, 3_600_000))
    assert decode_reading((await stored.log(TOPIC))[0][1]).seq != 1
    assert (await stored.call([entry(ts=1, seq=1)]))[1] == 0


async def test_foreign_entries_of_a_log_are_passed_over(stored: Stored) -> None:
    await stored.call([entry(ts=5, seq=5)])
    for body in (b"", b"noise", b"\xc1", encode({"ts": "x"})):
        await stored.redis.xadd(keys.log(TOPIC), {"b": body})
    await stored.redis.hset(keys.state(TOPIC), "Speed", "noise")
    assert (await stored.call([entry(ts=5, seq=5), entry(ts=4, seq=4)]))[1] == 1


async def test_messages_are_each_as_good_as_the_last(stored: Stored) -> None:
    hello = Entry("rooms/ops", encode(Message(5, "hello")))
    assert (await stored.call([hello, hello]))[1] == 0
    assert len(await stored.log("rooms/ops")) == 2


async def test_a_command_waits_under_its_id(stored: Stored) -> None:
    command = Entry("fleets/berlin/v1/commands", encode(Message(5, {"name": "ping"})))
    id, _ = await stored.call([command])
    assert await stored.redis.xrange(keys.COMMANDS) == [(id, {b"topic": command.topic.encode(), b"b": command.body})]
    assert [found for found, _ in await stored.log(command.topic)] == [id.decode()]


async def test_readings_without_a_time_of_their_own_are_each_stored(stored: Stored) -> None:
    same = entry(seq=0, ts=5)
    untimed = Entry(same.topic, same.body, same.ts, pack_parts([("Speed", b"")], timed=False))
    assert (await stored.call([untimed, untimed]))[1] == 0
    assert (await stored.call([untimed]))[1] == 0
    assert len(await stored.log(TOPIC)) == 3


async def test_a_batch_that_is_sent_again_is_stored_once(stored: Stored) -> None:
    async def send(number: bytes) -> list[Any]:
        same = entry(seq=0, ts=5)
        batch = [Entry(same.topic, same.body, same.ts, pack_parts([("Speed", b"")], timed=False))] * 3 + [
            Entry("rooms/ops", b"hello")
        ]
        names, args = arguments(batch, PLENTY, Receipts("bridge", number * 8, 1_000))
        found: list[Any] = await stored.redis.eval(SCRIPT, len(names), *names, *args)
        return found

    assert (await send(b"1"))[1:] == [0]
    assert (await send(b"1"))[1:] == [4]
    assert (await send(b"2"))[1:] == [0]
    assert (len(await stored.log(TOPIC)), len(await stored.log("rooms/ops"))) == (6, 2)


async def test_receipts_are_kept_with_the_batch_and_only_the_newest(stored: Stored) -> None:
    for n in range(10):
        names, args = arguments([entry(seq=n)], PLENTY, Receipts("bridge", bytes([n]) * 8, 32))
        await stored.redis.eval(SCRIPT, len(names), *names, *args)
    kept = await stored.redis.get(keys.session("bridge"))
    assert 32 <= len(kept) <= 64
    assert kept.endswith(b"".join(bytes([n]) * 8 for n in (6, 7, 8, 9)))


@given(data=strategies.data())
@settings(max_examples=60, deadline=None)
def test_order_and_splits_and_repetitions_make_no_difference(session_redis: str, data: strategies.DataObject) -> None:
    """Whatever the order of readings and their split over bridges and calls: the log has each once, and the
    state is the newest of each signal."""
    times = data.draw(strategies.lists(strategies.integers(1, 40), min_size=1, max_size=20, unique=True))
    readings = [
        (ts, data.draw(strategies.sampled_from(["a", "b", "ab"])), data.draw(strategies.booleans())) for ts in times
    ]
    sent = data.draw(
        strategies.permutations(readings + data.draw(strategies.lists(strategies.sampled_from(readings))))
    )
    calls: list[list[Entry]] = [[]]
    for ts, signals, historical in sent:
        values = dict.fromkeys(signals, ts)
        body = encode(Reading(ts, values, historical=historical, received=now_ms() + len(calls)))
        calls[-1].append(Entry(TOPIC, body, ts, pack_parts([] if historical else [(signals, b"")])))
        if data.draw(strategies.booleans()):
            calls.append([])
    with closing(SyncRedis.from_url(session_redis)) as redis:
        redis.flushall()
        script = redis.register_script(SCRIPT)
        for call in calls:
            names, args = arguments(call, PLENTY)
            script(keys=names, args=args)
        log = [decode_reading(next(iter(fields.values()))) for _, fields in redis.xrange(keys.log(TOPIC))]
        state = [decode_reading(body) for _, body in parse_state(redis.hgetall(keys.state(TOPIC)))]
    assert sorted((r.ts, "".join(r.values), r.historical) for r in log) == sorted(readings)
    newest = {name: ts for ts, signals, historical in sorted(readings) if not historical for name in signals}
    found = {name: r.ts for r in sorted(state, key=lambda r: r.ts) for name in r.values}
    assert found == newest
