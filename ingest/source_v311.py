"""The source for brokers that speak only MQTT 3.1.1, by aiomqtt."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import aiomqtt

from ingest.cancel import heed_cancellation
from ingest.metrics import Metrics
from ingest.settings import Settings
from ingest.source import KEEPALIVE_SECONDS, Arrivals, Received
from wire.clock import now_ms
from wire.errors import Unavailable

__all__ = ["SourceV311", "connect", "connect_options"]


def connect_options(settings: Settings) -> dict[str, Any]:
    """The part of an aiomqtt client's arguments that says where the broker is, and how to get in. Raises
    Unavailable when its files can't be read."""
    address = settings.address
    return {
        "hostname": address.host,
        "port": address.port,
        "username": address.username,
        "password": address.password,
        "tls_context": settings.tls,
    }


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """Takes every QoS 1 message, and QoS 0 ones while there is room.

    MQTT 3.1.1 has no receive maximum: the broker's own limit on messages under way bounds the QoS 1 ones.
    """

    def __init__(self, room: int, metrics: Metrics) -> None:
        super().__init__()
        self._room = room
        self._received = [metrics.received.labels(qos) for qos in (0, 1, 2)]
        self._dropped = metrics.dropped
        self.times: deque[int] = deque()  # when each of them came, epoch ms

    def put_nowait(self, item: aiomqtt.Message) -> None:
        self._received[item.qos].inc()
        if item.qos == 0 and self.qsize() >= self._room:
            self._dropped.inc()
        else:
            self.times.append(now_ms())
            super().put_nowait(item)


@asynccontextmanager
async def connect(settings: Settings, metrics: Metrics) -> AsyncIterator[SourceV311]:
    """A session on the shared subscription. Raises Unavailable when the broker refuses, is away, or goes away."""
    inbox = _Inbox(settings.inbox, metrics)
    client = aiomqtt.Client(
        identifier=settings.client_id,
        keepalive=KEEPALIVE_SECONDS,
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=False,
        queue_type=cast(type[asyncio.Queue[aiomqtt.Message]], lambda maxsize: inbox),
        **connect_options(settings),
    )
    source = SourceV311(client, inbox, settings)
    try:
        async with client:
            await client.subscribe([(filter, 1) for filter in settings.subscriptions])
            heed_cancellation()
            yield source
    except aiomqtt.MqttError as error:
        raise Unavailable(str(error)) from None


class SourceV311:
    """A connected session. Use `connect`."""

    resumed = True  # aiomqtt does not say; a broker that has lost the session repeats nothing

    def __init__(self, client: aiomqtt.Client, inbox: _Inbox, settings: Settings) -> None:
        self._client = client
        self._inbox = inbox
        self._batch = settings.batch
        self._linger = settings.linger_ms / 1000
        self._repeated: set[int] = set()
        paho = client._client
        paho.manual_ack_set(True)
        taken = paho.on_message

        def note_repeated(client: Any, userdata: Any, message: Any) -> None:
            if message.dup:
                self._repeated.add(message.mid)
            assert taken is not None
            taken(client, userdata, message)

        paho.on_message = note_repeated

    @property
    def waiting(self) -> int:
        return self._inbox.qsize()

    async def batches(self) -> AsyncIterator[Sequence[Arrivals]]:
        messages = self._client.messages
        while True:
            lost = None
            try:
                batch = [await anext(messages)]
            except aiomqtt.MqttError as error:
                batch, lost = [], error
            if self._inbox.qsize() < self._batch and lost is None:
                await asyncio.sleep(self._linger)
            while self._inbox.qsize() and (len(batch) < self._batch or lost):
                batch.append(self._inbox.get_nowait())
            yield [Arrivals(self._inbox.times.popleft(), [self._received(message)]) for message in batch]
            if lost:
                raise Unavailable(str(lost))

    def ack(self, batch: Sequence[Arrivals]) -> None:
        for _, messages in batch:
            for message in messages:
                if message.packet_id is not None:
                    self._client._client.ack(message.packet_id, 1)

    def _received(self, message: aiomqtt.Message) -> Received:
        assert isinstance(message.payload, bytes | bytearray)
        repeated = message.mid in self._repeated
        if repeated:
            self._repeated.discard(message.mid)
        return Received(
            message.topic.value,
            bytes(message.payload),
            message.retain,
            repeated,
            message.mid if message.qos else None,
        )
