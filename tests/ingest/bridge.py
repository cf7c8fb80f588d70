"""A running bridge, devices that publish to it, and what it has left in Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import httpx
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from ingest.app import create_app
from ingest.settings import Settings
from tests.programs import eventually
from wire import keys
from wire.reading import Reading, decode_reading
from wire.store import parse_entry
from wire.urls import parse_mqtt

TOPIC = "fleets/berlin/v1/telemetry"


class Bridge:
    """A bridge in this process, asked over HTTP."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def ready(self) -> bool:
        """Whether it says that readings flow."""
        response = await self._http.get("/readyz")
        assert response.json()["ready"] is (response.status_code == 200) is ("why" not in response.json())
        return response.status_code == 200

    async def why(self) -> str:
        """Why it says that readings do not flow; empty when they do."""
        return str((await self._http.get("/readyz")).json().get("why", ""))

    async def healthy(self) -> bool:
        """Whether it says that it runs."""
        return (await self._http.get("/healthz")).status_code == 200

    async def count(self, name: str, **labels: str) -> int:
        """A counter of its metrics, summed over the labels that are not given."""
        return int(await self._sum(f"{name}_total", labels))

    async def gauge(self, name: str, **labels: str) -> float:
        """A gauge of its metrics, the same way."""
        return await self._sum(name, labels)

    async def _sum(self, name: str, labels: dict[str, str]) -> float:
        text = (await self._http.get("/metrics")).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"fleetwire_ingest_{name}" and labels.items() <= sample.labels.items()
        )


@asynccontextmanager
async def starting(mqtt_url: str, redis_url: str, **changes: Any) -> AsyncIterator[Bridge]:
    """A bridge that has just been started."""
    settings = Settings(mqtt_url=mqtt_url, redis_url=redis_url, **{"client_id": "bridge", "linger_ms": 1} | changes)
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://bridge") as http,
    ):
        yield Bridge(http)


@asynccontextmanager
async def running(mqtt_url: str, redis_url: str, **changes: Any) -> AsyncIterator[Bridge]:
    """A bridge that readings flow through."""
    async with starting(mqtt_url, redis_url, **changes) as bridge:
        await eventually(bridge.ready)
        yield bridge


@asynccontextmanager
async def device(mqtt_url: str, **options: Any) -> AsyncIterator[aiomqtt.Client]:
    """A device that is connected by MQTT 5."""
    address = parse_mqtt(mqtt_url)
    options = {"protocol": aiomqtt.ProtocolVersion.V5} | options
    async with aiomqtt.Client(address.host, address.port, **options) as client:
        yield client


async def publish(client: aiomqtt.Client, numbers: Iterable[int], topic: str = TOPIC, qos: int = 1) -> None:
    """A reading for each number, with the number as its `ts`, `seq` and only value."""
    for n in numbers:
        await client.publish(topic, payload(n), qos=qos)


def payload(n: int) -> bytes:
    return json.dumps({"ts": n, "seq": n, "values": {"n": n}}).encode()


async def logged(redis: Redis, topic: str = TOPIC) -> list[Reading]:
    """The readings in a topic's log."""
    return [decode_reading(parse_entry(fields)) for _, fields in await redis.xrange(keys.log(topic))]


async def numbers(redis: Redis, topic: str = TOPIC) -> list[int | None]:
    """The numbers in a topic's log."""
    return [reading.seq for reading in await logged(redis, topic)]


async def dead_letters(redis: Redis) -> list[dict[str, bytes]]:
    """The dead letters, by field."""
    found = await redis.xrange(keys.DEAD)
    return [{name.decode(): value for name, value in fields.items()} for _, fields in found]


async def flood(mqtt_url: str, messages: Sequence[tuple[str, bytes]], qos: int = 1) -> None:
    """Publish topics and payloads by MQTT 3.1.1 as fast as the broker takes them; at QoS 1 until it has them all."""
    address = parse_mqtt(mqtt_url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(_packet(0x10, _text("MQTT") + bytes((4, 2, 0, 60)) + _text(f"flood-{id(writer)}")))
    await reader.readexactly(4)
    for number, (topic, payload) in enumerate(messages):
        identifier = (number % 65_535 + 1).to_bytes(2) if qos else b""
        writer.write(_packet(0x30 | qos << 1, _text(topic) + identifier + payload))
        if number % 100 == 99:
            await writer.drain()
            await reader.readexactly(400 * qos)
    await reader.readexactly(len(messages) % 100 * 4 * qos)
    writer.write(b"\xe0\x00")
    writer.close()
    await writer.wait_closed()


def _packet(first: int, body: bytes) -> bytes:
    length, size = bytearray(), len(body)
    while size >= 128:
        length.append(size % 128 | 128)
        size //= 128
    return bytes((first, *length, size)) + body


def _text(text: str) -> bytes:
    return len(text).to_bytes(2) + text.encode()
