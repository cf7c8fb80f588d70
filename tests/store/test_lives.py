"""What Redis has lost, as `life.lua` keeps the books, on real servers that start again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from store.lives import Loss, begin, gaps
from tests.programs import free_port, redis_server
from wire import keys
from wire.ids import format_id, parse_id
from wire.partition import WHOLE
from wire.reading import Message, encode
from wire.store import SCRIPT, Entry, Retention, arguments


async def say(redis: Redis) -> int:
    """Store something: the id that it was given."""
    names, args = arguments([Entry("rooms/ops", encode(Message(1, "x")))], Retention())
    return parse_id((await redis.eval(SCRIPT, len(names), *names, *args))[0])  # type: ignore[misc]


@asynccontextmanager
async def life(port: int, folder: Path, *args: str) -> AsyncIterator[Redis]:
    """One life of a server."""
    with redis_server(*args, port=port, folder=folder):
        async with Redis(port=port, protocol=2) as redis:
            yield redis


async def test_a_server_that_lives_on_has_lost_nothing(redis_url: str) -> None:
    async with Redis.from_url(redis_url, protocol=2) as redis:
        assert await begin(redis, WHOLE, 0) == [Loss(0, parse_id(await redis.get(keys.CLOCK)), False)]
        seen = await say(redis)
        (known,) = await begin(redis, WHOLE, seen)
        assert not known.certain
        assert not gaps([known], seen)


async def test_ids_go_on_where_a_new_life_began(tmp_path: Path) -> None:
    port, keeps = free_port(), ("--appendonly", "yes", "--appendfsync", "always")
    async with life(port, tmp_path, *keeps) as redis:
        await begin(redis, WHOLE, 0)
        seen = await say(redis)
    async with life(port, tmp_path, *keeps) as redis:
        first, second = await begin(redis, WHOLE, seen)
        assert not first.certain
        assert second == Loss(seen, second.until, False)  # it has all that was given out
        assert await say(redis) > second.until
        assert not gaps([first, second], seen)


async def test_what_a_server_forgot_is_told_to_all_when_somebody_knows_of_it(tmp_path: Path) -> None:
    port = free_port()
    async with life(port, tmp_path) as redis:
        await begin(redis, WHOLE, 0)
        kept = await say(redis)
        await redis.save()
        lost = await say(redis)
        await redis.config_set("save", "")
    async with life(port, tmp_path) as redis:
        pubsub = redis.pubsub()
        await pubsub.subscribe(keys.FEED)
        *_, loss = await begin(redis, WHOLE, kept)  # who knows only what is there
        assert loss == Loss(kept, loss.until, False)
        assert not gaps([loss], kept)
        assert gaps([loss], lost) == [(lost, loss.until)]  # a client that knows more
        *_, certain = await begin(redis, WHOLE, lost)
        assert certain == Loss(kept, loss.until, True)
        assert gaps([certain], kept - 1) == gaps([certain], kept) == [(kept, loss.until)]
        assert gaps([certain], lost) == [(lost, loss.until)]
        assert not gaps([certain], loss.until)
        said = [message async for message in _until_lost(pubsub)]
        assert said == [
            f"{format_id(kept)} {format_id(loss.until)}",
            f"{format_id(kept)} {format_id(loss.until)} lost",
        ]
        await pubsub.aclose()  # type: ignore[no-untyped-call]


async def _until_lost(pubsub) -> AsyncIterator[str]:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        async for message in pubsub.listen():
            if message["type"] == "message":
                yield message["data"].decode()
                if message["data"].endswith(b"lost"):
                    return


async def test_all_is_lost_when_redis_is_emptied(redis_url: str) -> None:
    async with Redis.from_url(redis_url, protocol=2) as redis:
        await begin(redis, WHOLE, 0)
        seen = await say(redis)
        await redis.flushall()
        await asyncio.sleep(0.002)  # a millisecond later, or the clock would give the same id again
        first = await say(redis)
        lives = await begin(redis, WHOLE, 0)
        assert lives[0] == Loss(0, first, False)
        assert gaps(lives, seen)[0] == (seen, first)


async def test_an_id_of_the_far_future_moves_no_clock(redis_url: str) -> None:
    async with Redis.from_url(redis_url, protocol=2) as redis:
        await begin(redis, WHOLE, parse_id("999999999999999-0"))
        assert await say(redis) < parse_id("9999999999999-0")


@pytest.mark.parametrize("lives", [70])
async def test_the_books_do_not_grow_for_ever(redis_url: str, lives: int) -> None:
    async with Redis.from_url(redis_url, protocol=2) as redis:
        for _ in range(lives):
            await redis.hdel(keys.LIVES, "@life")  # as if another server were asked
            known = await begin(redis, WHOLE, 0)
        assert len(known) == 64
        assert await redis.hlen(keys.LIVES) == 65
        assert known == sorted(known)


losses = st.builds(
    lambda after, more, certain: Loss(after, after + more, certain),
    st.integers(0, 20), st.integers(1, 20), st.booleans(),
)  # fmt: skip


@given(st.lists(losses, max_size=4), st.integers(0, 40))
def test_a_gap_is_what_one_has_not_seen_of_what_is_lost(lives: list[Loss], cursor: int) -> None:
    found = gaps(lives, cursor)
    for after, until in found:
        assert cursor <= after < until
    assert bool(found) == any(0 < cursor < loss.until and (loss.certain or cursor > loss.after) for loss in lives)
