"""A node for the browser client, and what is stored before it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from redis.asyncio import Redis

from tests.e2e.system import get
from tests.programs import Program, eventually, fleetwire, free_port
from tests.stream.nodes import Store

__all__ = ["Stream", "stream"]


class Stream(NamedTuple):
    """A node as a process. Use `stream`."""

    program: Program
    port: int
    store: Store

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def stream(redis_url: str, *options: str, port: int = 0) -> AsyncIterator[Stream]:
    """A node that is ready."""
    port = port or free_port()
    with fleetwire("stream", "--port", str(port), "--redis-url", redis_url, *options) as program:
        await eventually(lambda: get(port, "/readyz"), 20)
        async with Redis.from_url(redis_url) as redis:
            yield Stream(program, port, Store(redis))
