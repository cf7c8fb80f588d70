"""The archive: the logs of all shards, as `stream.past` reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from stream.logs import Entries, Reader
from stream.shard import Shard
from wire.partition import Layout

__all__ = ["Archive"]


class Archive:
    """A `stream.logs.Logs`. Raises redis.RedisError when Redis is away."""

    def __init__(self, layout: Layout, shards: Sequence[Shard]) -> None:
        self._layout = layout
        self._shards = shards

    async def topics(self, filter: str) -> list[str]:
        """The topics that a filter matches."""
        shards = [self._shards[partition.number] for partition in self._layout.matching(filter)]
        found = await asyncio.gather(*(shard.history.topics(filter) for shard in shards))
        return [name for names in found for name in names]

    async def complete(self, filter: str) -> int:
        """The id up to which the logs of what a filter matches have all that there will ever be."""
        shards = [self._shards[partition.number] for partition in self._layout.matching(filter)]
        if len(shards) == 1:
            return await shards[0].history.last()
        return min(await asyncio.gather(*(shard.history.complete() for shard in shards)))

    @asynccontextmanager
    async def reader(self, names: Iterable[str]) -> AsyncIterator[Reader]:
        """A reader of one's own for the logs of some topics."""
        numbers = sorted({self._layout.of(name).number for name in names})
        async with AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(self._shards[number].history.reader()) for number in numbers]
            yield _Reader(self._layout, dict(zip(numbers, opened, strict=True)))


class _Reader:
    """Asks the shard that a topic is in."""

    def __init__(self, layout: Layout, readers: dict[int, Reader]) -> None:
        self._layout = layout
        self._readers = readers

    def entries(self, topic: str, after: int, until: int, count: int) -> Awaitable[Entries]:
        return self._readers[self._layout.of(topic).number].entries(topic, after, until, count)

    def trimmed(self, topic: str, after: int) -> Awaitable[int]:
        return self._readers[self._layout.of(topic).number].trimmed(topic, after)
