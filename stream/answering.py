"""How long a node waits for Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import RedisError

from wire.errors import CommandError

__all__ = ["REDIS_TIMEOUT_SECONDS", "answering"]

REDIS_TIMEOUT_SECONDS = 10


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """What is done inside needs answers from Redis, within some seconds.

    Raises CommandError, reason `unavailable`, when they do not come.
    """
    try:
        async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
            yield
    except (RedisError, TimeoutError) as error:
        raise CommandError("unavailable", f"Redis is away: {error or 'silence'}") from None
