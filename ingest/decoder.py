"""From MQTT messages to what is stored: entries, and dead letters for what can't be read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from ingest.bucket import Bucket, Rate
from ingest.limits import Limits
from ingest.metrics import Metrics
from ingest.replies import decode_reply
from ingest.routes import Routes
from ingest.settings import Settings
from ingest.source import Arrivals, Message
from ingest.state import Shapes
from ingest.surplus import Surplus
from ingest.writer import Batch, DeadLetter
from wire.errors import PayloadError, TopicError
from wire.reading import Reading, encode
from wire.store import Entry
from wire.topics import parse

__all__ = ["Decoder"]


class Decoder:
    """Decodes batches, and lets nobody send more than he may.

    `send` publishes to an MQTT topic what a payload asks for (Sparkplug's rebirth requests). `let_in` says whether a
    topic is of somebody who is known; it raises TopicError for what is no device's topic.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        send: Callable[[str, bytes], None],
        let_in: Callable[[str], bool],
    ) -> None:
        self._routes = Routes(settings.layout, send, lambda what: metrics.ignored.labels(what).inc())
        self._max_ahead = settings.max_ahead_ms
        self._most_bytes = settings.payload_bytes
        self._metrics = metrics
        self._shapes = Shapes(settings.reading_signals, settings.device_signals)
        rate = Rate.of(settings.device_rate, settings.device_burst_s, settings.device_backlog_s)
        self._limits = Limits(rate, self._routes.topic, let_in)
        limit = f"more than {settings.device_rate:g} readings/s for more than {settings.device_burst_s:g} s"
        self._surplus = Surplus(limit, metrics)

    def known_anew(self) -> None:
        """Who is let in has changed."""
        self._limits.forget()

    def decode(self, arrivals: Iterable[Arrivals]) -> Batch:
        """The batch that these messages make."""
        batch = Batch([], [])
        entries = batch.entries
        find, parts, limits = self._routes.find, self._shapes.parts, self._limits
        of_name, of_topic, unknown, most_bytes = limits.of_name, limits.of_topic, limits.unknown, self._most_bytes
        cost = limits.rate.cost
        now = 0
        for received, messages in arrivals:
            latest, now = received + self._max_ahead, limits.now(received)
            for message in messages:
                name, payload = message.topic, message.payload
                bucket = of_name[name]
                if now < bucket.shut:  # the surplus of a flood is not even read
                    self._drop(bucket, name, payload, now, batch)
                    continue
                before = len(entries)
                try:
                    if bucket is unknown:
                        raise _unknown(name)
                    if len(payload) > most_bytes:
                        raise PayloadError("too_big", f"{len(payload)} bytes, at most {most_bytes} are read")
                    if name.endswith("/replies"):
                        entry = _reply(message, received)
                        if bucket.take(now, None, message.packet_id is not None):
                            entries.append(entry)
                        else:
                            self._drop(bucket, name, payload, now, batch)
                        continue
                    for topic, reading in find(name, message.content_type)(payload, received):
                        if topic != name and (bucket := of_topic[topic]) is unknown:
                            self._bury(bucket, topic, _unknown(topic), payload, now, batch)
                            continue
                        if reading.ts > latest:
                            reading = self._clamped(reading, received)
                        if bucket.came <= now:  # as `take` would say; 0.1 us for each call is spared
                            bucket.came = now + cost
                        elif not _taken(bucket, reading, message, now):
                            self._drop(bucket, topic, payload, now, batch)
                            continue
                        entries.append(Entry(topic, encode(reading), reading.ts, parts(topic, reading)))
                except (PayloadError, TopicError) as error:
                    del entries[before:]
                    self._bury(bucket, name, error, payload, now, batch)
        self._surplus.settle(now)
        return batch

    def _clamped(self, reading: Reading, received: int) -> Reading:
        """A device's clock that is far ahead would keep its state for the time until then."""
        self._metrics.clamped.inc()
        return msgspec.structs.replace(reading, ts=received, clock="clamped")

    def _bury(self, bucket: Bucket, topic: str, error: Exception, payload: bytes, now: int, batch: Batch) -> None:
        """A dead letter, unless too many come: it would wash away those of others."""
        if not bucket.take(now, None, False):
            self._drop(bucket, topic, payload, now, batch)
            return
        reason = error.reason if isinstance(error, PayloadError) else "bad_topic"
        self._metrics.dead.labels(reason).inc()
        batch.dead.append(DeadLetter(topic, reason, str(error), payload))

    def _drop(self, bucket: Bucket, topic: str, payload: bytes, now: int, batch: Batch) -> None:
        sample = self._surplus.drop(bucket, topic, payload, now)
        if sample is not None:
            batch.dead.append(sample)


def _taken(bucket: Bucket, reading: Reading, message: Message, now: int) -> bool:
    made = reading.ts if reading.clock == "device" else None
    return bucket.take(now, made, message.packet_id is not None)


def _unknown(topic: str) -> PayloadError:
    return PayloadError("unknown_device", f"the device of {topic[:140]} is not in the list")


def _reply(message: Message, received: int) -> Entry:
    parse(message.topic)
    return Entry(message.topic, encode(decode_reply(message.payload, message.correlation_data, received)))
