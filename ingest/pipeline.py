"""The pipeline: source, decoder, store, acknowledgement. One batch at a time, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import aiomqtt
from redis.asyncio import Redis

from ingest.backoff import Backoff
from ingest.metrics import Metrics
from ingest.payload import decode_json
from ingest.presence import retained_statuses, unknown
from ingest.settings import Settings
from ingest.source import Message, Source
from ingest.state import Shapes
from ingest.store import Batch, DeadLetter, Store
from wire import topics
from wire.clock import now_ms
from wire.errors import PayloadError, TopicError
from wire.reading import encode
from wire.store import Entry

__all__ = ["Decoder", "Pipeline"]

log = logging.getLogger("fleetwire.ingest")


class Decoder:
    """From MQTT messages to what is stored: entries, and dead letters for what can't be read."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._layout = settings.topics
        self._metrics = metrics
        self._shapes = Shapes()
        self._topics: dict[str, str] = {}  # broker's name -> our topic

    def decode(self, messages: Sequence[Message], received: int) -> Batch:
        """The batch that these messages make. `received`: the arrival, epoch ms."""
        entries: list[Entry] = []
        dead: list[DeadLetter] = []
        for message in messages:
            name, payload = message.topic.value, message.payload
            assert isinstance(payload, bytes | bytearray)
            try:
                topic = self._topics.get(name) or self._topic(name)
                if topic is None:
                    continue
                for reading in decode_json(bytes(payload), received):
                    parts = self._shapes.parts(topic, reading)
                    entries.append(Entry(topic, encode(reading), reading.ts, parts))
            except (PayloadError, TopicError) as error:
                reason = error.reason if isinstance(error, PayloadError) else "bad_topic"
                self._metrics.dead.labels(reason).inc()
                dead.append(DeadLetter(name, reason, str(error), bytes(payload)))
        return Batch(entries, dead)

    def _topic(self, name: str) -> str | None:
        topic = self._layout.topic(name) if self._layout else name
        parsed = topics.parse(topic)
        if not isinstance(parsed, topics.Vehicle) or parsed.kind == "commands":
            # Commands go the other way: down to the devices.
            self._metrics.ignored.labels("commands").inc()
            return None
        if len(self._topics) < 1_000_000:
            self._topics[name] = topic
        return topic


class Pipeline:
    """Runs for ever: connects, takes batches, stores, acknowledges; reconnects when either side goes away."""

    def __init__(self, settings: Settings, redis: Redis, metrics: Metrics) -> None:
        self._settings = settings
        self._redis = redis
        self._metrics = metrics
        self._decoder = Decoder(settings, metrics)
        self._store = Store(redis, metrics, settings.retention)
        self.connected = False

    async def ready(self) -> bool:
        """Whether readings flow: the broker is connected, and Redis answers."""
        return self.connected and await self._store.ping()

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff()
        while True:
            try:
                async with Source.connect(self._settings, self._metrics) as source:
                    backoff = Backoff()
                    self._mark(connected=True)
                    log.info("connected to %s as %s", self._settings.address, self._settings.client_id)
                    await self._flow(source)
            except aiomqtt.MqttError as error:
                delay = backoff.next()
                log.warning("no broker at %s: %s; again in %.1f s", self._settings.address, error, delay)
                self._metrics.disconnects.labels("mqtt").inc()
            finally:
                self._mark(connected=False)
            await asyncio.sleep(delay)

    async def _flow(self, source: Source) -> None:
        if self._settings.topics is None:
            statuses = await retained_statuses(self._settings)
            await self._take(await self._store.patiently(lambda: unknown(self._redis, statuses)))
        async for messages in source.batches():
            # mosquitto before 2.1 gives a shared subscription retained messages too: those are known by now.
            await self._take([message for message in messages if not message.retain])
            source.ack(messages)

    async def _take(self, messages: Sequence[Message]) -> None:
        self._metrics.batch.observe(len(messages))
        await self._store.write(self._decoder.decode(messages, now_ms()))

    def _mark(self, *, connected: bool) -> None:
        self.connected = connected
        self._metrics.connected.labels("mqtt").set(connected)
