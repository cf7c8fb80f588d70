"""What Redis holds, wherever it is: at one server, under Sentinels or in a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from store.lives import begin
from store.places import Places
from wire import keys
from wire.partition import Partition

__all__ = ["Stored", "stored"]


class Stored:
    """Asks each partition for what is there. Use `stored`."""

    def __init__(self, places: Places) -> None:
        self._layout = places.layout
        self._redis = [places.redis(partition, retries=1) for partition in places.layout.partitions]

    def at(self, topic: str) -> tuple[Redis, Partition]:
        """Where a topic is."""
        partition = self._layout.of(topic)
        return self._redis[partition.number], partition

    async def length(self, topic: str) -> int:
        """How many entries its log has."""
        redis, partition = self.at(topic)
        return int(await redis.xlen(partition.key(keys.log(topic))))

    async def ids(self, topic: str) -> list[str]:
        """The ids in its log."""
        redis, partition = self.at(topic)
        return [id.decode() for id, _ in await redis.xrange(partition.key(keys.log(topic)))]

    async def lost(self) -> tuple[int, int]:
        """The one span that is known to be lost."""
        found = [loss for redis, partition in self._parts() for loss in await begin(redis, partition, 0)]
        [(after, until, _)] = [loss for loss in found if loss.certain]
        return after, until

    async def newest(self, topic: str) -> int:
        """The newest ts of its state, epoch ms; 0 without one."""
        redis, partition = self.at(topic)
        return int(await redis.hget(partition.key(keys.state(topic)), keys.NEWEST) or 0)  # type: ignore[misc]

    async def vehicles(self, fleet: str) -> set[str]:
        """The names of a fleet's vehicles."""
        found = [await redis.smembers(key(keys.fleet(fleet))) for redis, key in self._all()]
        return {name.decode() for names in found for name in names}

    async def clocks(self) -> list[bytes | None]:
        """The last ids given out."""
        return [await redis.get(key(keys.CLOCK)) for redis, key in self._all()]

    async def commands(self) -> int:
        """How many commands wait."""
        return sum([await redis.xlen(key(keys.COMMANDS)) for redis, key in self._all()])

    def _parts(self) -> list[tuple[Redis, Partition]]:
        return list(zip(self._redis, self._layout.partitions, strict=True))

    def _all(self) -> list[tuple[Redis, Any]]:
        return [(redis, partition.key) for redis, partition in self._parts()]


@asynccontextmanager
async def stored(url: str) -> AsyncIterator[Stored]:
    """What is stored at a URL."""
    found = Stored(Places(url))
    async with AsyncExitStack() as stack:
        for redis, _ in found._all():
            await stack.enter_async_context(redis)
        yield found
