"""The feed alone, on a real Valkey: what comes, in which order, and what happens around a break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stream import feed as module
from stream.feed import Feed, Published
from stream.metrics import Metrics
from tests.programs import eventually, free_port


class Heard:
    """A feed, and what it has told in the order of telling: payloads, and `recover` for each connect."""

    def __init__(self, url: str) -> None:
        self.told: list[str] = []
        self.metrics = Metrics()
        self.may_recover = asyncio.Event()
        self.may_recover.set()
        self.feed = Feed(url, self._receive, self._recover, self.metrics)

    def _receive(self, messages: list[Published]) -> None:
        self.told += [f"{channel.decode()} {payload.decode()}" for _, _, channel, payload in messages]

    async def _recover(self) -> None:
        self.told.append("recover")
        await self.may_recover.wait()

    @property
    def breaks(self) -> float | None:
        return self.metrics.registry.get_sample_value("fleetwire_stream_feed_breaks_total")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.05)


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Heard]:
    heard = Heard(url)
    async with asyncio.TaskGroup() as group:
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
    async with asyncio.TaskGroup() as group:
        task = group.create_task(heard.feed.run())
        await eventually(lambda: heard.feed.live)
        await redis_client.publish("a/x", "1")
        await heard.feed.sync()
        task.cancel()
    assert heard.told == ["recover", "a/x 1"]
    assert not heard.feed.live


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


async def test_a_recovery_that_fails_is_tried_again(valkey_url: str, redis_client: Redis) -> None:
    class Failing(Heard):
        async def _recover(self) -> None:
            await super()._recover()
            if self.told.count("recover") < 3:
                raise RedisError("the log can't be read")

    heard = Failing(valkey_url)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(heard.feed.run())
        await eventually(lambda: heard.feed.live)
        task.cancel()
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
    monkeypatch.setattr(heard.feed, "_channel", "nobody follows this")  # as when Redis has lost the subscriptions
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
