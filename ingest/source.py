"""The source: one session with a broker, batches out of it, acknowledgements back into it.

A message of QoS 1 is acknowledged only when `ack` is called, which is after the store has it. The broker sends
at most `inbox` unacknowledged ones ahead (receive maximum), so a store that is away stops the flow at the
broker and loses nothing. What is QoS 0 and finds the inbox full is dropped and counted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.metrics import Metrics
from ingest.settings import Settings
from wire.urls import MqttAddress

__all__ = ["Message", "Source", "connect_options"]

Message = aiomqtt.Message

SESSION_EXPIRY_SECONDS = 7 * 24 * 3600
KEEPALIVE_SECONDS = 20


def connect_options(address: MqttAddress) -> dict[str, Any]:
    """The part of an aiomqtt client's arguments that an address decides."""
    return {
        "hostname": address.host,
        "port": address.port,
        "username": address.username,
        "password": address.password,
        "tls_context": ssl.create_default_context() if address.tls else None,
    }


class _Inbox(asyncio.Queue[Message]):
    """Takes every QoS 1 message (the receive maximum bounds them), and QoS 0 ones while there is room."""

    def __init__(self, room: int, metrics: Metrics) -> None:
        super().__init__()
        self._room = room
        self._dropped = metrics.dropped
        self._received = [metrics.received.labels(qos) for qos in (0, 1, 2)]

    def put_nowait(self, item: Message) -> None:
        self._received[item.qos].inc()
        if item.qos == 0 and self.qsize() >= self._room:
            self._dropped.inc()
        else:
            super().put_nowait(item)


class Source:
    """One connected session. Use `Source.connect`; iterate `batches`; `ack` each batch when it is stored."""

    def __init__(self, client: aiomqtt.Client, inbox: _Inbox, settings: Settings) -> None:
        self._client = client
        self._inbox = inbox
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def connect(cls, settings: Settings, metrics: Metrics) -> AsyncIterator[Source]:
        """A session on the shared subscription. Raises aiomqtt.MqttError when the broker can't be reached,
        refuses, or goes away."""
        inbox = _Inbox(settings.inbox, metrics)
        options = connect_options(settings.address)
        if settings.mqtt_version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_EXPIRY_SECONDS
            properties.ReceiveMaximum = settings.inbox
            options |= {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": False, "properties": properties}
        else:
            options |= {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": False}
        client = aiomqtt.Client(
            identifier=settings.client_id,
            keepalive=KEEPALIVE_SECONDS,
            queue_type=cast(type[asyncio.Queue[Message]], lambda maxsize: inbox),
            **options,
        )
        client._client.manual_ack_set(True)
        topics = settings.topics.filter if settings.topics else "fleets/#"
        async with client:
            await client.subscribe(f"$share/{settings.group}/{topics}", qos=1)
            yield cls(client, inbox, settings)

    async def batches(self) -> AsyncIterator[list[Message]]:
        """Batches of messages in order of arrival, by count and by time. Raises aiomqtt.MqttError when the
        broker goes away; what was not acknowledged comes again in the next session."""
        most, linger = self._settings.batch, self._settings.linger_ms / 1000
        messages = self._client.messages
        while True:
            batch = [await anext(messages)]
            if self._inbox.qsize() < most:
                await asyncio.sleep(linger)
            while len(batch) < most and not self._inbox.empty():
                batch.append(self._inbox.get_nowait())
            yield batch

    def ack(self, batch: Sequence[Message]) -> None:
        """Tell the broker that these are stored for good."""
        for message in batch:
            if message.qos:
                self._client._client.ack(message.mid, message.qos)
