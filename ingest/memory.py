"""The memory of Redis: how much there is, how much is used, and whether what is stored stays when it is full."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import NamedTuple

from redis.asyncio import Redis

from ingest.metrics import Metrics

__all__ = ["LOOK_SECONDS", "TIGHT", "Memory", "Report", "look"]

log = logging.getLogger("fleetwire.ingest.memory")

LOOK_SECONDS = 15.0
ANSWER_SECONDS = 5
TIGHT = 0.8  # of what there may be


class Memory(NamedTuple):
    """Memory of one server, in bytes: used, and its maxmemory, 0 without one. `policy` is its maxmemory-policy."""

    server: str
    used: int
    most: int
    policy: str

    @property
    def tight(self) -> bool:
        """Whether there is little left."""
        return self.used > TIGHT * self.most > 0

    @property
    def evicts(self) -> bool:
        """Whether Redis drops what it has stored when it is full, rather than refuse more. By `volatile-…` it drops
        only what expires, and nothing of ours does."""
        return self.most > 0 and not self.policy.startswith(("noeviction", "volatile-"))


async def look(redis: Redis) -> Memory:
    """What the server says. Raises redis.RedisError or TimeoutError."""
    async with asyncio.timeout(ANSWER_SECONDS):
        connection = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_command("INFO", "memory")
            found = await redis.parse_response(connection, "INFO")
        finally:
            await redis.connection_pool.release(connection)
    server = getattr(connection, "path", None) or f"{connection.host}:{connection.port}"
    policy = found.get("maxmemory_policy", "noeviction")
    return Memory(server, found["used_memory"], found.get("maxmemory", 0), policy)


class Report:
    """Shows what was found, as metrics; says in the log what has become tight."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tight: set[str] = set()

    def __call__(self, memories: Iterable[Memory]) -> None:
        """Of all servers, some of them more than once."""
        found = {memory.server: memory for memory in memories}
        self._metrics.redis_used.clear()  # a server may be one no more
        self._metrics.redis_most.clear()
        for server, memory in found.items():
            self._metrics.redis_used.labels(server).set(memory.used)
            self._metrics.redis_most.labels(server).set(memory.most)
            if memory.tight and server not in self._tight:
                text = (
                    "Redis at %s has used more than %.0f %% of its %.1f MB (maxmemory): when it is full, it refuses"
                )
                log.warning(text, server, 100 * TIGHT, memory.most / 1e6)
        self._tight = {server for server, memory in found.items() if memory.tight}
