"""The broker as it is deployed: the very mosquitto.conf and acl in a real mosquitto."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from ingest.payload import MAX_PAYLOAD_BYTES
from ingest.settings import Settings
from ingest.source import SESSION_EXPIRY_SECONDS
from tests.deploy.deployed import ROOT, Broker, broker, check, listing, shell
from tests.programs import find

TELEMETRY = "fleets/berlin/v1/telemetry"


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Broker]:
    """The broker as docker-compose.yml starts it: open."""
    with broker(tmp_path) as running:
        yield running


def client(deployed: Broker, **options: Any) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", **{"port": deployed.port} | options)


def websocket_client(deployed: Broker) -> aiomqtt.Client:
    return client(deployed, port=deployed.websocket_port, transport="websockets")


async def take(connected: aiomqtt.Client, count: int = 1) -> list[bytes]:
    """The next messages, or a failure."""
    async with asyncio.timeout(20):
        messages = [await anext(connected.messages) for _ in range(count)]
    return [bytes(message.payload) for message in messages if isinstance(message.payload, bytes | bytearray)]


async def test_speaks_mqtt_over_tcp_and_over_websocket(deployed: Broker) -> None:
    async with client(deployed) as by_tcp, websocket_client(deployed) as by_websocket:
        await by_tcp.subscribe("fleets/+/v1/telemetry", qos=1)
        await by_websocket.subscribe("fleets/+/v2/telemetry", qos=1)
        await by_websocket.publish(TELEMETRY, b"from websocket", qos=1)
        await by_tcp.publish("fleets/berlin/v2/telemetry", b"from tcp", qos=1)
        assert await take(by_tcp) == [b"from websocket"]
        assert await take(by_websocket) == [b"from tcp"]


async def test_sessions_and_retained_messages_survive_a_restart(tmp_path: Path) -> None:
    absent: dict[str, Any] = {"identifier": "absent", "clean_session": False}
    with broker(tmp_path) as before:
        async with client(before, **absent) as subscriber:
            await subscriber.subscribe("fleets/#", qos=1)
        async with client(before) as device:
            await device.publish("fleets/berlin/v1/status", b"online", qos=1, retain=True)
            for number in range(3):
                await device.publish(TELEMETRY, str(number), qos=1)
        assert before.program.stop() == 0
    with broker(tmp_path) as after:
        async with client(after, **absent) as subscriber:
            assert await take(subscriber, 4) == [b"online", b"0", b"1", b"2"]
        async with client(after) as newcomer:
            await newcomer.subscribe("fleets/+/+/status")
            assert await take(newcomer) == [b"online"]


async def test_keeps_thousands_of_readings_for_a_bridge_that_is_away(deployed: Broker) -> None:
    absent: dict[str, Any] = {"identifier": "absent", "clean_session": False}
    expected = [str(number).encode() for number in range(5_000)]
    async with client(deployed, **absent) as bridge:
        await bridge.subscribe("$share/fleetwire/fleets/#", qos=1)
    async with client(deployed, max_inflight_messages=0, max_queued_outgoing_messages=0) as device:
        device.pending_calls_threshold = len(expected)
        async with asyncio.TaskGroup() as publishes:
            for payload in expected:
                publishes.create_task(device.publish(TELEMETRY, payload, qos=1))
    async with client(deployed, **absent) as bridge:
        assert await take(bridge, len(expected)) == expected


async def test_a_payload_too_big_for_the_bridge_reaches_it_all_the_same(deployed: Broker) -> None:
    payload = b"x" * (MAX_PAYLOAD_BYTES + 1)
    async with client(deployed) as bridge, websocket_client(deployed) as device:
        await bridge.subscribe("fleets/#", qos=1)
        await device.publish(TELEMETRY, payload, qos=1)
        assert await take(bridge) == [payload]


async def test_a_payload_beyond_reason_is_dropped(deployed: Broker) -> None:
    async with client(deployed) as bridge, client(deployed) as device:
        await bridge.subscribe("fleets/#", qos=1)
        await device.publish(TELEMETRY, b"x" * (4 * MAX_PAYLOAD_BYTES + 1), qos=1)
        await device.publish(TELEMETRY, b"next", qos=1)
        assert await take(bridge) == [b"next"]


def test_its_limits_agree_with_the_bridge() -> None:
    lines = (ROOT / "mosquitto" / "mosquitto.conf").read_text().splitlines()
    said = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    assert int(said["max_inflight_messages"]) == Settings().inbox
    assert said["persistent_client_expiration"] == f"{SESSION_EXPIRY_SECONDS // 86_400}d"
    assert int(said["message_size_limit"]) > MAX_PAYLOAD_BYTES


async def test_health_check_of_compose(deployed: Broker) -> None:
    find("mosquitto_sub", package="mosquitto-clients")
    options = ("-p", str(deployed.port))
    assert (await asyncio.to_thread(check, "mosquitto", {}, *options)).returncode == 0
    deployed.program.stop()
    assert (await asyncio.to_thread(check, "mosquitto", {}, *options)).returncode != 0


async def test_a_bridge_can_be_forgotten(deployed: Broker, tmp_path: Path) -> None:
    find("mosquitto_sub", package="mosquitto-clients")
    session = {"clean_session": False}
    share = "$share/fleetwire/fleets/#"
    async with client(deployed, identifier="fleetwire-ingest-2", **session) as leaving:
        await leaving.subscribe(share, qos=1)
    commands = listing("sh", 2).replace("mosquitto_sub", f"mosquitto_sub -p {deployed.port}")
    await asyncio.to_thread(shell, commands, tmp_path)
    async with client(deployed, identifier="fleetwire-ingest") as staying, client(deployed) as device:
        await staying.subscribe(share, qos=1)
        for number in range(4):
            await device.publish(TELEMETRY, str(number), qos=1)
        assert await take(staying, 4) == [b"0", b"1", b"2", b"3"]
