"""The stream of waiting commands, as one consumer of its group sees it.

What a bridge has taken is its own as long as it refreshes it; a bridge that is gone is succeeded by another, or by
itself after a restart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ResponseError
from redis.typing import StreamIdT

from wire import keys
from wire.partition import Partition

__all__ = ["Queue", "Taken"]

T = TypeVar("T")

GROUP = "ingest"
IDLE_MS = 15_000  # what nobody has refreshed for so long is for others to claim


class Taken(NamedTuple):
    """An entry of the stream."""

    id: str
    fields: dict[bytes, bytes]


class Queue:
    """Raises redis.RedisError when Redis is away. The group is made where it is missing."""

    def __init__(self, redis: Redis, partition: Partition, consumer: str) -> None:
        self._redis = redis
        self._key = partition.key(keys.COMMANDS)
        self._consumer = consumer
        self._scanned = "0-0"  # how far others' entries were looked through

    async def read(self, count: int, block_ms: int) -> list[Taken]:
        """New commands, oldest first; waits for some, so long."""
        found = await self._grouped(
            lambda: self._redis.xreadgroup(GROUP, self._consumer, {self._key: ">"}, count, block_ms)
        )
        if not found:
            return []
        [(_, entries)] = found.items() if isinstance(found, dict) else found
        return _taken(entries)

    async def claim(self, count: int) -> list[Taken]:
        """Commands of a bridge that is gone: they are ours now."""
        answer: Any = await self._grouped(
            lambda: self._redis.xautoclaim(
                self._key, GROUP, self._consumer, IDLE_MS, start_id=self._scanned, count=count
            )
        )
        self._scanned = answer[0].decode()
        return _taken(answer[1])

    async def held(self, most: int) -> set[str]:
        """The ids of what is ours."""
        found: Any = await self._grouped(
            lambda: self._redis.xpending_range(self._key, GROUP, "-", "+", most, self._consumer)
        )
        return {entry["message_id"].decode() for entry in found}

    async def holds(self, ids: Iterable[str]) -> set[str]:
        """Those of them that are ours."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.xpending_range(self._key, GROUP, id, id, 1, self._consumer)
            found = await pipe.execute()
        return {entry["message_id"].decode() for entries in found for entry in entries}

    async def refresh(self, ids: Collection[str]) -> None:
        """Keep what is ours from being claimed."""
        if ids:
            wanted: list[StreamIdT] = [*ids]
            await self._redis.xclaim(self._key, GROUP, self._consumer, 0, wanted, justid=True)

    async def fetch(self, ids: Iterable[str]) -> list[Taken]:
        """The entries with these ids that are still there."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.xrange(self._key, id, id)
            found = await pipe.execute()
        return [taken for entries in found for taken in _taken(entries)]

    async def settle(self, ids: Iterable[str]) -> None:
        """Strike them out for good."""
        ids = tuple(ids)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(self._key, GROUP, *ids)
            pipe.xdel(self._key, *ids)
            await pipe.execute()

    async def _grouped(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
        try:
            await self._redis.xgroup_create(self._key, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another bridge was quicker
                raise
        return await call()


def _taken(entries: Any) -> list[Taken]:
    return [Taken(id.decode(), fields) for id, fields in entries if fields is not None]
