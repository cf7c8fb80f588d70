"""Where history and states are asked for: how much of it at once, and by how many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from stream.limits import Limits
from stream.metrics import Metrics
from wire.clock import now_ms
from wire.errors import CommandError
from wire.protocol import History
from wire.store import RETAINED, Retention

__all__ = ["Desk"]

WAIT_SECONDS = 10
QUEUES = {"page": 4, "download": 4, "state": 100}  # times as many as are served may wait

Kind = Literal["page", "download", "state"]


class Desk:
    """Serves so many pages, as many downloads, and as many states at once; none waits for another kind."""

    def __init__(self, limits: Limits, retention: Retention, metrics: Metrics) -> None:
        self._limits = limits
        self._retention = retention
        self._metrics = metrics
        self._places = {kind: _Places(limits.histories, queue) for kind, queue in QUEUES.items()}

    def check(self, asked: History) -> None:
        """Raises CommandError, reason `bad_request`, for more time than may be asked for at once. What is older than
        the logs keep does not count."""
        now, most = now_ms(), self._limits.history_s * 1000
        until = now if asked.to is None else min(asked.to, now)
        span = until - max(asked.from_, now - self._age(asked.topic))
        if most and span > most:
            said = f"{span // 1000} s are too much at once: ask for at most {most // 1000} s (from, to)"
            raise self._refused("history_s", "bad_request", said)

    def check_topics(self, asked: History, count: int) -> None:
        """Raises CommandError, reason `bad_request`, for more topics than may be asked for at once."""
        if 0 < self._limits.history_topics < count:
            most = self._limits.history_topics
            said = f"{count} topics are too many at once: ask for at most {most}, of one fleet or one kind"
            raise self._refused("history_topics", "bad_request", said)

    @asynccontextmanager
    async def place(self, kind: Kind) -> AsyncIterator[None]:
        """Wait for one's turn, and have it. Raises CommandError, reason `unavailable`, when too many wait, or when it
        takes too long."""
        places = self._places[kind]
        if not await places.enter():
            raise self._refused("histories", "unavailable", f"too many ask for a {kind}: try again")
        try:
            with self._metrics.histories.labels(kind).track_inprogress():
                yield
        finally:
            places.leave()

    def _age(self, filter: str) -> int:
        """The longest that the logs keep of what a filter matches, ms."""
        levels = filter.split("/")
        kind = "rooms" if levels[0] == "rooms" else levels[-1]
        kinds = [kind] if kind in RETAINED else RETAINED
        return max(self._retention.of(one).age_ms for one in kinds)

    def _refused(self, limit: str, reason: str, text: str) -> CommandError:
        self._metrics.refusals.labels(limit).inc()
        return CommandError(reason, text)


class _Places:
    """So many, and a queue before them; without a limit there are always some."""

    def __init__(self, count: int, queue: int) -> None:
        self._count = count
        self._queue = queue
        self._free = asyncio.Semaphore(count)
        self._waiting = 0

    async def enter(self) -> bool:
        if not self._count:
            return True
        if self._waiting >= self._queue * self._count:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def leave(self) -> None:
        self._free.release()
