"""What logs keep of each kind, said to a bridge and to a node as their settings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from fleetwire.client import open_connection
from tests.conftest import Servers
from tests.e2e.system import get
from tests.ingest.bridge import device
from tests.programs import eventually, fleetwire, free_port
from tests.stored import Stored
from tests.stored import stored as opened

KEPT = "telemetry=200:3600 rooms=300:3600"
MANY = 1_000
TEXT = "x" * 100
TELEMETRY, STATUS, ROOM = "fleets/berlin/v1/telemetry", "fleets/berlin/v1/status", "rooms/ops"


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Stored]:
    async with opened(servers.redis) as client:
        yield client


async def stored(redis: Stored, count: int) -> bool:
    return await redis.length(STATUS) == count


async def test_a_bridge_and_a_node_keep_of_each_kind_what_they_are_told(servers: Servers, redis: Stored) -> None:
    ports = free_port(), free_port()
    more = ("--redis-url", servers.redis, "--log-entries", "5000")
    with (
        fleetwire("ingest", "--mqtt-url", servers.mqtt, "--metrics-port", str(ports[0]), "--retention", KEPT, *more),
        fleetwire("stream", "--port", str(ports[1]), *more, env={"FLEETWIRE_RETENTION": KEPT}),
    ):
        for port in ports:
            await eventually(lambda port=port: get(port, "/readyz"), 20)  # type: ignore[misc]
        async with device(servers.mqtt) as client, open_connection(f"ws://127.0.0.1:{ports[1]}") as node:
            for start in range(1, MANY, 100):
                readings = [{"ts": n, "values": {"n": n, "text": TEXT}} for n in range(start, start + 100)]
                for topic in (TELEMETRY, STATUS):
                    await client.publish(topic, json.dumps(readings), qos=1)
                await asyncio.gather(*(node.request("publish", topic=ROOM, data=TEXT) for _ in range(100)))
            await eventually(lambda: stored(redis, MANY), 30)
    assert 200 <= await redis.length(TELEMETRY) < 500
    assert 300 <= await redis.length(ROOM) < 700
