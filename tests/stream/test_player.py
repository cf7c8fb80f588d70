"""Replays on a real Valkey: the log is played by the clock, all of it, in order and once, and goes on live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from redis.asyncio import Redis

from stream import tape
from stream.node import Node
from tests.programs import eventually, free_port, redis_server
from tests.stream.nodes import TOPIC, Event, Peer, Store, Subscription, counted, joined, running
from wire import keys
from wire.clock import now_ms
from wire.ids import parse_id
from wire.partition import Layout
from wire.reading import Reading, encode
from wire.urls import parse_redis

BATCH: dict[str, Any] = {"strategy": "batch", "interval": 0, "meta": True, "snapshot": False}
OTHER = "fleets/berlin/v2/telemetry"


class Past:
    """What was stored in the past, `ago` ms before now."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.now = now_ms()

    async def reading(self, ago: int, values: dict[str, Any], topic: str = TOPIC, **fields: Any) -> int:
        """Store a reading as if it were then: its `ts` is when; returns that, epoch ms. Older ones first."""
        ms = self.now - ago
        body = encode(Reading(fields.pop("ts", ms), values, **fields))
        _, fleet, vehicle, _ = topic.split("/")
        await self.redis.sadd(keys.FLEETS, fleet)
        await self.redis.sadd(keys.fleet(fleet), vehicle)
        id = (await self.redis.xadd(keys.log(topic), {"b": body}, id=f"{ms}-*")).decode()
        state = {"@newest": f"{ms:016}", ",".join(sorted(values)): id.encode() + b" " + body}
        await self.redis.hset(keys.state(topic), mapping=state)  # type: ignore[arg-type]
        await self.redis.set(keys.CLOCK, id)
        return ms

    async def numbers(self, agos: Iterable[int], topic: str = TOPIC) -> list[int]:
        """Readings that are numbered from 0; returns their times."""
        return [await self.reading(ago, {"n": n}, topic, seq=n) for n, ago in enumerate(agos)]


@pytest.fixture
async def store(redis_client: Redis) -> Store:
    return Store(redis_client)


@pytest.fixture
async def past(redis_client: Redis) -> Past:
    return Past(redis_client)


@pytest.fixture
async def node(valkey_url: str) -> AsyncIterator[Node]:
    async with running(valkey_url) as found:
        yield found


@pytest.fixture
async def peer(node: Node) -> AsyncIterator[Peer]:
    async with joined(node) as found:
        yield found


def states(subscription: Subscription) -> list[str]:
    """What it was told of its replay, each once in a row."""
    told = [event["state"] for event in subscription.events if event["action"] == "replay"]
    return [state for n, state in enumerate(told) if told[n - 1 : n] != [state]]


async def live(subscription: Subscription) -> None:
    await eventually(lambda: states(subscription)[-1:] == ["live"])


async def test_the_log_is_played_in_its_own_time_and_goes_on_live(past: Past, store: Store, peer: Peer) -> None:
    begin, *_ = await past.numbers(range(2_000, 1_000, -10))
    found = await peer.subscribe("fleets/#", **BATCH, **{"from": begin, "speed": 10})
    await live(found)
    await store.numbers([100])
    await eventually(lambda: len(found.seqs) > 100)
    assert found.seqs == list(range(101))
    found.check_order()


SHAPES: list[dict[str, Any]] = [
    BATCH,
    {"strategy": "latest", "interval": 20},
    {"strategy": "latest", "interval": 0, "delta": True, "signals": ["n"]},
    {"strategy": "latest", "interval": 50, "window": ["max"], "bbox": [-1, -1, 1, 1]},
    {
        **BATCH,
        "bbox": [-1, -1, 1, 1],
        "filter": {"n": {"variant": "change", "parameter": {"logic-op": "ne", "diff": 0}}},
    },
]


@pytest.mark.parametrize("fields", SHAPES)
async def test_it_goes_live_under_load_without_a_gap_or_a_double(
    past: Past, store: Store, node: Node, peer: Peer, fields: dict[str, Any]
) -> None:
    where = {"CurrentLocation.Latitude": 0, "CurrentLocation.Longitude": 0}
    for n in range(1, 100):
        await past.reading(1_000 - 5 * n, {"n": n, **where}, seq=n)
    sent = 100

    async def keep_storing(until: asyncio.Event) -> None:
        nonlocal sent
        while not until.is_set():
            await store.readings((TOPIC, Reading(now_ms() + sent, {"n": sent, **where}, sent)))
            sent += 1

    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_storing(done))
        found = await peer.subscribe("fleets/#", **fields, **{"from": past.now - 1_000, "speed": 20})
        await live(found)
        before = sent
        await eventually(lambda: sent > before + 100)
        done.set()
    await eventually(lambda: _number(found.items()[-1]) == sent - 1)
    found.check_order()
    assert not found.gaps
    numbers = [_number(item) for item in found.items()]
    if fields["strategy"] == "batch":
        assert numbers == list(range(1, sent))
    else:
        assert numbers == sorted(numbers)
        assert [frame.get("snapshot", False) for frame in found.frames].count(True) == 2  # as it was then, as it is
    assert [group.id for group in node.hub.groups] == [found.id]


def _number(item: Event) -> int:
    number = item["values"]["n"]
    return int(number["max"] if isinstance(number, dict) else number)


# How things were


async def test_latest_begins_with_the_states_as_they_were(past: Past, peer: Peer) -> None:
    await past.reading(9_000, {"connectionState": "ONLINE"}, "fleets/berlin/v1/status")
    await past.reading(8_000, {"a": 1, "b": 1})
    await past.reading(7_000, {"a": 2})
    await past.reading(6_500, {"a": 0}, ts=past.now - 7_500)  # came late
    begin = await past.reading(6_000, {"a": 3}) - 1
    await past.reading(5_000, {"a": 4, "b": 4}, OTHER)
    found = await peer.subscribe("fleets/#", interval=0, **{"from": begin, "speed": 0})
    (frame,) = await eventually(lambda: found.frames)
    assert frame["snapshot"]
    shown = {item["topic"]: item["values"] for item in frame["data"]}
    assert shown == {"fleets/berlin/v1/status": {"connectionState": "ONLINE"}, TOPIC: {"a": 2, "b": 1}}
    assert parse_id(found.cursor) >> 32 < begin
    assert states(found) == ["paused"]


async def test_when_it_goes_live_the_state_is_the_true_one(past: Past, redis_client: Redis, peer: Peer) -> None:
    await past.reading(60_000, {"a": 1}, OTHER)
    await redis_client.delete(keys.log(OTHER))  # trimmed: only its state is left
    begin = await past.reading(1_000, {"a": 1, "b": 1})
    await past.reading(900, {"a": 2})
    found = await peer.subscribe("fleets/#", interval=0, snapshot=False, **{"from": begin, "speed": 50})
    await live(found)
    await eventually(lambda: found.frames[-1].get("snapshot"))
    shown = {item["topic"]: item["values"] for item in found.frames[-1]["data"]}
    assert shown == {TOPIC: {"a": 2, "b": 1}, OTHER: {"a": 1}}


async def test_what_was_trimmed_is_told_as_a_gap_and_not_waited_for(
    past: Past, redis_client: Redis, peer: Peer
) -> None:
    await past.numbers(range(3_600_000, 0, -36_000))
    await redis_client.xtrim(keys.log(TOPIC), minid=f"{past.now - 40_000}-0", approximate=False)
    found = await peer.subscribe("fleets/#", **BATCH, **{"from": past.now - 3_000_000, "speed": 100})
    await eventually(lambda: found.seqs == [99])
    (gap,) = found.gaps
    assert parse_id(gap["from"]) >> 32 < past.now - 3_000_000
    assert parse_id(gap["to"]) >> 32 >= past.now - 72_000
    positions = [event["position"] for event in found.events if event["action"] == "replay" and "position" in event]
    assert positions[1] == past.now - 36_000


async def test_from_before_everything_begins_with_what_there_is(past: Past, peer: Peer) -> None:
    begin, *_ = await past.numbers([500, 400, 300])
    found = await peer.subscribe("fleets/#", **BATCH, **{"from": 0, "speed": 10})
    await live(found)
    assert found.seqs == [0, 1, 2]
    assert not found.gaps
    assert [event["position"] for event in found.events[:2]] == [0, begin]


@pytest.mark.parametrize("ahead", [0, 60_000])
async def test_where_there_is_nothing_to_play_it_is_live_at_once(peer: Peer, store: Store, ahead: int) -> None:
    for n in range(2):
        found = await peer.subscribe("fleets/#", **BATCH, **{"from": (now_ms() + ahead) * n})
        await live(found)
        await store.numbers([n])
        await eventually(lambda found=found, n=n: found.seqs == [n])  # type: ignore[misc]


# Pause, seek, speed


async def test_a_pause_holds_it_and_a_speed_lets_it_go_on(past: Past, peer: Peer) -> None:
    begin, *_ = await past.numbers(range(10_000, 0, -100))
    found = await peer.subscribe("fleets/#", **BATCH, **{"from": begin, "speed": 10})
    await eventually(lambda: len(found.seqs) >= 5)
    reply = await peer.ask("update", subscriptionId=found.id, speed=0)
    assert reply["subscriptionId"] == found.id
    played = list(found.seqs)
    assert states(found) == ["playing", "paused"]
    event = [event for event in found.events if event["action"] == "replay"][-1]
    assert past.now - 10_000 + 100 * played[-1] <= event["position"] < past.now - 10_000 + 100 * (played[-1] + 1)
    await asyncio.sleep(0.1)  # time in which it would have gone on
    assert found.seqs == played
    await peer.ask("update", subscriptionId=found.id, speed=100)
    await live(found)
    assert found.seqs == list(range(100))
    assert states(found) == ["playing", "paused", "playing", "live"]


@pytest.mark.parametrize("fields", SHAPES)
async def test_it_may_begin_anew_anywhere_and_again_after_it_went_live(
    past: Past, peer: Peer, fields: dict[str, Any]
) -> None:
    where = {"CurrentLocation.Latitude": 0, "CurrentLocation.Longitude": 0}
    begin = past.now - 10_000
    for n in range(100):
        await past.reading(10_000 - n * 100, {"n": n, **where}, seq=n)
    found = await peer.subscribe("fleets/#", **fields, **{"from": begin + 2_050, "speed": 0})
    for position in (8_050, 1_050, 5_050, 5_050):
        seen = len(found.events)
        reply = await peer.ask("update", subscriptionId=found.id, **{"from": begin + position})
        assert reply["subscriptionId"] == found.id
        await eventually(lambda seen=seen: len(found.events) > seen)  # type: ignore[misc]
        if fields["strategy"] == "latest" or "bbox" in fields:
            await eventually(lambda seen=seen: any(event.get("snapshot") for event in found.events[seen:]))  # type: ignore[misc]
            assert _number(found.items()[-1]) == position // 100
    for _ in range(2):
        seen = len(found.items())
        await peer.ask("update", subscriptionId=found.id, speed=100, **{"from": begin + 8_050})
        await live(found)
        if fields["strategy"] == "batch":
            assert [item["seq"] for item in found.items()[seen:] if item["seq"] > 80] == list(range(81, 100))
        await eventually(lambda seen=seen: _number(found.items()[-1]) == 99 and len(found.items()) > seen)  # type: ignore[misc]


async def test_a_live_subscription_may_turn_to_the_past_and_come_back(
    past: Past, store: Store, node: Node, peer: Peer
) -> None:
    begin, *_ = await past.numbers(range(10_000, 0, -100))
    async with joined(node) as other:
        shared = await other.subscribe("fleets/#", interval=0)
        found = await peer.subscribe("fleets/#", interval=0)
        assert found.id == shared.id
        reply = await peer.ask("update", subscriptionId=found.id, **{"from": begin + 5_050, "speed": 0})
        replay = Subscription(peer, reply["subscriptionId"])
        assert replay.id != found.id
        await eventually(lambda: replay.frames)
        await store.numbers([past.now + 1_000])
        await eventually(lambda: shared.items()[-1]["values"] == {"n": past.now + 1_000})
        assert [item["values"] for item in replay.items()] == [{"n": 50}]
        reply = await peer.ask("update", subscriptionId=replay.id, **{"from": None})
        assert reply["subscriptionId"] == shared.id
        await eventually(lambda: found.items()[-1]["values"] == {"n": past.now + 1_000})
        assert found.frames[-1]["snapshot"]
        assert len(node.hub.groups) == 1
        assert counted(node, "replays") == 0
        assert (await peer.ask("update", subscriptionId=found.id, speed=2))["error"]["reason"] == "bad_request"


async def test_back_to_live_leaves_out_what_was_not_played(past: Past, store: Store, peer: Peer) -> None:
    begin, *_ = await past.numbers(range(10_000, 0, -100))
    found = await peer.subscribe("fleets/#", **BATCH, **{"from": begin, "speed": 0})
    reply = await peer.ask("update", subscriptionId=found.id, **{"from": None})
    now = Subscription(peer, reply["subscriptionId"])
    await store.numbers([200])
    await eventually(lambda: now.seqs)
    assert now.seqs == [200]
    assert not now.gaps


# Something else is asked for


async def test_an_update_of_batch_misses_nothing_and_doubles_nothing(past: Past, peer: Peer) -> None:
    begin, *_ = await past.numbers(range(10_000, 0, -20))
    found = await peer.subscribe("fleets/#", **BATCH, **{"from": begin, "speed": 20})
    for fields in ({"interval": 5}, {"signals": ["n", "x"]}, {"interval": 0, "signals": None}, {"interval": 3}):
        seen = len(found.seqs)
        await eventually(lambda seen=seen: len(found.seqs) > seen)  # type: ignore[misc]
        reply = await peer.ask("update", subscriptionId=found.id, **fields)
        assert reply["subscriptionId"] == found.id
    await peer.ask("update", subscriptionId=found.id, speed=100)
    await live(found)
    await eventually(lambda: len(found.seqs) >= 500)
    assert found.seqs == list(range(500))


async def test_a_box_may_move_while_the_past_is_played(past: Past, node: Node, peer: Peer) -> None:
    for n, topic in enumerate((TOPIC, OTHER)):
        await past.reading(5_000, {"n": n, "CurrentLocation.Latitude": n, "CurrentLocation.Longitude": n}, topic)
    found = await peer.subscribe(
        "fleets/#", interval=0, bbox=[-0.5, -0.5, 0.5, 0.5], **{"from": past.now - 4_000, "speed": 0}
    )
    await eventually(lambda: found.frames)
    assert list(found.states) == [TOPIC]
    await peer.ask("update", subscriptionId=found.id, bbox=[0.5, 0.5, 1.5, 1.5])
    await eventually(lambda: len(found.frames) == 2)
    assert [item["topic"] for item in found.frames[-1]["data"]] == [OTHER]
    assert states(found) == ["paused"]
    assert counted(node, "replays") == 1


# Clients that are slow, that go, and that come back


@pytest.mark.parametrize("fields", [SHAPES[0], SHAPES[-1]])
async def test_a_slow_client_of_batch_is_waited_for(valkey_url: str, past: Past, fields: dict[str, Any]) -> None:
    where = {"CurrentLocation.Latitude": 0, "CurrentLocation.Longitude": 0}
    for n in range(2_000):
        await past.reading(2_000 - n // 2, {"n": n, **where}, seq=n)
    async with running(valkey_url, outbox_bytes=2_000) as node, joined(node) as peer:
        found = await peer.subscribe("fleets/#", **fields, **{"from": past.now - 2_000, "speed": 100})
        await eventually(lambda: found.seqs)
        peer.reading.clear()
        await asyncio.sleep(0.2)  # the whole of it takes a tenth of that
        assert not states(found)[1:]
        assert counted(node, "replays") == 1
        peer.reading.set()
        await live(found)
        await eventually(lambda: len(found.seqs) >= 2_000)
        assert found.seqs == list(range(2_000))
        assert not found.gaps
        assert not counted(node, "lagging_total")


async def test_a_slow_client_of_latest_is_given_what_is_newest(valkey_url: str, past: Past) -> None:
    await past.numbers(range(5_000, 0, -5))
    async with running(valkey_url, outbox_bytes=1_024) as node, joined(node) as peer:
        peer.reading.clear()
        await peer.session.receive(
            peer.codec.encode(
                {
                    "action": "subscribe",
                    "requestId": "1",
                    "topic": "fleets/#",
                    "interval": 0,
                    "from": past.now - 5_000,
                    "speed": 50,
                }
            )
        )
        await eventually(lambda: counted(node, "replays") == 0 and node.hub.groups)
        peer.reading.set()
        await eventually(lambda: peer.messages and peer.messages[-1].get("data"))
        assert peer.messages[-1]["data"][-1]["values"] == {"n": 999}


async def test_who_was_cut_off_may_go_on_where_it_was(past: Past, node: Node) -> None:
    begin, *_ = await past.numbers(range(10_000, 0, -20))
    async with joined(node) as peer:
        found = await peer.subscribe("fleets/#", **BATCH, **{"from": begin, "speed": 20})
        await eventually(lambda: len(found.seqs) > 20)
    seen = found.seqs
    async with joined(node) as peer:
        again = await peer.subscribe("fleets/#", since=found.cursor, **BATCH, **{"from": begin, "speed": 100})
        await live(again)
        assert seen + again.seqs == list(range(500))


@pytest.mark.parametrize("how", ["unsubscribe", "close", "node"])
async def test_nothing_is_left_behind(valkey_url: str, past: Past, how: str) -> None:
    begin, *_ = await past.numbers(range(10_000, 0, -100))
    async with running(valkey_url) as node:
        async with joined(node) as peer:
            found = [
                await peer.subscribe("fleets/#", **BATCH, **{"from": begin, "speed": speed}) for speed in (0, 1, 20)
            ]
            assert counted(node, "replays") == 3
            await eventually(lambda: found[2].seqs)
            if how == "node":
                return
            for one in found if how == "unsubscribe" else ():
                assert "error" not in await peer.ask("unsubscribe", subscriptionId=one.id)
        await eventually(lambda: counted(node, "replays") == 0)
        assert node.hub.groups == []
        assert node._shards[0].interest._needed() == set()


async def test_while_redis_is_away_a_replay_waits(node: Node, past: Past, peer: Peer, monkeypatch: Any) -> None:
    begin, *_ = await past.numbers(range(10_000, 0, -20))
    monkeypatch.setattr(tape, "RETRY_SECONDS", 0.05)
    found = await peer.subscribe("fleets/#", **BATCH, **{"from": begin, "speed": 50})
    for _ in range(5):
        await past.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0.02)
    await live(found)
    assert found.seqs == list(range(500))


# A cluster


async def test_what_is_in_several_partitions_is_played_in_the_order_of_time() -> None:
    port = free_port()
    with redis_server("--cluster-enabled", "yes", "--cluster-port", str(free_port()), port=port) as server:
        async with Redis.from_url(server.url) as redis:
            await redis.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
            await eventually(lambda: _is_up(redis))
            url = f"redis+cluster://127.0.0.1:{port}?partitions=4"
            layout = Layout(parse_redis(url).partitions)
            now = now_ms()
            wanted = []
            topics = [f"fleets/a/v{n}/telemetry" for n in range(8)]
            async with redis.pipeline(transaction=False) as pipe:
                for n in range(3_000):
                    topic = topics[n * n % 7]
                    partition = layout.of(topic)
                    body = encode(Reading(n, {"n": n}, n))
                    _, fleet, vehicle, _ = topic.split("/")
                    pipe.sadd(partition.key(keys.FLEETS), fleet)
                    pipe.sadd(partition.key(keys.fleet(fleet)), vehicle)
                    pipe.xadd(partition.key(keys.log(topic)), {"b": body}, id=f"{now - 4_000 + n}-*")
                    pipe.set(partition.key(keys.CLOCK), f"{now - 4_000 + n}-0")
                    wanted.append(n)
                await pipe.execute()
            assert len({layout.of(topic) for topic in topics}) > 2
            async with running(url) as node, joined(node) as peer:
                found = await peer.subscribe("fleets/#", **BATCH, **{"from": now - 5_000, "speed": 20})
                await live(found)
                assert found.seqs == wanted


async def _is_up(redis: Redis) -> bool:
    info: Any = await redis.execute_command("CLUSTER", "INFO")
    return "cluster_state:ok" in str(info)
