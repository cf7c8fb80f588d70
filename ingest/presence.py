"""Presence that was there before the bridge: retained status messages.

A shared subscription gets no retained messages (MQTT 5, section 4.8.2), so a bridge that starts later than the
devices would not know who is online. At each connect it asks once, and stores what differs from the state.
"""

from __future__ import annotations

import asyncio

import aiomqtt
from redis.asyncio import Redis

from ingest.payload import decode_json
from ingest.settings import Settings
from ingest.source import Message, Received
from ingest.source_v311 import connect_options
from wire import keys
from wire.errors import PayloadError, Unavailable
from wire.ids import parse_id
from wire.partition import Partition
from wire.reading import Value, decode_reading
from wire.store import parse_state

__all__ = ["retained_statuses", "unknown"]

STATUS_FILTER = "fleets/+/+/status"
QUIET_SECONDS = 0.5
MOST_SECONDS = 20


async def retained_statuses(settings: Settings) -> list[Message]:
    """The retained status messages of all devices. Raises Unavailable when the broker is away or does not answer."""
    try:
        async with asyncio.timeout(MOST_SECONDS):  # aiomqtt may wait for ever when the broker dies at a bad moment
            return await _collect(settings)
    except TimeoutError:
        raise Unavailable(f"no end of them within {MOST_SECONDS} s") from None
    except aiomqtt.MqttError as error:
        raise Unavailable(str(error)) from None


async def _collect(settings: Settings) -> list[Message]:
    found: list[Message] = []
    async with aiomqtt.Client(**connect_options(settings), protocol=_version(settings)) as client:
        await client.subscribe(STATUS_FILTER, qos=0)
        messages = client.messages
        while True:
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    message = await anext(messages)
            except TimeoutError:
                return found
            if message.retain:  # the others are live, and come through the shared subscription
                assert isinstance(message.payload, bytes | bytearray)
                found.append(Received(message.topic.value, bytes(message.payload)))
            elif len(messages) == 0:
                return found


def _version(settings: Settings) -> aiomqtt.ProtocolVersion:
    return aiomqtt.ProtocolVersion.V5 if settings.mqtt_version == "5" else aiomqtt.ProtocolVersion.V311


async def unknown(redis: Redis, partition: Partition, statuses: list[Message]) -> list[Message]:
    """Those that say something else than the stored state does."""
    async with redis.pipeline(transaction=False) as pipe:
        for message in statuses:
            pipe.hgetall(partition.key(keys.state(message.topic)))
        states = await pipe.execute(raise_on_error=False)  # a key of another type: let the store refuse it
    return [
        message
        for message, state in zip(statuses, states, strict=True)
        if _differs(message, state if isinstance(state, dict) else {})
    ]


def _differs(message: Message, state: dict[bytes, bytes]) -> bool:
    try:
        readings = decode_json(message.payload, 0)
    except PayloadError:
        return False  # it became a dead letter when it was published
    known: dict[str, Value] = {}
    stored = [(decode_reading(body), parse_id(id)) for id, body in parse_state(state)]
    for reading, _ in sorted(stored, key=lambda pair: (pair[0].ts, pair[1])):
        known |= reading.values
    return any(known.get(name, ...) != value for reading in readings for name, value in reading.values.items())
