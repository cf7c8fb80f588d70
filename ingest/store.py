"""The store: batches go into Redis, each by one call of the script, however long Redis is away."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError
from redis.typing import EncodableT, FieldT

from ingest.backoff import Backoff
from ingest.link import Link
from ingest.metrics import Metrics
from ingest.receipts import KEPT_BYTES
from ingest.settings import Settings
from wire import keys
from wire.store import SCRIPT, Entry, Receipts, arguments

__all__ = ["Batch", "DeadLetter", "Store"]

T = TypeVar("T")

log = logging.getLogger("fleetwire.ingest.store")

SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
DEAD_LETTERS = 10_000
DEAD_LETTER_BYTES = 4_096
REGISTER_AGAIN_SECONDS = 60
ANSWER_SECONDS = 5


class DeadLetter(NamedTuple):
    """A payload that could not be read, or an entry that Redis refused."""

    topic: str
    reason: str
    detail: str
    payload: bytes


class Batch(NamedTuple):
    """What is stored together."""

    entries: list[Entry]
    dead: list[DeadLetter]


class Store:
    """Writes batches, in order. A batch is tried until Redis has it; nothing is given up."""

    def __init__(self, redis: Redis, link: Link, metrics: Metrics, settings: Settings) -> None:
        self._redis = redis
        self._link = link
        self._metrics = metrics
        self._retention = settings.retention
        self._client_id = settings.client_id
        self._registered: set[str] = set()  # topics whose vehicles need not be registered for a while
        self._register_again = 0.0
        self._connected = metrics.connected.labels("redis")

    async def ping(self) -> bool:
        """Whether Redis answers."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._redis.ping()
        except (RedisError, TimeoutError):
            self._connected.set(0)
            return False
        self._connected.set(1)
        return True

    async def write(self, batch: Batch, receipts: bytes = b"") -> None:
        """Store the batch, with receipts of where it came from: returns when Redis has confirmed it."""
        await self._until_done(lambda: self._write(batch, receipts))

    async def receipts(self) -> bytes:
        """The receipts of this bridge's session, oldest first."""
        return await self.patiently(self._load_receipts)

    async def forget_receipts(self) -> None:
        """The session is a new one."""
        await self.patiently(lambda: self._redis.delete(keys.session(self._client_id)))

    async def _load_receipts(self) -> bytes:
        found = await self._redis.get(keys.session(self._client_id))
        assert not isinstance(found, str)
        return found or b""

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call gives. Tried for ever, with backoff, while it raises RedisError or takes too long."""

        async def in_time() -> T:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await call()

        return await self._until_done(in_time)

    async def _until_done(self, call: Callable[[], Awaitable[T]]) -> T:
        backoff = Backoff()
        while True:
            try:
                found = await call()
            except (RedisError, TimeoutError) as error:
                delay = backoff.next()
                self._connected.set(0)
                self._metrics.disconnects.labels("redis").inc()
                self._registered.clear()  # Redis may come back empty
                log.warning("no answer from Redis: %s; again in %.1f s", error or "silence", delay)
                await asyncio.sleep(delay)
            else:
                self._connected.set(1)
                return found

    async def _write(self, batch: Batch, packed: bytes) -> None:
        started = time.perf_counter()
        # Registered before the first reading is stored: a crash in between leaves an empty name, never a
        # vehicle that no one can find.
        new = self._unregistered(batch.entries)
        if new or batch.dead:
            await self._note(new, batch.dead)
            self._registered |= new
        if batch.entries or packed:
            receipts = Receipts(self._client_id, packed, KEPT_BYTES) if packed else None
            names, args = arguments(batch.entries, self._retention, receipts)
            first, duplicates, *refused = await self._script(names, args)
            if not first:  # all of it was stored by a call whose answer was lost
                duplicates = 0
            if refused:
                await self._bury_refused(batch.entries, refused)
            if duplicates:
                self._metrics.redelivered.inc(duplicates)
            self._metrics.stored.inc(len(batch.entries) - duplicates - len(refused) // 2)
        self._metrics.store_seconds.observe(time.perf_counter() - started)

    async def _note(self, topics: set[str], dead: list[DeadLetter]) -> None:
        async with asyncio.timeout(ANSWER_SECONDS), self._redis.pipeline(transaction=False) as pipe:
            _register(pipe, topics)
            _bury(pipe, dead)
            await pipe.execute()

    async def _script(self, names: list[str], args: list[bytes | int]) -> Any:
        try:
            return await self._link.call("EVALSHA", SHA, len(names), *names, *args)
        except ResponseError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return await self._link.call("EVAL", SCRIPT, len(names), *names, *args)

    def _unregistered(self, entries: list[Entry]) -> set[str]:
        if (now := time.monotonic()) >= self._register_again:
            self._register_again = now + REGISTER_AGAIN_SECONDS
            self._registered.clear()
        return {entry.topic for entry in entries} - self._registered

    async def _bury_refused(self, entries: list[Entry], refused: list[int | bytes]) -> None:
        """Entries that Redis refused, such as those for a key of another type, become dead letters."""
        dead = []
        for place, why in zip(refused[::2], refused[1::2], strict=True):
            entry = entries[int(place)]
            detail = why.decode() if isinstance(why, bytes) else str(why)
            dead.append(DeadLetter(entry.topic, "refused", detail, entry.body))
            self._metrics.dead.labels("refused").inc()
        log.error("Redis refused %d of %d readings, the first: %s", len(dead), len(entries), dead[0].detail)
        await self._note(set(), dead)


def _register(pipe: Pipeline, topics: set[str]) -> None:
    vehicles: defaultdict[str, set[str]] = defaultdict(set)
    for topic in topics:
        _, fleet, vehicle, _ = topic.split("/")
        vehicles[fleet].add(vehicle)
    if vehicles:
        pipe.sadd(keys.FLEETS, *vehicles)
    for fleet, members in vehicles.items():
        pipe.sadd(keys.fleet(fleet), *members)


def _bury(pipe: Pipeline, dead: list[DeadLetter]) -> None:
    for letter in dead:
        fields: dict[FieldT, EncodableT] = {
            "topic": letter.topic[:512],
            "reason": letter.reason,
            "detail": letter.detail[:512],
            "payload": letter.payload[:DEAD_LETTER_BYTES],
        }
        pipe.xadd(keys.DEAD, fields, maxlen=DEAD_LETTERS, approximate=True)
