"""The feed: what Redis publishes, in order, for the patterns that the node follows; and whether it is live."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from stream.metrics import Metrics
from wire import keys

__all__ = ["Feed"]

log = logging.getLogger("fleetwire.stream.feed")

PROBE_SECONDS = 1.0  # a silent connection is asked for a sign of life so often
PROBES = 5  # and is broken when so many of them bring nothing
BACKOFF_SECONDS = 1.0


class Feed:
    """One pub/sub connection, made again whenever it breaks.

    `receive(channel, payload)` takes what comes. `recover()` runs after each connect, when everything is subscribed
    and before anything is received, so that what was missed can be read from the logs first.
    """

    def __init__(
        self,
        redis_url: str,
        receive: Callable[[bytes, bytes], None],
        recover: Callable[[], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        # Protocol 2: under RESP3 redis-py formats each push for a debug line (8.1: 17.5 against 13 µs a message).
        # No socket timeout: with one redis-py waits by `asyncio.wait_for`, which in Python 3.11 may swallow a
        # cancellation. Each read has its own.
        self._redis = Redis.from_url(
            redis_url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=PROBES * PROBE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._receive = receive
        self._recover = recover
        self._metrics = metrics
        self._patterns: dict[str, None] = {}
        self._pubsub: PubSub | None = None
        self._marks: dict[bytes, asyncio.Future[None]] = {}
        self.live = False

    async def follow(self, pattern: str) -> None:
        """Subscribe to a pattern, now and after each reconnect. What is published after the next `sync` comes."""
        self._patterns[pattern] = None
        self._metrics.patterns.set(len(self._patterns))
        await self._send("PSUBSCRIBE", pattern)

    async def unfollow(self, pattern: str) -> None:
        """Unsubscribe from a pattern."""
        self._patterns.pop(pattern, None)
        self._metrics.patterns.set(len(self._patterns))
        await self._send("PUNSUBSCRIBE", pattern)

    async def sync(self) -> None:
        """Wait until Redis has carried out what was sent before, and everything that was published until then has
        been received: a PING on the same connection comes back behind it.

        Raises redis.RedisError when the connection breaks, TimeoutError when there is none or it stays silent.
        """
        token = secrets.token_bytes(8)
        future = self._marks[token] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PROBES * PROBE_SECONDS):
                await self._send("PING", token)
                await future
        finally:
            self._marks.pop(token, None)

    async def run(self) -> None:
        """Until cancelled."""
        async with self._redis:
            while True:
                try:
                    await self._session()
                except (RedisError, OSError, TimeoutError) as error:
                    self._metrics.feed_breaks.inc()
                    log.warning("the feed from Redis broke: %s", error or "silence")
                finally:
                    self._set_live(False)
                    self._pubsub = None
                await asyncio.sleep(BACKOFF_SECONDS * random.uniform(0.5, 1.5))

    async def _session(self) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(keys.NODES)
            self._pubsub = pubsub
            if self._patterns:
                await pubsub.psubscribe(*self._patterns)
            early = await self._subscribed(pubsub)
            await self._recover()
            self._set_live(True)
            log.info("the feed from Redis is live")
            for message in early:
                self._take(message)
            while True:
                self._take(await self._next(pubsub))

    async def _subscribed(self, pubsub: PubSub) -> list[dict[str, Any]]:
        """Wait until Redis has carried out the subscriptions: what came meanwhile."""
        token = secrets.token_bytes(8)
        await self._send("PING", token)
        early = [await self._next(pubsub)]
        while early[-1]["data"] != token:
            early.append(await self._next(pubsub))
        return early

    async def _next(self, pubsub: PubSub) -> dict[str, Any]:
        """The next message. Raises TimeoutError when the connection is silent in spite of being asked."""
        for _ in range(PROBES):
            message: dict[str, Any] | None = await pubsub.get_message(timeout=PROBE_SECONDS)
            if message is not None:
                return message
            await self._send("PING", b"")
        raise TimeoutError

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "pmessage":
            self._receive(message["channel"], message["data"])
        elif message["type"] == "pong":
            future = self._marks.get(message["data"])
            if future is not None and not future.done():
                future.set_result(None)

    async def _send(self, command: str, argument: str | bytes) -> None:
        # Not by `PubSub.psubscribe` or `ping`: when they can't write they connect anew, under the feet of the reader,
        # who would then go on without having recovered what came in between.
        connection = self._pubsub.connection if self._pubsub is not None else None
        if connection is not None and connection.is_connected:
            await connection.send_command(command, argument)

    def _set_live(self, live: bool) -> None:
        self.live = live
        self._metrics.live.set(live)
