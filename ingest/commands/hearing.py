"""What Redis publishes on some channels, while somebody wants to know.

It is heard here first, and never only here: who listens looks it up as well, in its own time. A message that is
missed while the connection is made again is late, not lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from ingest.backoff import Backoff
from wire import keys
from wire.partition import Partition

__all__ = ["Hearing"]

log = logging.getLogger("fleetwire.ingest.hearing")

PROBE_SECONDS = 5.0  # a silent connection is asked for a sign of life so often
PROBES = 3  # and is broken when so many of them bring nothing


class Hearing:
    """One pub/sub connection, made again whenever it breaks: then `missed` is called. `hear(channel, payload)` takes
    what comes."""

    def __init__(
        self,
        redis: Redis,
        partition: Partition,
        hear: Callable[[str, bytes], None],
        missed: Callable[[], None],
    ) -> None:
        self._redis = redis
        self._partition = partition
        self._verb = "SSUBSCRIBE" if partition.tag else "SUBSCRIBE"  # in a cluster pub/sub is sharded
        self._hear = hear
        self._missed = missed
        self._wanted: set[str] = set()
        self._subscribed: set[str] = set()
        self._pubsub: PubSub | None = None

    async def listen(self, channels: Collection[str]) -> None:
        """Listen to just these channels from now on."""
        self._wanted = set(channels)
        with suppress(RedisError, OSError):  # the connection breaks, and the next one has all of them
            await self._adjust()

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff()
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(keys.COMMANDS)  # nobody talks there; it makes the connection
                    self._pubsub, self._subscribed = pubsub, set()
                    await self._adjust()
                    self._missed()
                    while True:
                        self._take(await self._next(pubsub))
                        backoff = Backoff()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("no answers are heard from Redis: %s", error or "silence")
            finally:
                self._pubsub = None
            await asyncio.sleep(backoff.next())

    async def _next(self, pubsub: PubSub) -> dict[str, Any]:
        """The next message. Raises TimeoutError when the connection is silent in spite of being asked."""
        for _ in range(PROBES):
            message: dict[str, Any] | None = await pubsub.get_message(timeout=PROBE_SECONDS)
            if message is not None:
                return message
            await self._send("PING")
        raise TimeoutError

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind not in ("message", "smessage", "sunsubscribe"):
            return
        channel = message["channel"].decode().removeprefix(self._partition.tag)
        if kind != "sunsubscribe":
            self._hear(channel, message["data"])
        elif channel in self._subscribed:
            raise RedisError("the partition has moved to another master")

    async def _adjust(self) -> None:
        if self._pubsub is not None:
            more, less = self._wanted - self._subscribed, self._subscribed - self._wanted
            self._subscribed = set(self._wanted)
            if more:
                await self._send(self._verb, *map(self._partition.key, more))
            if less:
                await self._send(self._verb.replace("SUB", "UNSUB"), *map(self._partition.key, less))

    async def _send(self, *command: str) -> None:
        # Not by `PubSub.subscribe` or `ping`: when they can't write they connect anew, under the feet of the reader.
        connection = self._pubsub.connection if self._pubsub is not None else None
        if connection is not None and connection.is_connected:
            await connection.send_command(*command)
