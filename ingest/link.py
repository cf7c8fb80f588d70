"""A link to Redis for small calls at any rate: made by redis-py, packed and read by hiredis alone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from hiredis import Reader, pack_command
from redis.asyncio import Connection, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from store.places import ELSEWHERE, taken_over

__all__ = ["Link"]

ANSWER_SECONDS = 5  # a connection is broken when an answer takes longer; it may be noticed after twice as long


class Link:
    """Calls in order, on one connection, which is made when there is none.

    redis-py makes it, then hands over its transport. `begin()` is called before anything is sent there.
    """

    def __init__(self, redis: Redis, begin: Callable[[], Awaitable[None]]) -> None:
        self._redis = redis
        self._begin = begin
        self._connection: Connection | None = None
        self._answers: _Answers | None = None
        self._connecting = asyncio.Lock()
        self.made = 0  # connections so far: tells whether two calls went over the same one

    async def __aenter__(self) -> Link:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._close()

    async def call(self, *command: str | bytes | int) -> Any:
        """What Redis answers. Raises redis.RedisError or TimeoutError: redis.ResponseError for a refusal; after any
        other error, nobody knows whether Redis has carried it out."""
        answers = self._answers
        if answers is None or answers.lost:
            answers = await self._connect()
        answer = await answers.to(pack_command(command))  # type: ignore[arg-type]
        if isinstance(answer, ResponseError):
            if str(answer).startswith(ELSEWHERE):
                answers.abort()
                raise RedisConnectionError(f"Redis says that it is elsewhere: {answer}")
            raise answer
        return answer

    async def _connect(self) -> _Answers:
        async with asyncio.timeout(ANSWER_SECONDS), self._connecting:
            if self._answers is None or self._answers.lost:
                await self._close()
                self._connection, transport = await taken_over(self._redis)
                answers = _Answers(transport)
                await self._begin()
                self._answers = answers
                self.made += 1
            return self._answers

    async def _close(self) -> None:
        if self._connection is not None:
            connection, self._connection, self._answers = self._connection, None, None
            await connection.disconnect(nowait=True)


class _Answers(asyncio.Protocol):
    """What comes on a connection, in the order of what is sent there."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(replyError=ResponseError)
        self._awaited: deque[asyncio.Future[Any]] = deque()
        self._watch: asyncio.Handle | None = None
        self.lost = False
        transport.set_protocol(self)

    def to(self, packed: bytes) -> asyncio.Future[Any]:
        """The answer to a command, which is sent. It gets redis.ConnectionError when the connection breaks."""
        answer = self._loop.create_future()
        self._awaited.append(answer)
        self._transport.write(packed)
        if self._watch is None:  # one for many calls: a time limit for each would be a tenth of what a call takes
            self._watch_over(answer)
        return answer

    def abort(self) -> None:
        """End it at once."""
        self.lost = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            awaited = self._awaited.popleft()
            if not awaited.done():
                awaited.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        self.lost = True
        if self._watch is not None:
            self._watch.cancel()
        for awaited in self._awaited:
            if not awaited.done():
                awaited.set_exception(RedisConnectionError(f"the connection was lost{f': {exc}' if exc else ''}"))

    def _watch_over(self, oldest: asyncio.Future[Any]) -> None:
        self._watch = self._loop.call_later(ANSWER_SECONDS, self._look, oldest)

    def _look(self, oldest: asyncio.Future[Any]) -> None:
        self._watch = None
        if self._awaited and self._awaited[0] is oldest:
            self._transport.abort()
        elif self._awaited:
            self._watch_over(self._awaited[0])
