"""The writer of one partition: batches go into Redis, each by one call of the script, however long Redis is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError
from redis.typing import EncodableT, FieldT

from ingest.link import Link
from ingest.metrics import Metrics
from ingest.patience import Patience
from ingest.receipts import KEPT_BYTES
from ingest.settings import Settings
from store import lives
from wire import keys
from wire.ids import parse_id
from wire.partition import Partition
from wire.store import SCRIPT, SHA, Entry, Receipts, arguments

__all__ = ["Batch", "DeadLetter", "Writer"]

T = TypeVar("T")

log = logging.getLogger("fleetwire.ingest.store")

DEAD_LETTERS = 10_000
DEAD_LETTER_BYTES = 4_096
REGISTER_AGAIN_SECONDS = 60
ANSWER_SECONDS = 5
WAIT_MS = 1_000  # for replicas


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


class _Stored(NamedTuple):
    """What has become of a batch: how many were new, how many its logs had; on which connection, 0 for none."""

    new: int
    duplicates: int
    made: int


class Writer:
    """Writes batches, in order. A batch is tried until Redis has it; nothing is given up."""

    def __init__(self, redis: Redis, partition: Partition, metrics: Metrics, settings: Settings) -> None:
        self.redis = redis
        self.partition = partition
        self._link = Link(redis, self._begin)
        self._metrics = metrics
        self._settings = settings
        self._session = partition.key(keys.session(settings.client_id))
        self._registered: set[str] = set()  # topics whose vehicles need not be registered for a while
        self._register_again = 0.0
        self._given = 0  # the newest id that this bridge was given
        # A Redis that was away may come back empty.
        self.patience = Patience(redis, metrics, self._registered.clear)

    async def __aenter__(self) -> Writer:
        await self.redis.__aenter__()
        await self._link.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._link.__aexit__(*exc)
        await self.redis.aclose()

    async def ping(self) -> bool:
        """Whether Redis answers."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.redis.ping()
        except (RedisError, TimeoutError):
            return False
        return True

    async def write(self, batch: Batch, receipts: bytes = b"") -> None:
        """Store the batch, with receipts of where it came from: returns when Redis has confirmed it, and replicas."""
        until_done = self.patience.until_done
        while True:
            stored = await until_done(lambda: self._write(batch, receipts))
            if await until_done(partial(self._replicate, stored.made)):
                break
        if stored.duplicates:
            self._metrics.redelivered.inc(stored.duplicates)
        self._metrics.stored.inc(stored.new)

    async def receipts(self) -> bytes:
        """The receipts of this bridge's session, oldest first."""
        return await self.patiently(self._load_receipts)

    async def forget_receipts(self) -> None:
        """The session is a new one."""
        await self.patiently(lambda: self.redis.delete(self._session))

    async def _load_receipts(self) -> bytes:
        found = await self.redis.get(self._session)
        assert not isinstance(found, str)
        return found or b""

    async def _begin(self) -> None:
        """On each new connection, before anything is written there."""
        await self.patience.check()
        for loss in await lives.begin(self.redis, self.partition, self._given):
            if loss.certain and loss.after < self._given <= loss.until:
                log.error("Redis has lost what it stored after %s", lives.described(loss))
                self._given = 0

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call gives. Tried for ever, with backoff, while it raises RedisError or takes too long."""

        async def in_time() -> T:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await call()

        return await self.patience.until_done(in_time)

    async def _write(self, batch: Batch, packed: bytes) -> _Stored:
        started = time.perf_counter()
        if (memory := self.patience.memory) is None or memory.evicts:
            await self.patience.check()
        # Registered before the first reading is stored: a crash in between leaves an empty name, never a
        # vehicle that no one can find.
        new = self._unregistered(batch.entries)
        if new or batch.dead:
            await self._note(new, batch.dead)
            self._registered |= new
        duplicates, made = 0, 0
        refused: list[int | bytes] = []
        if batch.entries or packed:
            receipts = Receipts(self._settings.client_id, packed, KEPT_BYTES) if packed else None
            names, args = arguments(batch.entries, self._settings.retention, receipts, self.partition)
            first, duplicates, *refused = await self._script(names, args)
            if not first:  # all of it was stored by a call whose answer was lost
                duplicates = 0
            elif batch.entries:  # receipts by themselves are given no id
                self._given = parse_id(first) + len(batch.entries) - 1
            made = self._link.made
            if refused:
                await self._bury_refused(batch.entries, refused)
        self._metrics.store_seconds.observe(time.perf_counter() - started)
        return _Stored(len(batch.entries) - duplicates - len(refused) // 2, duplicates, made)

    async def _note(self, topics: set[str], dead: list[DeadLetter]) -> None:
        # A transaction, so that a Redis that is full refuses all of it.
        async with asyncio.timeout(ANSWER_SECONDS), self.redis.pipeline(transaction=True) as pipe:
            self._register(pipe, topics)
            self._bury(pipe, dead)
            await pipe.execute()

    async def _replicate(self, made: int) -> bool:
        """Until the replicas have what was written on that connection; False when it is gone, and nobody knows.
        Raises redis.RedisError when it takes them too long."""
        wanted = self._settings.replicas
        if not (wanted and made):
            return True
        have = await self._link.call("WAIT", wanted, WAIT_MS)
        if self._link.made != made:
            return False
        if have < wanted:
            raise RedisError(f"has {have} replicas that are up to date, of {wanted}")
        return True

    async def _script(self, names: list[str], args: list[bytes | int | str]) -> Any:
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
        await self.patience.until_done(lambda: self._note(set(), dead))

    def _register(self, pipe: Pipeline, topics: set[str]) -> None:
        key = self.partition.key
        vehicles: defaultdict[str, set[str]] = defaultdict(set)
        for topic in topics:
            _, fleet, vehicle, _ = topic.split("/")
            vehicles[fleet].add(vehicle)
        if vehicles:
            pipe.sadd(key(keys.FLEETS), *vehicles)
        for fleet, members in vehicles.items():
            pipe.sadd(key(keys.fleet(fleet)), *members)

    def _bury(self, pipe: Pipeline, dead: list[DeadLetter]) -> None:
        for letter in dead:
            fields: dict[FieldT, EncodableT] = {
                "topic": letter.topic[:512],
                "reason": letter.reason,
                "detail": letter.detail[:512],
                "payload": letter.payload[:DEAD_LETTER_BYTES],
            }
            pipe.xadd(self.partition.key(keys.DEAD), fields, maxlen=DEAD_LETTERS, approximate=True)
