"""The store: each batch into the partitions that its topics are in, and receipts of where it came from."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from functools import partial

from ingest.memory import LOOK_SECONDS, Report
from ingest.metrics import Metrics
from ingest.presence import unknown
from ingest.receipts import RECEIPT_BYTES
from ingest.settings import Settings
from ingest.source import Message
from ingest.writer import Batch, Writer
from store.places import Places
from wire.partition import Partition

__all__ = ["Store"]


class Store:
    """Writes batches, in order. Use it as a context manager."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        places = Places(settings.redis_url, settings.redis_files)
        self._layout = places.layout
        self.writers = [Writer(places.redis(p), p, metrics, settings) for p in places.layout.partitions]
        self._home = self.writers[places.layout.of(settings.client_id).number]
        self._connected = metrics.connected.labels("redis")
        self._patience = [writer.patience for writer in self.writers]
        self._report = Report(metrics)
        self._lifetimes = AsyncExitStack()
        metrics.full.set_function(lambda: any(patience.full for patience in self._patience))

    async def __aenter__(self) -> Store:
        for writer in self.writers:
            await self._lifetimes.enter_async_context(writer)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._lifetimes.aclose()

    async def trouble(self) -> str | None:
        """Why nothing can be stored, if so."""
        answers = all(await asyncio.gather(*(writer.ping() for writer in self.writers)))
        self._connected.set(answers)
        if not answers:
            return "Redis does not answer"
        return next(filter(None, (patience.trouble for patience in self._patience)), None)

    async def watch(self) -> None:
        """Look at the memory of Redis every now and then, until cancelled."""
        while True:
            await asyncio.gather(*(patience.look() for patience in self._patience))
            self._report(patience.memory for patience in self._patience if patience.memory)
            await asyncio.sleep(LOOK_SECONDS)

    async def write(self, batch: Batch, receipts: bytes = b"") -> None:
        """Store the batch: returns when Redis has confirmed all of it.

        Where it goes into several partitions, each is given the batch's number, and the receipts follow when all of
        them have their share: a bridge that dies in between is sent the batch again.
        """
        if len(self.writers) == 1:
            await self._home.write(batch, receipts)
            return
        shares = self._shares(batch)
        async with asyncio.TaskGroup() as group:
            for partition, share in shares.items():
                group.create_task(self.writers[partition.number].write(share, receipts[:RECEIPT_BYTES]), name="write")
        if len(receipts) > RECEIPT_BYTES:
            await self._home.write(Batch([], []), receipts)

    async def receipts(self) -> bytes:
        """The receipts of this bridge's session, oldest first."""
        return await self._home.receipts()

    async def unknown(self, statuses: list[Message]) -> list[Message]:
        """Of retained statuses, those that say something else than the stored state does."""
        shares: defaultdict[Partition, list[Message]] = defaultdict(list)
        for status in statuses:
            shares[self._layout.of(status.topic)].append(status)
        found: list[Message] = []
        for partition, share in shares.items():
            writer = self.writers[partition.number]
            found += await writer.patiently(partial(unknown, writer.redis, partition, share))
        return found

    async def forget_receipts(self) -> None:
        """The session is a new one."""
        await self._home.forget_receipts()

    def _shares(self, batch: Batch) -> dict[Partition, Batch]:
        shares: defaultdict[Partition, Batch] = defaultdict(lambda: Batch([], []))
        for entry in batch.entries:
            shares[self._layout.of(entry.topic)].entries.append(entry)
        for letter in batch.dead:
            shares[self._layout.of(letter.topic)].dead.append(letter)
        return shares
