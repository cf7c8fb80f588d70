"""The feed: what Redis publishes, in order, for the patterns that the node follows; and whether it is live."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from stream.cancel import cancelled
from stream.metrics import Metrics

__all__ = ["Feed"]

log = logging.getLogger("fleetwire.stream.feed")

PROBE_SECONDS = 1.0
SILENCE_SECONDS = 5.0
BACKOFF_SECONDS = 1.0


class Feed:
    """One pub/sub connection, made again whenever it breaks.

    `receive(channel, payload)` takes what comes. `recover()` runs after each connect, before anything that is
    published from then on is received, so that what was missed can be read from the logs first.
    """

    def __init__(
        self,
        redis_url: str,
        publisher: Redis,
        receive: Callable[[bytes, bytes], None],
        recover: Callable[[], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        # Protocol 2: under RESP3 redis-py formats each push for a debug line (8.1: 17.5 against 13 µs a message).
        self._redis = Redis.from_url(
            redis_url, protocol=2, socket_timeout=SILENCE_SECONDS, retry=Retry(NoBackoff(), 0)
        )
        self._publisher = publisher
        self._receive = receive
        self._recover = recover
        self._metrics = metrics
        self._patterns: dict[str, None] = {}
        self._pubsub: PubSub | None = None
        self._mark = f"fw:node:{secrets.token_hex(8)}"
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

    async def _send(self, command: str, pattern: str) -> None:
        # Not by `PubSub.psubscribe`: when it can't write it connects anew, under the feet of the reader, who would
        # then go on without having recovered what came in between.
        connection = self._pubsub.connection if self._pubsub is not None else None
        if connection is not None and connection.is_connected:
            await connection.send_command(command, pattern)

    async def sync(self) -> None:
        """Wait until everything that was published before this call has been received.

        Raises redis.RedisError when Redis is away, TimeoutError when the feed stays silent.
        """
        token = secrets.token_bytes(8)
        future = self._marks[token] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._publisher.publish(self._mark, token)
                if cancelled():
                    raise asyncio.CancelledError
                await future
        finally:
            self._marks.pop(token, None)

    async def run(self) -> None:
        """Until cancelled."""
        async with self._redis:
            while not cancelled():
                try:
                    await self._session()
                except* (RedisError, OSError, TimeoutError) as errors:
                    self._metrics.feed_breaks.inc()
                    error = str(errors.exceptions[0]) or "silence"
                    log.warning("the feed from Redis broke: %s; again in %.1f s", error, BACKOFF_SECONDS)
                finally:
                    self._set_live(False)
                    self._pubsub = None
                await asyncio.sleep(BACKOFF_SECONDS * (0.5 + secrets.randbelow(100) / 100))

    async def _session(self) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._mark)
            self._pubsub = pubsub
            if self._patterns:
                await pubsub.psubscribe(*self._patterns)
            await self._recover()
            self._set_live(True)
            log.info("the feed from Redis is live")
            async with asyncio.TaskGroup() as group:
                probe = group.create_task(self._probe(), name="feed probe")
                try:
                    await self._read(pubsub)
                finally:
                    probe.cancel()

    async def _read(self, pubsub: PubSub) -> None:
        own, marks, receive = self._mark.encode(), self._marks, self._receive
        while not cancelled():
            # The probe's own messages come each second: a longer silence is a broken feed.
            message = await pubsub.get_message(timeout=SILENCE_SECONDS)
            if message is None:
                raise TimeoutError
            kind = message["type"]
            if kind == "pmessage":
                receive(message["channel"], message["data"])
            elif kind == "message" and message["channel"] == own:
                future = marks.get(message["data"])
                if future is not None and not future.done():
                    future.set_result(None)

    async def _probe(self) -> None:
        while not cancelled():
            await asyncio.sleep(PROBE_SECONDS)
            try:
                await self.sync()
            except (RedisError, TimeoutError) as error:
                log.warning("the feed's probe got no answer: %s", error or "silence")
                self._set_live(False)
            else:
                self._set_live(True)

    def _set_live(self, live: bool) -> None:
        self.live = live
        self._metrics.live.set(live)
