"""The feed: what Redis publishes, in order, for the patterns that the node follows; and whether it is live."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from stream.link import Link, open_link
from stream.metrics import Metrics
from wire import keys

__all__ = ["Feed", "Published"]

log = logging.getLogger("fleetwire.stream.feed")

Published = list[bytes]  # b"pmessage", pattern, channel, payload

PROBE_SECONDS = 1.0  # a feed that is silent for so long is asked for a sign of life
PATIENCE = 4  # and is broken when nothing comes for so many times longer
BACKOFF_SECONDS = 1.0


class Feed:
    """One pub/sub connection, made again whenever it breaks.

    `receive(messages)` takes what was read at once. `recover()` runs after each connect, when everything is
    subscribed and before anything is received, so that what was missed can be read from the logs first.
    """

    def __init__(
        self,
        redis_url: str,
        receive: Callable[[list[Published]], None],
        recover: Callable[[], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        # No socket timeout: with one redis-py waits by `asyncio.wait_for`, which in Python 3.11 may swallow a
        # cancellation. Each use has its own.
        self._redis = Redis.from_url(
            redis_url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=PATIENCE * PROBE_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._receive = receive
        self._recover = recover
        self._metrics = metrics
        self._patterns: dict[str, None] = {}
        self._link: Link | None = None
        self._held: list[Published] | None = []  # what comes before the node has recovered
        self._marks: dict[bytes, asyncio.Future[None]] = {}
        self._channel = keys.probe(secrets.token_hex(8))
        self.live = False

    def follow(self, pattern: str) -> None:
        """Subscribe to a pattern, now and after each reconnect. What is published after the next `sync` comes."""
        self._patterns[pattern] = None
        self._metrics.patterns.set(len(self._patterns))
        if self._link is not None:
            self._link.send("PSUBSCRIBE", pattern)

    def unfollow(self, pattern: str) -> None:
        """Unsubscribe from a pattern."""
        self._patterns.pop(pattern, None)
        self._metrics.patterns.set(len(self._patterns))
        if self._link is not None:
            self._link.send("PUNSUBSCRIBE", pattern)

    async def sync(self) -> None:
        """Wait until Redis has carried out what was sent before, and everything that was published until then has
        been received: a PING on the same connection comes back behind it.

        Raises redis.RedisError when the connection breaks, TimeoutError when there is none or it stays silent.
        """
        token = secrets.token_bytes(8)
        future = self._marks[token] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PATIENCE * PROBE_SECONDS):
                if self._link is not None:
                    self._link.send("PING", token)
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
                    log.warning("the feed from Redis broke: %s", str(error) or "silence")
                finally:
                    self._set_live(False)
                await asyncio.sleep(BACKOFF_SECONDS * random.uniform(0.5, 1.5))

    async def _session(self) -> None:
        self._held = []
        async with open_link(self._redis, self._take) as self._link:
            self._link.closed.add_done_callback(self._break_marks)
            try:
                # A channel first, so that the connection is one for pub/sub whatever is followed.
                self._link.send("SUBSCRIBE", self._channel)
                if self._patterns:
                    self._link.send("PSUBSCRIBE", *self._patterns)
                await self.sync()
                self._link.pause()
                await self._recover()
                self._set_live(True)
                log.info("the feed from Redis is live")
                held, self._held = self._held, None
                self._receive(held)
                self._link.resume()
                await self._watch(self._link)
            finally:
                self._link = None

    async def _watch(self, link: Link) -> None:
        """Until the link is closed, or brings nothing in spite of being asked.

        What is asked for is published, by another connection: so the way of a reading is proved to be open, and not
        only the socket. A feed from a Redis that was replaced would answer a PING for ever.
        """
        while not link.closed.done():
            link.heard.clear()
            await asyncio.wait((link.closed,), timeout=PROBE_SECONDS)
            if not link.heard.is_set():
                async with asyncio.timeout(PATIENCE * PROBE_SECONDS):
                    await self._redis.publish(self._channel, b"")
                    await link.heard.wait()
        raise RedisError("Redis closed the connection")

    def _take(self, replies: list[Any]) -> None:
        messages = [reply for reply in replies if type(reply) is list and reply[0] == b"pmessage"]
        if self._held is None:
            self._receive(messages)
        else:
            self._held += messages
        if len(messages) != len(replies):
            for reply in replies:
                if isinstance(reply, Exception):
                    log.warning("Redis refused a command of the feed: %s", reply)
                elif reply[0] == b"pong" and (future := self._marks.get(reply[1])) and not future.done():
                    future.set_result(None)

    def _break_marks(self, closed: asyncio.Future[None]) -> None:
        for future in self._marks.values():
            if not future.done():
                future.set_exception(RedisError("the feed broke"))

    def _set_live(self, live: bool) -> None:
        self.live = live
        self._metrics.live.set(live)
