"""Commands of Redis over a connection of their own, and their replies as hiredis makes them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from stream.link import Link, open_link

__all__ = ["Pipe", "open_pipe"]

T = TypeVar("T")


class Pipe:
    """Asks at once and answers in order, so that Redis is at the next one while this one is worked on.

    An entry of a log costs 0.5 µs here, 0.9 µs through redis-py without its callbacks, which make it 2.5 µs.
    """

    def __init__(self) -> None:
        self._link: Link
        self._asked: deque[tuple[asyncio.Future[Any], Callable[[Any], Any]]] = deque()

    def ask(self, read: Callable[[Any], T], *command: str) -> asyncio.Future[T]:
        """What `read` makes of the reply, or raises; of an error of Redis's it is given the redis.ResponseError.

        The future raises redis.RedisError when the connection ends first."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.append((future, read))
        self._link.send(*command)
        if self._link.closed.done():
            self._give_up()
        return future

    def _take(self, replies: list[Any]) -> None:
        for reply in replies:
            future, read = self._asked.popleft()
            if future.done():  # who asked has gone
                continue
            try:
                future.set_result(read(ResponseError(str(reply)) if isinstance(reply, Exception) else reply))
            except Exception as error:
                _fail(future, error)

    def _give_up(self, closed: object = None) -> None:
        while self._asked:
            _fail(self._asked.popleft()[0], RedisError("Redis closed the connection"))


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # what was asked ahead may be awaited by nobody any more


@asynccontextmanager
async def open_pipe(redis: Redis) -> AsyncIterator[Pipe]:
    """A pipe to where the client points. Raises redis.RedisError, OSError or TimeoutError."""
    pipe = Pipe()
    async with open_link(redis, pipe._take) as pipe._link:
        pipe._link.closed.add_done_callback(pipe._give_up)
        yield pipe
