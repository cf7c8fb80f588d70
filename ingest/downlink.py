"""The way down: an MQTT connection that publishes to devices."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.backoff import Backoff
from ingest.cancel import heed_cancellation
from ingest.metrics import Metrics
from ingest.settings import Settings
from ingest.source import KEEPALIVE_SECONDS
from ingest.source_v311 import connect_options
from wire.errors import Unavailable

__all__ = ["PUBLISHES", "Downlink"]

log = logging.getLogger("fleetwire.ingest.downlink")

PUBLISHES = 100  # at once


class Downlink:
    """A connection of its own, made again whenever it breaks. `run` it; then publish."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._identifier = f"{settings.client_id}-commands"
        self._v5 = settings.mqtt_version == "5"
        self._properties = self._v5 and settings.command_properties
        self._disconnects = metrics.disconnects.labels("mqtt")
        self._client: aiomqtt.Client | None = None
        self._lost: asyncio.Future[None] | None = None
        self._connected = asyncio.Event()

    async def connected(self) -> None:
        """Returns when there is a connection."""
        await self._connected.wait()

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff()
        while True:
            try:
                async with self._connection() as client:
                    backoff = Backoff()
                    await self._attend(client)
            except (aiomqtt.MqttError, Unavailable) as error:
                delay = backoff.next()
                log.warning("no broker for commands at %s: %s; again in %.1f s", self._settings.address, error, delay)
                self._disconnects.inc()
                heed_cancellation()
                await asyncio.sleep(delay)

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        response_topic: str,
        correlation: bytes,
        expiry_s: int,
        content_type: str = "application/json",
    ) -> None:
        """Publish at QoS 1: returns when the broker has it. Without properties only topic and payload arrive.

        Raises Unavailable when the broker is away, or does not confirm it.
        """
        client, lost = self._client, self._lost
        if client is None or lost is None:
            raise Unavailable("no connection to the broker")
        properties = None
        if self._properties:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ResponseTopic = response_topic
            properties.CorrelationData = correlation
            properties.MessageExpiryInterval = expiry_s
            properties.ContentType = content_type
        publishing = asyncio.create_task(client.publish(topic, payload, qos=1, properties=properties))
        try:
            await asyncio.wait((publishing, lost), return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done():
                raise Unavailable("the connection to the broker was lost")
            publishing.result()
        except aiomqtt.MqttError as error:
            raise Unavailable(str(error)) from None
        finally:
            publishing.cancel()

    def post(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0, if there is a connection: for what will be asked for again."""
        if self._client is not None:
            self._client._client.publish(topic, payload)

    def _connection(self) -> aiomqtt.Client:
        options: dict[str, Any] = connect_options(self._settings)
        version = aiomqtt.ProtocolVersion.V5 if self._v5 else aiomqtt.ProtocolVersion.V311
        client = aiomqtt.Client(identifier=self._identifier, protocol=version, keepalive=KEEPALIVE_SECONDS, **options)
        client.pending_calls_threshold = 2 * PUBLISHES  # else it warns of more than ten
        return client

    async def _attend(self, client: aiomqtt.Client) -> None:
        heed_cancellation()
        self._client, self._lost = client, asyncio.get_running_loop().create_future()
        self._connected.set()
        try:
            async for _ in client.messages:  # nothing is subscribed; it raises when the connection is lost
                pass
        finally:
            self._connected.clear()
            self._client = None
            self._lost.set_result(None)
