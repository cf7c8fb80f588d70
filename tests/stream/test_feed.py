"""The feed alone, on a real Valkey: what comes, in which order, and what happens around a break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from store.lives import Loss
from store.places import Places
from stream import feed as module
from stream.feed import Feed, Published
from stream.history import History
from stream.metrics import Metrics
from tests.programs import eventually, free_port
from tests.stream.nodes import TOPIC, Store
from wire import keys
from wire.ids import parse_id
from wire.partition import WHOLE, Partition


class Heard:
    """A feed, and what it has told in the order of telling: payloads, and `recover` for each connect."""

    def __init__(self, url: str, partition: Partition = WHOLE) -> None:
        self.told: list[str] = []
        self.losses: list[Loss] = []
        self.lives: list[bool] = []  # whether it was live, each time that it said so
        self.metrics = Metrics()
        self.may_recover = asyncio.Event()
        self.may_recover.set()
        self.redis = Places(url).redis(partition, retries=1)
        self._history = History(self.redis, partition)
        self.feed = Feed(
            self.redis, partition, self._receive, self.losses.append, self._recover, self._changed, self.metrics
        )

    def _receive(self, messages: list[Published]) -> None:
        self.told += [f"{channel.decode()} {payload.decode('latin-1')}" for *_, channel, payload in messages]

    async def _recover(self) -> int:
        self.told.append("recover")
        newest = await self._history.last()
        await self.may_recover.wait()
        return newest

    def _changed(self) -> None:
        self.lives.append(self.feed.live)

    @property
    def channels(self) -> list[str]:
        """What was told, without the payloads."""
        return [one.split(" ")[0] for one in self.told]

    @property
    def breaks(self) -> float | None:
        return self._counted("feed_breaks")

    @property
    def gaps(self) -> float | None:
        return self._counted("feed_gaps")

    @property
    def malformed(self) -> float | None:
        return self._counted("malformed")

    def _counted(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"fleetwire_stream_{name}_total")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.05)


@asynccontextmanager
async def running(url: str, heard: Heard | None = None) -> AsyncIterator[Heard]:
    heard = heard or Heard(url)
    async with heard.redis, asyncio.TaskGroup() as group:
        task = group.create_task(heard.feed.run())
        try:
            yield heard
        finally:
            task.cancel()


@pytest.fixture
async def heard(valkey_url: str) -> AsyncIterator[Heard]:
    async with running(valkey_url) as found:
        await eventually(lambda: found.feed.live)
        yield found


async def kill(redis: Redis) -> None:
    await redis.client_kill_filter(_type="pubsub")


async def test_what_is_published_before_a_sync_was_received_when_it_returns(
    heard: Heard, redis_client: Redis
) -> None:
    heard.feed.follow("a/*")
    await heard.feed.sync()
    for n in range(200):
        await redis_client.publish("a/x", str(n))
        await redis_client.publish("b/x", "not followed")
    await heard.feed.sync()
    assert heard.told == ["recover", *(f"a/x {n}" for n in range(200))]


async def test_many_may_sync_at_once(heard: Heard) -> None:
    await asyncio.gather(*(heard.feed.sync() for _ in range(50)))


async def test_a_pattern_that_is_given_up_brings_nothing_more(heard: Heard, redis_client: Redis) -> None:
    heard.feed.follow("a/*")
    heard.feed.follow("b/*")
    heard.feed.unfollow("a/*")
    await heard.feed.sync()
    await redis_client.publish("a/x", "1")
    await redis_client.publish("b/x", "2")
    await heard.feed.sync()
    assert heard.told == ["recover", "b/x 2"]
    await kill(redis_client)
    await eventually(lambda: heard.told.count("recover") == 2 and heard.feed.live)
    assert await redis_client.pubsub_numpat() == 1


async def test_a_pattern_may_be_followed_before_there_is_a_connection(valkey_url: str, redis_client: Redis) -> None:
    heard = Heard(valkey_url)
    heard.feed.follow("a/*")
    async with running(valkey_url, heard):
        await eventually(lambda: heard.feed.live)
        await redis_client.publish("a/x", "1")
        await heard.feed.sync()
    assert heard.told == ["recover", "a/x 1"]
    assert not heard.feed.live
    assert heard.lives == [True, False]


async def test_after_a_break_nothing_is_received_before_recover_is_done(heard: Heard, redis_client: Redis) -> None:
    heard.feed.follow("a/*")
    await heard.feed.sync()
    for number in range(2, 4):
        heard.may_recover.clear()
        await kill(redis_client)
        await eventually(lambda wanted=number: heard.told.count("recover") == wanted)  # type: ignore[misc]
        assert not heard.feed.live
        # The patterns are subscribed already: what is published from now on waits for its turn.
        await redis_client.publish("a/x", str(number))
        heard.may_recover.set()
        await eventually(lambda: heard.feed.live)
        await heard.feed.sync()
        assert heard.told[-2:] == ["recover", f"a/x {number}"]
    assert heard.breaks == 2


async def test_a_recovery_that_fails_is_tried_again(valkey_url: str) -> None:
    class Failing(Heard):
        async def _recover(self) -> int:
            newest = await super()._recover()
            if self.told.count("recover") < 3:
                raise RedisError("the log can't be read")
            return newest

    async with running(valkey_url, Failing(valkey_url)) as heard:
        await eventually(lambda: heard.feed.live)
    assert heard.told == ["recover"] * 3
    assert heard.breaks == 2


async def test_a_silent_feed_is_a_broken_one_and_comes_back(heard: Heard, redis_client: Redis) -> None:
    await redis_client.client_pause(1_500)  # every command of every client: Redis stands still
    await eventually(lambda: not heard.feed.live)
    assert (heard.breaks or 0) >= 1
    await eventually(lambda: heard.feed.live)
    await heard.feed.sync()


async def test_a_feed_to_which_nothing_comes_is_broken_though_its_socket_lives(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heard.feed, "_probe", "nobody follows this")  # as when Redis has lost the subscriptions
    await eventually(lambda: not heard.feed.live)
    await eventually(lambda: heard.feed.live)
    assert heard.breaks == 1


async def test_a_quiet_feed_is_asked_and_stays_live(heard: Heard) -> None:
    await asyncio.sleep(2 * module.PATIENCE * module.PROBE_SECONDS)
    assert heard.feed.live
    assert not heard.breaks


async def test_a_sync_waits_until_the_subscriptions_are_made(heard: Heard, redis_client: Redis) -> None:
    for n in range(100):
        heard.feed.follow(f"a{n}/*")
        await heard.feed.sync()
        assert await redis_client.publish(f"a{n}/x", "1") == 1


async def test_a_sync_without_redis_raises() -> None:
    async with running(f"redis://127.0.0.1:{free_port()}") as heard:
        with pytest.raises((RedisError, TimeoutError)):
            await heard.feed.sync()
        assert not heard.feed._marks


async def test_a_cancellation_ends_it_at_any_moment(valkey_url: str, redis_client: Redis) -> None:
    for turns in range(0, 300, 3):
        heard = Heard(valkey_url)
        heard.feed.follow("a/*")
        task = asyncio.create_task(heard.feed.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns % 2:
            await kill(redis_client)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done
        assert task.cancelled()
        await heard.redis.aclose()


# What the feed says about itself


async def test_batches_that_follow_each_other_are_no_gap(heard: Heard, redis_client: Redis) -> None:
    store = Store(redis_client)
    heard.feed.follow("fleets/*")
    await heard.feed.sync()
    for n in range(20):
        await store.numbers(range(n * 5, n * 5 + n % 3))
    await heard.feed.sync()
    assert heard.channels == ["recover", *[TOPIC] * 19]
    await kill(redis_client)
    await store.numbers([100])
    await eventually(lambda: heard.told.count("recover") == 2 and heard.feed.live)
    await store.numbers([101])
    await heard.feed.sync()
    assert (heard.breaks, heard.gaps, heard.malformed) == (1, 0, 0)
    assert heard.told[-1] != "recover"


async def test_a_batch_that_did_not_arrive_is_noticed(valkey_url: str, redis_client: Redis) -> None:
    store = Store(redis_client)
    async with losing(valkey_url) as line, running(line.url) as heard:
        await eventually(lambda: heard.feed.live)
        heard.feed.follow("fleets/*")
        await heard.feed.sync()
        await store.numbers([1])
        await heard.feed.sync()
        assert heard.channels == ["recover", TOPIC]
        line.loses = lambda reply: keys.FEED.encode() in reply or TOPIC.encode() in reply
        await store.numbers([2])
        await eventually(lambda: line.lost == 2)  # the announcement, and the reading
        line.loses = lambda reply: False
        assert heard.feed.live  # nobody can know yet
        await store.numbers([3])
        await eventually(lambda: heard.told.count("recover") == 2 and heard.feed.live)
        await store.numbers([4])
        await heard.feed.sync()
        # What made it known is not received: it is in the log behind what is missed.
        assert heard.channels == ["recover", TOPIC, "recover", TOPIC]
        assert (heard.breaks, heard.gaps) == (1, 1)


async def test_garbage_about_the_feed_is_counted_and_harms_nothing(heard: Heard, redis_client: Redis) -> None:
    garbage = [b"", b" ", b"1-1", b"x y", b"1-1 2", b"\xff 1-1", b"1-1\0 2-2"]
    garbage += [b"1-1 2-2 3-3", b"1-1 2-2 lost lost", b"-1 2-2 lost"]
    heard.feed.follow("fleets/*")
    await heard.feed.sync()
    for payload in garbage:
        await redis_client.publish(keys.FEED, payload)
    await Store(redis_client).numbers([1])
    await heard.feed.sync()
    assert heard.malformed == len(garbage)
    assert heard.channels == ["recover", TOPIC]
    assert not heard.losses
    assert heard.feed.live
    assert (heard.breaks, heard.gaps) == (0, 0)


async def test_what_redis_has_lost_is_passed_on_in_its_place(heard: Heard, redis_client: Redis) -> None:
    heard.feed.follow("a/*")
    await heard.feed.sync()
    await redis_client.publish("a/x", "1")
    await redis_client.publish(keys.FEED, "5-1 7-0 lost")
    await heard.feed.sync()
    assert heard.told == ["recover", "a/x 1"]
    assert heard.losses == [Loss(parse_id("5-1"), parse_id("7-0"), True)]
    assert not heard.gaps  # it says nothing about what was announced


async def test_sharded_channels_stand_for_patterns(valkey_url: str, redis_client: Redis) -> None:
    partition = Partition(1, "{7}")

    async def publish(name: str, payload: str) -> None:
        await redis_client.execute_command("SPUBLISH", partition.key(name), payload)  # type: ignore[no-untyped-call]

    async with running(valkey_url, Heard(valkey_url, partition)) as heard:
        await eventually(lambda: heard.feed.live)
        heard.feed.follow("a/*")
        heard.feed.follow("b/*")
        heard.feed.unfollow("b/*")
        await heard.feed.sync()
        await publish("a/*", "a/x 1")
        await publish("b/*", "b/x 2")
        await redis_client.publish(partition.key("a/*"), "not sharded")
        await publish(keys.FEED, "0-0 1-0")
        await heard.feed.sync()
        assert heard.told == ["recover", "{7}a/* a/x 1"]
        await asyncio.sleep(2 * module.PATIENCE * module.PROBE_SECONDS)
        assert heard.lives == [True]
        await publish(keys.FEED, "2-0 3-0")
        await eventually(lambda: heard.lives == [True, False, True])
        await publish("a/*", "a/x 3")
        await heard.feed.sync()
        assert heard.told[1:] == ["{7}a/* a/x 1", "recover", "{7}a/* a/x 3"]
        assert (heard.breaks, heard.gaps) == (1, 1)


class Line:
    """A way to Redis on which whole replies can be lost, and what is published, so that the rest can be read."""

    def __init__(self, host: str, port: int) -> None:
        self.url = ""
        self.loses: Callable[[bytes], bool] = lambda reply: False
        self.lost = 0
        self._to = host, port

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, until either side ends it."""
        back, to = await asyncio.open_connection(*self._to)
        asking = asyncio.ensure_future(self._ask(reader, to))
        try:
            await self._answer(back, writer)
        finally:
            asking.cancel()
            for one in (writer, to):
                one.close()

    async def _ask(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                to.write(data)
        to.close()

    async def _answer(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                reply = await _reply(back)
                if self.loses(reply):
                    self.lost += 1
                else:
                    writer.write(reply)


async def _reply(back: asyncio.StreamReader) -> bytes:
    """The bytes of one reply of Redis (RESP2)."""
    line = await back.readuntil(b"\r\n")
    kind, rest = line[:1], line[1:-2]
    if kind == b"$" and int(rest) >= 0:
        return line + await back.readexactly(int(rest) + 2)
    if kind == b"*":
        return line + b"".join([await _reply(back) for _ in range(int(rest))])
    return line


@asynccontextmanager
async def losing(url: str) -> AsyncIterator[Line]:
    """A line to Redis."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    line = Line(parts.hostname, parts.port)
    async with await asyncio.start_server(line.join, "127.0.0.1", 0) as server:
        _, port = server.sockets[0].getsockname()
        line.url = f"redis://127.0.0.1:{port}"
        yield line
