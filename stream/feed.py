"""The feed: what a partition of Redis publishes, in order, for the patterns that the node follows; and whether it is
live."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from store.lives import Loss
from stream.link import Link, open_link
from stream.metrics import Metrics
from wire import keys
from wire.ids import format_id, parse_id
from wire.partition import Partition

__all__ = ["Feed", "Published"]

log = logging.getLogger("fleetwire.stream.feed")

Published = list[bytes]  # …, channel, payload

PROBE_SECONDS = 1.0  # a feed that is silent for so long is asked for a sign of life
PATIENCE = 4  # and is broken when nothing comes for so many times longer
BACKOFF_SECONDS = 1.0


class Feed:
    """One pub/sub connection, made again whenever it breaks.

    `receive(messages)` takes what was read at once, `lose(loss)` what Redis has lost. `recover()` runs after each
    connect, when everything is subscribed and before anything is received, so that what was missed can be read from
    the logs first; it gives the newest id that is in these. `changed()` is called when the feed is live, or no more.

    Each batch is announced with the last id before it: so a batch that did not arrive is missed, whatever Redis says.

    In a cluster, where pub/sub is sharded and has no patterns, there is a channel of each pattern's name.
    """

    def __init__(
        self,
        redis: Redis,
        partition: Partition,
        receive: Callable[[list[Published]], None],
        lose: Callable[[Loss], None],
        recover: Callable[[], Awaitable[int]],
        changed: Callable[[], None],
        metrics: Metrics,
    ) -> None:
        self._redis = redis
        self._key = partition.key
        self._where = f", of partition {partition.number}" if partition.tag else ""
        self._shard = "S" if partition.tag else ""
        self._pattern = "S" if partition.tag else "P"
        self._receive = receive
        self._lose = lose
        self._recover = recover
        self._changed = changed
        self._metrics = metrics
        self._patterns: dict[str, None] = {}
        self._link: Link | None = None
        self._held: list[Any] | None = []  # what comes before the node has recovered
        self._announced = 0  # the last id of the newest batch
        self._marks: dict[bytes, asyncio.Future[None]] = {}
        self._feed, self._probe = map(partition.key, (keys.FEED, keys.probe(secrets.token_hex(8))))
        self._own = (self._feed.encode(), self._probe.encode())
        self.live = False

    def follow(self, pattern: str) -> None:
        """Subscribe to a pattern, now and after each reconnect. What is published after the next `sync` comes."""
        self._patterns[pattern] = None
        self._metrics.patterns.inc()
        if self._link is not None:
            self._link.send(f"{self._pattern}SUBSCRIBE", self._key(pattern))

    def unfollow(self, pattern: str) -> None:
        """Unsubscribe from a pattern."""
        del self._patterns[pattern]
        self._metrics.patterns.dec()
        if self._link is not None:
            self._link.send(f"{self._pattern}UNSUBSCRIBE", self._key(pattern))

    async def sync(self) -> None:
        """Wait until Redis has carried out what was sent before, and everything that was published until then has
        been received: a PING on the same connection comes back behind it.

        Raises redis.RedisError when the feed is not live or breaks, TimeoutError when it stays silent.
        """
        if not self.live:  # a PING would come back before what was missed
            raise RedisError("the feed is not live")
        await self._echo()

    async def _echo(self) -> None:
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
        while True:
            try:
                await self._session()
            except (RedisError, OSError, TimeoutError) as error:
                self._metrics.feed_breaks.inc()
                log.warning("the feed from Redis broke%s: %s", self._where, str(error) or "silence")
            finally:
                self._set_live(False)
            await asyncio.sleep(BACKOFF_SECONDS * random.uniform(0.5, 1.5))

    async def _session(self) -> None:
        self._held = []
        async with open_link(self._redis, self._take) as self._link:
            self._link.closed.add_done_callback(self._break_marks)
            try:
                self._link.send(f"{self._shard}SUBSCRIBE", self._feed, self._probe)
                if self._patterns:
                    self._link.send(f"{self._pattern}SUBSCRIBE", *map(self._key, self._patterns))
                await self._echo()
                self._link.pause()
                self._announced = await self._recover()
                self._set_live(True)
                held, self._held = self._held, None
                self._take(held)
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
                    await self._redis.execute_command(f"{self._shard}PUBLISH", self._probe, b"")  # type: ignore[no-untyped-call]
                    await link.heard.wait()
        raise RedisError(link.why or "Redis closed the connection")

    def _take(self, replies: list[Any]) -> None:
        messages: list[Published] = []
        for reply in replies:
            kind = reply[0] if type(reply) is list else b"error"
            if (kind == b"pmessage" or kind == b"smessage" or kind == b"message") and self._held is not None:
                self._held.append(reply)
            elif kind == b"pmessage" or (kind == b"smessage" and reply[1] not in self._own):
                messages.append(reply)
            elif (kind == b"message" or kind == b"smessage") and reply[1] == self._own[0]:
                self._receive(messages)
                messages = []
                if not self._heed(reply[2]):
                    return
            elif kind == b"pong" and (future := self._marks.get(reply[1])) and not future.done():
                future.set_result(None)
            elif kind == b"error":
                self._give_up(f"Redis refused a command of the feed: {reply}")
            elif kind == b"sunsubscribe" and reply[1].decode().removeprefix(self._key("")) in self._patterns:
                self._give_up("the partition has moved to another master")
        if messages:
            self._receive(messages)

    def _heed(self, announced: bytes) -> bool:
        """Take what the feed says about itself; False when something before it did not arrive."""
        try:
            before, last, *lost = announced.decode().split()
            after, until = parse_id(before), parse_id(last)
            if lost not in ([], ["lost"]):
                raise ValueError("said by somebody else")
        except ValueError:  # anyone with redis-cli may publish anything
            self._metrics.malformed.inc()
            return True
        if lost:
            self._lose(Loss(after, until, True))
        elif after > self._announced:
            self._metrics.feed_gaps.inc()
            self._give_up(f"what was stored from {format_id(self._announced)} to {before} did not arrive")
            return False
        else:
            self._announced = max(self._announced, until)
        return True

    def _give_up(self, why: str) -> None:
        if self._link is not None:
            self._link.abort(why)

    def _break_marks(self, closed: asyncio.Future[None]) -> None:
        for future in self._marks.values():
            if not future.done():
                future.set_exception(RedisError("the feed broke"))

    def _set_live(self, live: bool) -> None:
        self.live = live
        self._changed()
