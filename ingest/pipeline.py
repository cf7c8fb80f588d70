"""The pipeline: source, decoder, store, acknowledgement. In order; one batch is decoded while another is stored."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Sequence

from ingest import source_v5, source_v311
from ingest.backoff import Backoff
from ingest.cancel import heed_cancellation
from ingest.decoder import Decoder
from ingest.metrics import Metrics
from ingest.presence import retained_statuses
from ingest.receipts import ReceiptBook, pack
from ingest.settings import Settings
from ingest.source import Arrivals, Source
from ingest.store import Store
from ingest.writer import Batch
from wire.clock import now_ms
from wire.errors import Unavailable

__all__ = ["Pipeline"]

log = logging.getLogger("fleetwire.ingest")


class Pipeline:
    """Runs for ever: connects, takes batches, stores, acknowledges; reconnects when either side goes away."""

    def __init__(self, settings: Settings, store: Store, decoder: Decoder, metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._decoder = decoder
        self._metrics = metrics
        self._book = ReceiptBook()
        self._held: deque[Sequence[Arrivals]] = deque()  # taken, and not stored yet
        self._source: Source | None = None
        self._subscribed = asyncio.Event()
        metrics.window.set(settings.inbox)
        metrics.waiting.set_function(self._waiting)
        metrics.oldest_seconds.set_function(self._oldest_seconds)

    @property
    def connected(self) -> bool:
        """Whether the broker has confirmed the subscription."""
        return self._source is not None

    async def subscribed(self) -> None:
        """Returns when it is connected: what is published from then on is heard."""
        await self._subscribed.wait()

    async def trouble(self) -> str | None:
        """Why readings do not flow, if they don't."""
        return await self._store.trouble() if self.connected else "the broker is not connected"

    async def run(self) -> None:
        """Until cancelled."""
        self._book.add(await self._store.receipts())
        connect = source_v5.connect if self._settings.mqtt_version == "5" else source_v311.connect
        backoff = Backoff()
        while True:
            try:
                async with connect(self._settings, self._metrics) as source:
                    backoff = Backoff()
                    self._attend(source)
                    log.info("connected to %s as %s", self._settings.address, self._settings.client_id)
                    await self._flow(source)
            except Unavailable as error:
                delay = backoff.next()
                log.warning("no broker at %s: %s; again in %.1f s", self._settings.address, error, delay)
                self._metrics.disconnects.labels("mqtt").inc()
            finally:
                self._attend(None)
            heed_cancellation()
            await asyncio.sleep(delay)

    def _attend(self, source: Source | None) -> None:
        self._source = source
        self._metrics.connected.labels("mqtt").set(source is not None)
        if source is None:
            self._subscribed.clear()
        else:
            self._subscribed.set()

    async def _flow(self, source: Source) -> None:
        if not source.resumed:
            self._book.clear()
            await self._store.forget_receipts()
        if self._settings.layout is None:
            await self._learn_presence()
        lost: Unavailable | None = None
        async with asyncio.TaskGroup() as group:
            storing: asyncio.Task[None] | None = None
            try:
                async for arrivals in source.batches():
                    self._held.append(arrivals)
                    batch, receipts = self._decode(arrivals), pack(arrivals, random.getrandbits(48))
                    if storing is not None:
                        await storing
                        storing = None
                    if source.waiting:  # the next batch is decoded meanwhile
                        storing = group.create_task(self._keep(source, arrivals, batch, receipts), name="store")
                    else:
                        await self._keep(source, arrivals, batch, receipts)
            except Unavailable as error:
                lost = error  # what is being stored is stored to its end
        if lost is not None:
            raise lost

    async def _learn_presence(self) -> None:
        try:
            statuses = await retained_statuses(self._settings)
            heed_cancellation()
        except Unavailable as error:
            # What the broker has sent before it went away is to be stored all the same.
            log.warning("the retained statuses are not known: %s", error)
        else:
            news = await self._store.unknown(statuses)
            await self._store.write(self._decoder.decode([Arrivals(now_ms(), news)]))

    def _decode(self, arrivals: Sequence[Arrivals]) -> Batch:
        self._metrics.batch.observe(sum(len(messages) for _, messages in arrivals))
        book = self._book
        fresh = [
            # mosquitto before 2.1 gives a shared subscription retained messages too: those are known by now.
            Arrivals(received, [m for m in messages if not (m.retain or (m.duplicate and book.holds(m)))])
            for received, messages in arrivals
        ]
        return self._decoder.decode(fresh)

    async def _keep(self, source: Source, arrivals: Sequence[Arrivals], batch: Batch, receipts: bytes) -> None:
        await self._store.write(batch, receipts)
        self._book.add(receipts)
        source.ack(arrivals)
        self._held.popleft()

    def _waiting(self) -> int:
        held = sum(len(messages) for arrivals in self._held for _, messages in arrivals)
        return held + (self._source.waiting if self._source else 0)

    def _oldest_seconds(self) -> float:
        return (now_ms() - self._held[0][0].received) / 1000 if self._held else 0.0
