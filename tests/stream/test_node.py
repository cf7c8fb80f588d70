"""A node on a real Valkey or Redis: nothing missed, nothing twice, whatever breaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from stream import feed, framer, history, interest, recent
from stream import group as groups
from stream.node import Node
from stream.outbox import Frame
from tests.programs import eventually, free_port, redis_server
from tests.stream.nodes import TOPIC, Peer, Store, Subscription, counted, joined, running, starting, truth
from wire import keys
from wire.errors import CommandError
from wire.ids import format_id, parse_id
from wire.reading import Reading, Value, encode
from wire.store import Retention
from wire.topics import matches

BATCH: dict[str, Any] = {"strategy": "batch", "interval": 0, "meta": True, "snapshot": False}
FLEETS = [f"fleets/{fleet}/v{n}/{kind}" for fleet in "ab" for n in range(3) for kind in ("telemetry", "status")]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BACKOFF_SECONDS", 0.1)
    monkeypatch.setattr(feed, "PROBE_SECONDS", 0.3)
    monkeypatch.setattr(interest, "LINGER_SECONDS", 0.05)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    async with Redis.from_url(redis_url) as client:
        yield Store(client)


@pytest.fixture
async def node(redis_url: str) -> AsyncIterator[Node]:
    async with running(redis_url) as found:
        yield found


@pytest.fixture
async def peer(node: Node) -> AsyncIterator[Peer]:
    async with joined(node) as found:
        yield found


async def patterns(store: Store) -> int:
    """How many patterns all clients of Redis follow."""
    found: int = await store.redis.pubsub_numpat()
    return found


async def break_feed(store: Store) -> None:
    await store.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


async def has(subscription: Subscription, seqs: range | list[int]) -> None:
    """It gets just these, in order."""
    await eventually(lambda: len(subscription.seqs) >= len(seqs))
    assert subscription.seqs == list(seqs)


# Joining


@pytest.mark.parametrize("seed", [1, 2])
async def test_clients_that_join_under_load_miss_nothing(node: Node, store: Store, seed: int) -> None:
    rng = random.Random(seed)
    loaded = asyncio.Event()

    async def load() -> None:
        for n in range(1_500):
            names = rng.sample(["a", "b", "c"], rng.randint(1, 3))
            reading = Reading(n - rng.choice([0, 0, 0, 5]), dict.fromkeys(names, n), n, historical=rng.random() < 0.1)
            await store.readings((rng.choice(FLEETS), reading))
            if n % 40 == 0:
                loaded.set()
        loaded.set()

    found: list[tuple[str, str, Subscription]] = []
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        task = group.create_task(load())
        while not task.done():
            await loaded.wait()
            loaded.clear()
            peer = await stack.enter_async_context(joined(node))
            filter = rng.choice(["fleets/#", "fleets/a/#", "fleets/+/v1/#", "fleets/b/+/status", rng.choice(FLEETS)])
            strategy = rng.choice(["latest", "batch"])
            interval = rng.choice([0, 5, 30])
            found.append((filter, strategy, await peer.subscribe(filter, strategy=strategy, interval=interval)))
        logs = {topic: await store.log(topic) for topic in FLEETS}
        newest = parse_id(await store.redis.get(keys.CLOCK))
        await eventually(lambda: node.hub.last == [newest])
        for node_group in node.hub.groups:
            node_group.flush()
        assert len(found) > 10
        for filter, strategy, subscription in found:
            wanted = [topic for topic in FLEETS if matches(filter, topic)]
            await eventually(lambda s=subscription: not s.peer.outbox._frames)  # type: ignore[misc]
            await asyncio.sleep(0)
            subscription.check_order()
            first = parse_id(subscription.frames[0]["cursor"])
            assert subscription.frames[0]["snapshot"]
            if strategy == "latest":
                expected = {topic: truth(logs[topic]) for topic in wanted}
                assert {topic: item["values"] for topic, item in subscription.states.items()} == expected
            else:
                later = sorted(order for topic in wanted for order, _ in logs[topic] if order > first)
                assert [parse_id(item["id"]) for item in subscription.items(snapshot=False)] == later


async def test_a_snapshot_larger_than_a_frame_comes_whole(node: Node, store: Store, peer: Peer) -> None:
    wanted = [f"fleets/berlin/v{n}/telemetry" for n in range(2_345)]
    await store.readings(*((topic, Reading(1, {"a": 1})) for topic in wanted))
    subscription = await peer.subscribe("fleets/#")
    await eventually(lambda: len(subscription.items()) == len(wanted))
    subscription.check_order()
    assert {item["topic"] for item in subscription.items()} == set(wanted)
    assert all(len(frame["data"]) <= 1_000 for frame in subscription.frames)


async def test_a_node_is_not_ready_without_redis() -> None:
    async with starting(f"redis://127.0.0.1:{free_port()}") as node, joined(node) as peer:
        await eventually(lambda: counted(node, "feed_breaks_total") >= 2)
        assert not await node.ready()
        for action in ("get", "history", "subscribe"):
            reply = await peer.ask(action, topic="fleets/#")
            assert reply["error"]["reason"] == "unavailable"
        assert (await peer.ask("publish", topic="rooms/ops", data=1))["error"]["number"] == 503


# A feed that breaks


async def test_what_is_stored_while_the_feed_is_broken_comes_once_and_in_order(
    node: Node, store: Store, peer: Peer
) -> None:
    await store.numbers(range(5))
    batch = await peer.subscribe("fleets/berlin/#", **BATCH)
    latest = await peer.subscribe("fleets/#", interval=0)
    await store.numbers(range(5, 10))
    await has(batch, range(5, 10))
    for start in range(10, 70, 20):
        breaks = counted(node, "feed_breaks_total")
        await break_feed(store)
        await store.numbers(range(start, start + 10))
        await eventually(lambda before=breaks: counted(node, "feed_breaks_total") > before)  # type: ignore[misc]
        await store.numbers(range(start + 10, start + 15))
        await eventually(node.ready)
        await store.numbers(range(start + 15, start + 20))
        await has(batch, range(5, start + 20))
    await eventually(lambda: latest.states[TOPIC]["values"] == {"n": 69})
    for subscription in (batch, latest):
        subscription.check_order()
        assert not subscription.gaps


async def test_a_feed_that_breaks_before_anything_was_ever_stored_loses_nothing(
    node: Node, store: Store, peer: Peer
) -> None:
    batch = await peer.subscribe("fleets/#", **BATCH)
    await break_feed(store)
    await eventually(lambda: counted(node, "feed_breaks_total"))
    await store.numbers(range(10))
    await has(batch, range(10))


async def test_more_than_the_log_keeps_is_told_as_a_gap(redis_url: str, store: Store, peer: Peer) -> None:
    small = Store(store.redis, Retention(10, 3_600_000))
    await small.numbers([0])
    batch, latest = await peer.subscribe("fleets/#", **BATCH), await peer.subscribe("fleets/#", interval=0)
    await small.numbers([1])
    await has(batch, [1])
    await break_feed(store)
    await small.numbers(range(2, 500))
    await eventually(lambda: batch.gaps)
    kept = [reading.seq for _, reading in await store.log(TOPIC)]
    assert len(kept) < 400
    await eventually(lambda: batch.seqs[-1] == 499)
    assert batch.seqs == [1, *kept]
    (gap,) = batch.gaps
    ids = [parse_id(item["id"]) for item in batch.items()]
    assert ids[0] <= parse_id(gap["from"]) < parse_id(gap["to"]) < ids[1]
    await eventually(lambda: latest.states[TOPIC]["values"] == {"n": 499})
    assert not latest.gaps


async def test_redis_may_be_stopped_and_started_again(tmp_path: Path) -> None:
    port = free_port()
    keeps = ("--appendonly", "yes", "--appendfsync", "always")
    async with AsyncExitStack() as stack:
        with redis_server(*keeps, port=port, folder=tmp_path) as server:
            node = await stack.enter_async_context(running(server.url))
            peer = await stack.enter_async_context(joined(node))
            async with Redis.from_url(server.url) as client:
                await Store(client).numbers(range(5))
                batch, latest = (
                    await peer.subscribe("fleets/#", **BATCH),
                    await peer.subscribe("fleets/#", interval=0),
                )
                await Store(client).numbers(range(5, 10))
            await has(batch, range(5, 10))
        await eventually(lambda: not node._live)
        assert not await node.ready()
        assert (await peer.ask("get", topic=TOPIC))["error"]["reason"] == "unavailable"
        with redis_server(*keeps, port=port, folder=tmp_path) as server:
            async with Redis.from_url(server.url) as client:
                await Store(client).numbers(range(10, 15))
                await eventually(node.ready)
                await Store(client).numbers(range(15, 20))
            await has(batch, range(5, 20))
            await eventually(lambda: latest.states[TOPIC]["values"] == {"n": 19})
            assert (await peer.ask("get", topic=TOPIC))["data"][0]["values"] == {"n": 19}
            assert not batch.gaps
        batch.check_order()
        latest.check_order()


async def test_redis_may_come_back_empty() -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        with redis_server(port=port) as server:
            node = await stack.enter_async_context(running(server.url))
            peer = await stack.enter_async_context(joined(node))
            async with Redis.from_url(server.url) as client:
                batch, latest = (
                    await peer.subscribe("fleets/#", **BATCH),
                    await peer.subscribe("fleets/#", interval=0),
                )
                await Store(client).numbers(range(5))
            await has(batch, range(5))
        await eventually(lambda: not node._live)
        with redis_server(port=port) as server:
            await eventually(node.ready)
            async with Redis.from_url(server.url) as client:
                await Store(client).numbers(range(5, 10))
            await has(batch, range(10))
            await eventually(lambda: latest.states[TOPIC]["values"] == {"n": 9})
            for subscription in (batch, latest):  # nobody knows whether there was more
                (gap,) = subscription.gaps
                ids = [parse_id(item["id"]) for item in batch.items()]
                assert parse_id(gap["from"]) == ids[4]
                assert ids[4] < parse_id(gap["to"]) < ids[5]


# Interest


async def test_patterns_are_few_and_disjoint_and_go_when_nobody_needs_them(node: Node, store: Store) -> None:
    async with joined(node) as first:
        for filter in ("fleets/a/#", "fleets/a/v1/telemetry", "fleets/a/+/status", "rooms/ops", "rooms/#"):
            await first.subscribe(filter)
        assert await patterns(store) == 2
        await first.subscribe("fleets/b/#")
        assert await patterns(store) == 3
        async with joined(node) as second:
            await second.subscribe("fleets/+/+/telemetry")
            assert await patterns(store) == 2  # fleets/* and rooms/*
            assert counted(node, "patterns") == 2
        await eventually(lambda: _is(3, store))
    await eventually(lambda: _is(0, store))
    assert len(node.hub.table) == 0


async def _is(wanted: int, store: Store) -> bool:
    return await patterns(store) == wanted


async def test_a_pattern_is_kept_for_a_while(node: Node, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interest, "LINGER_SECONDS", 0.2)
    async with joined(node) as first:
        await first.subscribe("fleets/a/#")
    assert await patterns(store) == 1
    asked = (await store.redis.info("commandstats"))["cmdstat_psubscribe"]["calls"]
    async with joined(node) as second:
        await second.subscribe("fleets/a/#")
        await second.subscribe("fleets/a/+/telemetry")
        assert (await store.redis.info("commandstats"))["cmdstat_psubscribe"]["calls"] == asked
    await eventually(lambda: _is(0, store))


async def test_a_wider_filter_takes_over_without_double_deliveries(node: Node, store: Store, peer: Peer) -> None:
    narrow = [await peer.subscribe(f"fleets/{fleet}/#", **BATCH) for fleet in "ab"]
    sent = 0

    async def keep_storing(until: asyncio.Event) -> None:
        nonlocal sent
        while not until.is_set():
            await store.numbers([sent], f"fleets/{'ab'[sent % 2]}/v1/telemetry")
            sent += 1

    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_storing(done))
        try:
            for _ in range(5):
                before = sent
                async with joined(node) as second:
                    wide = await second.subscribe("fleets/#", **BATCH)
                    assert await patterns(store) == 1
                    await eventually(lambda start=before: sent > start + 20)  # type: ignore[misc]
                    wide.check_order()
                await eventually(lambda: _is(2, store))
        finally:
            done.set()  # redis-py may swallow the cancellation of a task that waits for it
    await eventually(lambda: sum(len(one.seqs) for one in narrow) >= sent)
    assert [one.seqs for one in narrow] == [list(range(0, sent, 2)), list(range(1, sent, 2))]


@pytest.mark.parametrize("filters", [["fleets/a/#", "fleets/#"], ["fleets/#", "fleets/a/#"], ["fleets/a/#"]])
async def test_a_snapshot_is_whole_also_after_a_pattern_was_given_up(
    node: Node, store: Store, filters: list[str]
) -> None:
    topics = ["fleets/a/v1/telemetry", "fleets/a/v2/telemetry"]
    await store.readings(*((topic, Reading(1, {"a": 1})) for topic in topics))
    async with joined(node) as first:
        for filter in filters:
            await first.subscribe(filter)
    await eventually(lambda: _is(0, store))
    await store.readings((topics[0], Reading(2, {"a": 2})))
    async with joined(node) as second:
        found = await second.subscribe("fleets/a/#")
        await eventually(lambda: found.frames)
        assert {topic: item["ts"] for topic, item in found.states.items()} == dict(zip(topics, (2, 1), strict=True))


async def test_a_gap_is_told_only_to_those_who_lost_something_and_once(
    store: Store, node: Node, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    recover, stored = node._shards[0]._feed._recover, asyncio.Event()

    async def recover_later() -> int:
        await stored.wait()
        return await recover()

    small = Store(store.redis, Retention(10, 3_600_000))
    await small.numbers([0], "fleets/busy/v1/telemetry")
    await small.numbers([0], "fleets/quiet/v1/telemetry")
    busy = await peer.subscribe("fleets/busy/#", **BATCH)
    quiet = await peer.subscribe("fleets/quiet/#", **BATCH)
    monkeypatch.setattr(node._shards[0]._feed, "_recover", recover_later)
    await break_feed(store)
    for start in range(1, 5_001, 500):  # several pages are read to recover
        await small.numbers(range(start, start + 500), "fleets/busy/v1/telemetry")
        await small.numbers([start], "fleets/quiet/v1/telemetry")
        await store.numbers(range(start, start + 500), f"fleets/busy/v{start}/telemetry")
    stored.set()
    await has(quiet, range(1, 5_001, 500))
    assert not quiet.gaps
    await eventually(lambda: len(busy.gaps) == 1)
    await store.numbers([5_000], "fleets/busy/v2/telemetry")
    await eventually(lambda: busy.seqs and busy.seqs[-1] == 5_000)
    assert len(busy.gaps) == 1


async def test_patterns_that_change_while_the_feed_is_away_are_followed_when_it_is_back(
    node: Node, store: Store
) -> None:
    async with joined(node) as first, joined(node) as second:
        await first.subscribe("fleets/a/#")
        assert node._shards[0]._feed._link is not None
        node._shards[0]._feed._link._transport.abort()
        reply = await second.ask("subscribe", topic="fleets/#")
        assert reply["error"]["reason"] == "unavailable"
        await eventually(node.ready)
        batch = await second.subscribe("fleets/#", **BATCH)
        await store.numbers([1])
        await has(batch, [1])


async def test_garbage_on_a_channel_is_counted_and_harms_nothing(node: Node, store: Store, peer: Peer) -> None:
    batch, latest = await peer.subscribe("#", **BATCH), await peer.subscribe("#", interval=0)
    await store.numbers([1])
    garbage = [
        b"",
        b"garbage",
        b"1-1",
        b"1-1 ",
        b"x-y \x80",
        b"1-1 \x80",
        b"99999999999999999999-1 " + encode(Reading(1, {})),
        b"\xff\xfe " + encode(Reading(1, {})),
        b"1-1 \xc1",
        b"-5 " + encode(Reading(1, {"n": 5})),
        b"1-1 " + encode(Reading(1, {}))[:-1],
        b"1-1 " + encode({"ts": "x", "values": {}}),
        b"1-1 " + encode({"ts": 1, "values": {"a": [1]}}),
        b"9999999999999-9999999999 " + encode(Reading(1, {})),
        b"9999999999999-1 \x82\xa2ts\x01\xa4data" + b"\x91" * 5_000 + b"\xc0",
        b"9999999999999-1 \x83\xa2ts\x01\xa6values\x80\xa1x" + b"\x91" * 5_000 + b"\xc0",
        b"9999999999999-1 \x82\xa2ts\x01\xa4data\xd4\x05\x00",  # an extension: no JSON can say it
        b"9999999999999-1 \x82\xa2ts\x01\xa4data\x81\x91\x01\x02",
    ]
    for channel in (TOPIC, "rooms/ops", "fleets/berlin/v1/nonsense", "fleets/berlin/\xff", "fleets/x", "rooms/"):
        for payload in garbage:
            await store.redis.publish(channel, payload)
    await store.redis.publish(b"fleets/\xff/v1/telemetry", b"1-1 " + encode(Reading(1, {})))
    await store.numbers([2])
    await has(batch, [1, 2])
    assert counted(node, "malformed_total") >= 4 * len(garbage)
    assert counted(node, "received_total") == 2
    assert latest.states[TOPIC]["values"] == {"n": 2}
    assert await node.ready()
    assert counted(node, "feed_breaks_total") == 0


async def test_however_many_ask_the_feed_goes_on(node: Node, store: Store, peer: Peer) -> None:
    """What clients ask may take all connections that there are for it: live readings and health have their own."""
    batch = await peer.subscribe("fleets/#", **BATCH)
    pool = node._shards[0]._asked.connection_pool
    held = [await pool.get_connection() for _ in range(pool.max_connections)]
    with pytest.raises(CommandError, match="Too many connections"):
        await node.states("#")
    await store.redis.config_resetstat()
    assert all(await asyncio.gather(*(node.ready() for _ in range(500))))
    assert (await store.redis.info("commandstats"))["cmdstat_ping"]["calls"] < 10
    await eventually(lambda: probes(store, 3))
    await store.numbers([1])
    await has(batch, [1])
    assert counted(node, "feed_breaks_total") == 0
    for connection in held:
        await pool.release(connection)
    assert [item.topic for item in await node.states("#")] == [TOPIC]


async def probes(store: Store, count: int) -> bool:
    """Whether the feed has proved itself so many times."""
    stats = await store.redis.info("commandstats")
    return "cmdstat_publish" in stats and stats["cmdstat_publish"]["calls"] >= count


async def test_garbage_in_a_log_harms_nobody_else(node: Node, store: Store, peer: Peer) -> None:
    await store.numbers([1])
    await store.redis.xadd(keys.log(TOPIC), {"b": b"garbage"})
    await store.redis.xadd(keys.log(TOPIC), {"x": b"garbage"})
    async with joined(node) as other:
        batch = await other.subscribe("fleets/berlin/v2/telemetry", **BATCH)
        await peer.ask("subscribe", topic="fleets/#", since="0-0", **BATCH)
        await peer.ask("history", topic="fleets/#")
        await store.numbers([5], "fleets/berlin/v2/telemetry")
        await has(batch, [5])
    assert await node.ready()


# Clients that are behind, or come back


async def test_a_batch_client_that_was_behind_gets_everything_in_order(redis_url: str, store: Store) -> None:
    async with running(redis_url, outbox_bytes=2_000) as node, joined(node) as slow, joined(node) as quick:
        subscriptions = [await peer.subscribe("fleets/#", **BATCH) for peer in (slow, quick)]
        slow.reading.clear()
        for start in range(0, 2_500, 50):
            await store.numbers(range(start, start + 50), f"fleets/a/v{start % 4}/telemetry")
        await has(subscriptions[1], range(2_500))  # a slow client costs nobody else anything
        assert counted(node, "lagging_total") >= 1
        slow.reading.set()
        await store.numbers(range(2_500, 2_600))
        await has(subscriptions[0], range(2_600))
        await store.numbers(range(2_600, 2_700))
        await has(subscriptions[0], range(2_700))
        for subscription in subscriptions:
            subscription.check_order()
            assert not subscription.gaps
        assert len({subscription.id for subscription in subscriptions}) == 1


async def test_two_subscriptions_that_are_behind_are_each_replayed_once(
    redis_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one is still replayed, the outbox refuses something for the other and drains again."""
    async with running(redis_url, outbox_bytes=2_000) as node, joined(node) as peer:
        await store.numbers(range(500))
        entered, leave = asyncio.Event(), asyncio.Event()
        real = history.History.page

        async def slow_page(self: history.History, *args: Any, **kwargs: Any) -> history.Page:
            entered.set()
            await leave.wait()
            return await real(self, *args, **kwargs)

        monkeypatch.setattr(history.History, "page", slow_page)
        replayed = await peer.subscribe("fleets/berlin/#", since="0-0", **BATCH)
        await entered.wait()
        other = await peer.subscribe("fleets/other/#", **BATCH | {"interval": 60_000})
        await store.numbers(range(200), "fleets/other/v1/telemetry")
        (group,) = [group for group in node.hub.groups if group.id == other.id]
        await eventually(lambda: len(group._pending) == 200)
        peer.reading.clear()
        await peer.send({"action": "ping", "requestId": "ping"})
        group.flush()
        group.members[0].outbox.offer(Frame(b"x" * 2_000))
        peer.reading.set()
        await eventually(lambda: not peer.outbox._frames)
        await eventually(lambda: not peer.outbox._refused)
        leave.set()
        await has(replayed, range(500))
        await has(other, range(200))
        await store.numbers([500])
        await has(replayed, range(501))
        replayed.check_order()


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that keep no frames for those who are behind: they are served from the log."""
    monkeypatch.setattr(recent, "RECENT_BYTES", 0)


async def test_a_batch_client_that_was_behind_is_given_the_frames_of_the_others(
    redis_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "RECENT_SECONDS", 3_600.0)
    small = Store(store.redis, Retention(10, 3_600_000))  # the log can't help
    async with running(redis_url, outbox_bytes=1_024) as node, joined(node) as slow, joined(node) as quick:
        batches = [await peer.subscribe("fleets/#", **BATCH) for peer in (slow, quick)]
        slow.reading.clear()
        for n in range(600):
            await small.numbers([n])
        await eventually(lambda: counted(node, "received_total") == 600)
        slow.reading.set()
        await small.numbers([600])
        for batch in batches:
            await has(batch, range(601))
            assert not batch.gaps
        assert batches[0].frames == batches[1].frames
        assert counted(node, "lagging_total") >= 1
        (group,) = node.hub.groups
        assert group._recent._flushes  # kept for a while, for those who follow
        group._keep_until = 0.0
        await small.numbers([601])
        for batch in batches:
            await has(batch, range(602))
        assert not group._recent._flushes


async def test_one_who_comes_back_with_a_filter_while_another_is_behind_is_shown_the_whole(
    redis_url: str, store: Store
) -> None:
    """The frames that are kept for the other one say nothing to who does not know what they build on."""
    fields = BATCH | {"filter": {"n": {"variant": "change", "parameter": {"logic-op": "gt", "diff": 50}}}}
    async with running(redis_url, outbox_bytes=1_024) as node, joined(node) as slow, joined(node) as quick:
        await slow.subscribe("fleets/#", **fields)
        first = await quick.subscribe("fleets/#", **fields)
        slow.reading.clear()
        for n in range(0, 6_000, 60):
            await store.numbers([n])
        await eventually(lambda: len(first.seqs) == 100)
        assert node.hub.groups[0]._recent._flushes
        await quick.ask("unsubscribe", subscriptionId=first.id)
        cursor = first.frames[-3]["cursor"]
        again = len(first.frames)
        await quick.subscribe("fleets/#", **fields | {"since": cursor})
        await eventually(lambda: any(frame.get("snapshot") for frame in first.frames[again:]))


@pytest.mark.usefixtures("forgetful")
async def test_a_client_that_is_behind_hears_of_what_the_log_no_longer_has(redis_url: str, store: Store) -> None:
    small = Store(store.redis, Retention(10, 3_600_000))
    async with running(redis_url, outbox_bytes=1_024) as node, joined(node) as peer:
        batch = await peer.subscribe("fleets/#", **BATCH)
        peer.reading.clear()
        for n in range(600):
            await small.numbers([n])
        await eventually(lambda: counted(node, "received_total") == 600)
        peer.reading.set()
        await eventually(lambda: batch.seqs and batch.seqs[-1] == 599)
        (gap,) = batch.gaps
        after, until = parse_id(gap["from"]), parse_id(gap["to"])
        ids = [parse_id(item["id"]) for item in batch.items()]
        assert not any(after < order <= until for order in ids)
        gone = 599 - len([order for order in ids if order > until])
        assert batch.seqs == [n for n in range(600) if n in batch.seqs]
        assert set(range(600)) - set(batch.seqs) <= set(range(gone + 1))
        batch.check_order()


async def test_a_latest_client_that_was_behind_gets_the_state_and_the_count(redis_url: str, store: Store) -> None:
    async with running(redis_url, outbox_bytes=1_024) as node, joined(node) as peer:
        latest = await peer.subscribe("fleets/#", interval=0, snapshot=False)
        peer.reading.clear()
        for n in range(300):
            await store.numbers([n], f"fleets/a/v{n % 3}/telemetry")
        await eventually(lambda: counted(node, "received_total") == 300)
        peer.reading.set()
        await eventually(lambda: len(latest.states) == 3 and latest.cursor == format_id(node.hub.last[0]))
        assert sorted(item["values"]["n"] for item in latest.states.values()) == [297, 298, 299]
        sent = len(latest.items())
        assert sent < 100
        assert sum(frame.get("conflated", 0) for frame in latest.frames) + sent == 300
        latest.check_order()


@pytest.mark.parametrize("strategy", ["latest", "batch"])
async def test_a_client_comes_back_with_any_cursor_and_misses_nothing(
    redis_url: str, node: Node, store: Store, strategy: str
) -> None:
    async with joined(node) as peer:
        found = await peer.subscribe("fleets/#", **BATCH | {"strategy": strategy})
        for n in range(30):
            await store.numbers([n], f"fleets/a/v{n % 3}/telemetry")
        await eventually(lambda: found.items() and found.items()[-1]["seq"] == 29)
        before = found.frames
    async with running(redis_url) as other:
        for frame in before:
            async with joined(other) as peer:
                again = await peer.subscribe("fleets/#", since=frame["cursor"], **BATCH | {"strategy": strategy})
                seen = [item["seq"] for f in before[: before.index(frame) + 1] for item in f["data"]]
                missing = [n for n in range(30) if n not in seen] if strategy == "batch" else []
                wanted = missing if strategy == "batch" else [n for n in range(27, 30) if n not in seen]
                await eventually(lambda s=again, w=wanted: len(s.items()) >= len(w))  # type: ignore[misc]
                assert [item["seq"] for item in again.items()] == wanted


@pytest.mark.parametrize("strategy", ["latest", "batch"])
async def test_a_client_from_a_node_that_is_ahead_is_sent_nothing_twice(
    node: Node, store: Store, peer: Peer, strategy: str
) -> None:
    options = BATCH | {"strategy": strategy}
    async with joined(node) as watcher:
        await watcher.subscribe("fleets/#", **options)
        await store.numbers(range(5))
        await eventually(lambda: counted(node, "received_total") == 5)
        ahead = format_id(node.hub.last[0] + 2)  # what another node has sent it, and this one has not received yet
        again = await peer.subscribe("fleets/#", since=ahead, **options)
        await eventually(lambda: not node.hub.groups[0].is_behind(again.peer.session.subscriptions.members[again.id]))
        for n, order in enumerate(range(node.hub.last[0] + 1, node.hub.last[0] + 5)):
            await store.redis.publish(TOPIC, f"{format_id(order)} ".encode() + encode(Reading(9 + n, {"n": n}, n)))
        wanted = [2, 3] if strategy == "batch" else [3]
        await eventually(lambda: again.items() and again.items()[-1]["seq"] == 3)
        assert set(wanted) <= set(again.seqs) <= {2, 3}


async def test_a_vehicle_that_appears_during_a_replay_is_part_of_it(redis_url: str, store: Store) -> None:
    async with running(redis_url, outbox_bytes=2_000) as node, joined(node) as peer:
        await store.numbers(range(2_500))
        await peer.subscribe("fleets/berlin/v1/status", **BATCH)  # so that the feed brings what comes
        peer.reading.clear()
        await peer.send({"action": "ping", "requestId": "ping"})
        replayed_id = asyncio.ensure_future(peer.subscribe("fleets/berlin/#", since="0-0", **BATCH))
        await eventually(lambda: any(node._replays._steps.values()))  # a page was read, and is not taken
        await store.numbers([2_500], "fleets/berlin/new/telemetry")
        await store.numbers([2_501])
        await eventually(lambda: counted(node, "received_total") == 2)
        peer.reading.set()
        replayed = await replayed_id
        await eventually(lambda: replayed.seqs and replayed.seqs[-1] == 2_501)
        assert replayed.seqs == list(range(2_502))


async def test_messages_of_a_room_come_back_with_since_also_for_latest(node: Node, peer: Peer) -> None:
    async with joined(node) as before:
        room = await before.subscribe("rooms/#", interval=0)
        await before.ask("publish", topic="rooms/ops", data=0)
        await eventually(room.items)
    for n in range(1, 4):
        await peer.ask("publish", topic="rooms/ops", data=n)
    again = await peer.subscribe("rooms/#", since=room.cursor)
    await eventually(lambda: again.events)
    assert [item["data"] for item in again.items()] == [1, 2, 3] or again.gaps


@pytest.mark.parametrize("outbox", [2_000, 1 << 20])
async def test_a_batch_that_is_asked_for_something_else_while_readings_flow_misses_nothing(
    redis_url: str, store: Store, outbox: int
) -> None:
    async with running(redis_url, outbox_bytes=outbox) as node, joined(node) as peer:
        found = [await peer.subscribe("fleets/#", **BATCH)]

        async def load() -> None:
            for start in range(0, 3_000, 10):
                await store.numbers(range(start, start + 10), f"fleets/a/v{start % 3}/telemetry")

        loading = asyncio.create_task(load())
        changes: list[dict[str, Any]] = [{"interval": 5}, {"filter": CHANGES}, {"filter": None}, {"interval": 0}]
        while not loading.done():
            await eventually(lambda: len(found[-1].frames) > 2 or loading.done())
            before, change = found[-1], changes[len(found) % len(changes)]
            reply = await peer.ask("update", subscriptionId=before.id, **change)
            found.append(Subscription(peer, reply["subscriptionId"]))
        await loading
        ids = {subscription.id for subscription in found}
        await eventually(lambda: len(_seqs(peer, ids)) >= 3_000)
        assert _seqs(peer, ids) == list(range(3_000))
        assert len(found) > 5


CHANGES = {"n": {"variant": "change", "parameter": {"logic-op": "ne", "diff": 0}}}


def _seqs(peer: Peer, ids: set[str]) -> list[int]:
    """Of the live items of some subscriptions, in the order in which they came."""
    frames = [message for message in peer.messages if message.get("subscriptionId") in ids and "data" in message]
    return [item["seq"] for frame in frames if not frame.get("snapshot") for item in frame["data"]]


async def test_an_update_in_the_midst_of_a_replay_goes_on_from_there(
    redis_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framer, "FRAME_ITEMS", 10)
    async with running(redis_url, outbox_bytes=2_000) as node, joined(node) as peer:
        await store.numbers(range(2_500))  # several pages
        peer.reading.clear()
        await peer.send({"action": "ping", "requestId": "ping"})
        await peer.send({"action": "subscribe", "requestId": "s", "topic": "fleets/#", "since": "0-0", **BATCH})
        await eventually(lambda: not peer.outbox._room.is_set())
        ((before, member),) = peer.session.subscriptions.members.items()
        await eventually(lambda: peer.outbox._refused)
        assert member.group.is_behind(member)
        update = {"action": "update", "requestId": "u", "subscriptionId": before, "interval": 5}
        updating = asyncio.create_task(peer.send(update))
        peer.reading.set()
        await updating
        (after,) = peer.session.subscriptions.members
        await eventually(lambda: _seqs(peer, {before, after})[-1:] == [2_499])
        assert _seqs(peer, {before, after}) == list(range(2_500))


async def test_nothing_is_told_twice_to_who_comes_with_a_cursor_beyond_the_last_flush(
    node: Node, store: Store, peer: Peer
) -> None:
    place = {"CurrentLocation.Latitude": 0, "CurrentLocation.Longitude": 0}
    fields: dict[str, Any] = BATCH | {"interval": 60_000, "bbox": [-1, -1, 1, 1]}
    async with joined(node) as other:
        await other.subscribe("fleets/#", **fields)
        await store.readings((TOPIC, Reading(1, place, 1)))
        await eventually(lambda: counted(node, "received_total") == 1)
        cursor = format_id(node.hub.last[0])
        again = await peer.subscribe("fleets/#", since=cursor, **fields)
        await eventually(lambda: again.items(snapshot=True))
        await store.readings((TOPIC, Reading(2, place, 2)))
        await eventually(lambda: len(node.hub.groups[0]._pending))
        node.hub.groups[0].flush()
        await has(again, [2])


@pytest.mark.usefixtures("forgetful")
async def test_a_batch_client_of_a_place_that_was_behind_knows_in_the_end_who_is_there(
    redis_url: str, store: Store
) -> None:
    def at(ts: int, latitude: int) -> Reading:
        place: dict[str, Value] = {"CurrentLocation.Latitude": latitude, "CurrentLocation.Longitude": 0}
        return Reading(ts, place if latitude else place | {"n": ts}, ts)

    fields: dict[str, Any] = BATCH | {"snapshot": True, "bbox": [-1, -1, 1, 1], "signals": ["n"]}
    async with running(redis_url, outbox_bytes=2_000) as node, joined(node) as slow, joined(node) as quick:
        await store.readings(*((topic, at(0, 0)) for topic in FLEETS))
        places = [await peer.subscribe("fleets/#", **fields) for peer in (slow, quick)]
        slow.reading.clear()
        for ts in range(1, 300):
            await store.readings((FLEETS[ts % 7], at(ts, 9 if ts % 7 < 3 and ts > 250 else 0)))
        await eventually(lambda: counted(node, "received_total") == 299)
        assert counted(node, "lagging_total") >= 1
        slow.reading.set()
        await eventually(lambda: sum(frame.get("snapshot", False) for frame in places[0].frames) == 2)
        await store.readings((FLEETS[8], at(300, 0)))
        await eventually(lambda: all(place.states[FLEETS[8]]["ts"] == 300 for place in places))
        for place in places:
            assert {item["topic"] for item in place.items() if "event" in item} == set(FLEETS[:3])
        known = [_there(place) for place in places]
        assert known[0] == known[1]
        assert set(known[0]) == {topic for topic in FLEETS if topic not in FLEETS[:3]}


def _there(place: Subscription) -> dict[str, Any]:
    """Who is in a box, with their values."""
    known: dict[str, Any] = {}
    for frame in place.frames:
        if frame.get("snapshot"):
            known = {}
        for item in frame["data"]:
            known[item["topic"]] = item["values"]
            if item.get("event") == "leave":
                del known[item["topic"]]
    return known


async def test_nothing_of_a_subscription_comes_after_it_was_given_up(redis_url: str, store: Store) -> None:
    async with running(redis_url, outbox_bytes=1_024) as node, joined(node) as peer:
        await store.numbers(range(1_500))
        found = await peer.subscribe("fleets/#", since="0-0", **BATCH)
        await eventually(lambda: found.frames)
        assert (await peer.ask("unsubscribe", subscriptionId=found.id))["action"] == "unsubscribe"
        ended = len(peer.messages)
        await store.numbers([1])
        await peer.ask("ping")
        assert all(message.get("subscriptionId") != found.id for message in peer.messages[ended:])


# Clients' messages


async def test_what_is_said_in_a_room_reaches_those_who_listen_and_the_log(
    node: Node, store: Store, peer: Peer
) -> None:
    room = await peer.subscribe("rooms/ops", interval=0, snapshot=False)
    other = await peer.subscribe("rooms/other", interval=0, snapshot=False)
    reply = await peer.ask("publish", topic="rooms/ops", data={"text": "hé"})
    await eventually(room.items)
    (item,) = room.items()
    assert (item["id"], item["data"]) == (reply["id"], {"text": "hé"})
    assert not other.items()
    history_reply = await peer.ask("history", topic="rooms/#")
    assert history_reply["data"] == [item]
    assert await store.redis.smembers(keys.ROOMS) == {b"ops"}


async def test_a_draining_node_closes_its_clients_and_takes_no_more(node: Node, store: Store, peer: Peer) -> None:
    await peer.subscribe("fleets/#")
    node.drain()
    await eventually(lambda: peer.closed == 1012)
    assert not await node.ready()
    async with joined(node) as late:
        await eventually(lambda: late.closed == 1012)
