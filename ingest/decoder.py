"""From MQTT messages to what is stored: entries, and dead letters for what can't be read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from ingest.metrics import Metrics
from ingest.replies import decode_reply
from ingest.routes import Routes
from ingest.settings import Settings
from ingest.source import Arrivals, Message
from ingest.state import Shapes
from ingest.writer import Batch, DeadLetter
from wire.errors import PayloadError, TopicError
from wire.reading import Reading, encode
from wire.store import Entry
from wire.topics import parse

__all__ = ["Decoder"]


class Decoder:
    """Decodes batches. `send` publishes to an MQTT topic what a payload asks for (Sparkplug's rebirth requests)."""

    def __init__(self, settings: Settings, metrics: Metrics, send: Callable[[str, bytes], None]) -> None:
        self._routes = Routes(settings.layout, send, lambda what: metrics.ignored.labels(what).inc())
        self._max_ahead = settings.max_ahead_ms
        self._metrics = metrics
        self._shapes = Shapes()

    def decode(self, arrivals: Iterable[Arrivals]) -> Batch:
        """The batch that these messages make."""
        entries: list[Entry] = []
        dead: list[DeadLetter] = []
        find, parts = self._routes.find, self._shapes.parts
        for received, messages in arrivals:
            latest = received + self._max_ahead
            for message in messages:
                name, payload = message.topic, message.payload
                try:
                    if name.endswith("/replies"):
                        entries.append(_reply(message, received))
                        continue
                    for topic, reading in find(name, message.content_type)(payload, received):
                        if reading.ts > latest:
                            reading = self._clamped(reading, received)
                        entries.append(Entry(topic, encode(reading), reading.ts, parts(topic, reading)))
                except (PayloadError, TopicError) as error:
                    reason = error.reason if isinstance(error, PayloadError) else "bad_topic"
                    self._metrics.dead.labels(reason).inc()
                    dead.append(DeadLetter(name, reason, str(error), payload))
        return Batch(entries, dead)

    def _clamped(self, reading: Reading, received: int) -> Reading:
        """A device's clock that is far ahead would keep its state for the time until then."""
        self._metrics.clamped.inc()
        return msgspec.structs.replace(reading, ts=received, clock="clamped")


def _reply(message: Message, received: int) -> Entry:
    parse(message.topic)
    return Entry(message.topic, encode(decode_reply(message.payload, message.correlation_data, received)))
