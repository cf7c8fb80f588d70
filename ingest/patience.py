"""Patience with a Redis: what it does not take is tried again, for ever; and it is known why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ingest.backoff import Backoff
from ingest.memory import Memory, look
from ingest.metrics import Metrics

__all__ = ["Patience"]

T = TypeVar("T")

log = logging.getLogger("fleetwire.ingest.store")

AWAY = (RedisConnectionError, RedisTimeoutError, TimeoutError)
FULL = "is full (maxmemory)"


class Patience:
    """Of calls to one Redis. `lost()` is called when it does not answer.

    `memory` is what it last said of its own; None when that is not known."""

    def __init__(self, redis: Redis, metrics: Metrics, lost: Callable[[], None]) -> None:
        self._redis = redis
        self._lost = lost
        self._connected = metrics.connected.labels("redis")
        self._disconnects = metrics.disconnects.labels("redis")
        self._refusals: dict[object, str | None] = {}  # of calls that wait for another try; none when it is away
        self.memory: Memory | None = None

    @property
    def full(self) -> bool:
        """Whether Redis refuses to store, by its maxmemory."""
        return FULL in self._refusals.values()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be stored in a Redis that answers, if so."""
        why = next(filter(None, self._refusals.values()), None) or self._danger
        return self._said(why) if why else None

    async def until_done(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call gives. Tried with backoff while it raises RedisError or TimeoutError."""
        backoff = Backoff()
        try:
            while True:
                try:
                    found = await call()
                except (RedisError, TimeoutError) as error:
                    delay = backoff.next()
                    self._refusals[call] = self._complain(error, delay)
                    await asyncio.sleep(delay)
                else:
                    self._connected.set(1)
                    return found
        finally:
            self._refusals.pop(call, None)

    async def look(self) -> None:
        """Learn what memory there is."""
        try:
            self.memory = await look(self._redis)
        except (RedisError, TimeoutError):
            self.memory = None

    async def check(self) -> None:
        """Raises redis.RedisError when Redis would drop what is stored in it, once it is full."""
        self.memory = await look(self._redis)
        if self._danger:
            raise RedisError(self._danger)

    @property
    def _danger(self) -> str | None:
        if self.memory is None or not self.memory.evicts:
            return None
        return f"has the maxmemory-policy {self.memory.policy}, which drops what is stored; it must be noeviction"

    def _said(self, why: str) -> str:
        server = f" at {self.memory.server}" if self.memory else ""
        return f"nothing is acknowledged: Redis{server} {why}"

    def _complain(self, error: Exception, delay: float) -> str | None:
        """Why Redis, which answers, did not take it."""
        if isinstance(error, AWAY):
            self._connected.set(0)
            self._disconnects.inc()
            self._lost()
            log.warning("no answer from Redis: %s; again in %.1f s", error or "silence", delay)
            return None
        why = _why(error)
        log.error("%s; again in %.1f s", self._said(why), delay)
        return why


def _why(error: Exception) -> str:
    # redis-py takes the first word off the text, and makes a class of it.
    if isinstance(error, OutOfMemoryError) or str(error).startswith("OOM"):
        return FULL
    return f"refuses: {error}" if isinstance(error, ResponseError) else str(error)
