"""The broker as it is deployed: the very mosquitto.conf and acl in a real mosquitto."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from ingest.payload import MAX_PAYLOAD_BYTES
from ingest.settings import Settings
from ingest.source import SESSION_EXPIRY_SECONDS
from tests.deploy.deployed import ROOT, Broker, broker, check, listing, services
from tests.programs import eventually, find, fleetwire, free_port

TELEMETRY = "fleets/berlin/v1/telemetry"


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Broker]:
    """The broker as docker-compose.yml starts it: open."""
    with broker(tmp_path) as running:
        yield running


@pytest.fixture
def passwords(tmp_path: Path) -> dict[str, str]:
    """Passwords by user name, made by the commands of the README, hashed in the file `passwords`."""
    find("mosquitto_passwd", package="mosquitto")
    shell(listing("sh", 0), tmp_path)
    return dict(line.split(":") for line in (tmp_path / "passwords.plain").read_text().split())


@pytest.fixture
def closed(tmp_path: Path, passwords: dict[str, str]) -> Iterator[Broker]:
    """The broker closed as the README says."""
    with broker(tmp_path, {**CLOSED, "/mosquitto/config/passwords": f"{tmp_path}/passwords"}) as running:
        yield running


CLOSED = {"allow_anonymous true": "allow_anonymous false", "#password_file": "password_file"}


def shell(commands: str, folder: Path) -> None:
    """Run the commands of a listing; they must all succeed."""
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", commands], cwd=folder, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


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


async def break_off(device: aiomqtt.Client) -> None:
    """Connect, and lose the connection without a goodbye."""
    with suppress(aiomqtt.MqttError):
        async with device:
            device._client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
            await take(device)


def user(passwords: dict[str, str], name: str) -> dict[str, Any]:
    return {"username": name, "password": passwords[name]}


async def test_a_device_publishes_under_its_own_name_only(closed: Broker, passwords: dict[str, str]) -> None:
    async with client(closed, **user(passwords, "bridge")) as bridge, client(closed, **user(passwords, "v1")) as v1:
        await bridge.subscribe("$share/fleetwire/fleets/#", qos=1)
        for topic in ("fleets/berlin/v2/telemetry", "fleets/berlin/v1/commands", "fleets/v1/v2/status", "other"):
            await v1.publish(topic, b"forged", qos=1)
        for kind in ("telemetry", "status", "alerts", "replies"):
            await v1.publish(f"fleets/berlin/v1/{kind}", kind, qos=1)
        assert await take(bridge, 4) == [b"telemetry", b"status", b"alerts", b"replies"]


async def test_a_device_cannot_leave_a_will_for_another(closed: Broker, passwords: dict[str, str]) -> None:
    async with client(closed, **user(passwords, "bridge")) as bridge:
        await bridge.subscribe("fleets/#", qos=1)
        for topic in ("fleets/berlin/v2/status", "fleets/berlin/v1/status"):
            await break_off(client(closed, **user(passwords, "v1"), will=aiomqtt.Will(topic, topic, qos=1)))
        assert await take(bridge) == [b"fleets/berlin/v1/status"]


async def test_a_device_reads_its_own_commands_only(closed: Broker, passwords: dict[str, str]) -> None:
    async with (
        client(closed, **user(passwords, "operator")) as operator,
        client(closed, **user(passwords, "v1")) as v1,
        client(closed, **user(passwords, "v2")) as v2,
    ):
        await v1.subscribe([("fleets/#", 1), ("fleets/berlin/v2/commands", 1), ("$SYS/#", 1)])
        await v2.publish("fleets/berlin/v2/telemetry", b"private", qos=1)
        await operator.publish("fleets/berlin/v2/commands", b"for v2", qos=1)
        await operator.publish("fleets/berlin/v1/commands", b"for v1", qos=1)
        assert await take(v1) == [b"for v1"]


async def test_an_operator_reads_replies_and_nothing_else(closed: Broker, passwords: dict[str, str]) -> None:
    async with (
        client(closed, **user(passwords, "operator")) as operator,
        client(closed, **user(passwords, "v1")) as v1,
    ):
        await operator.subscribe("fleets/#", qos=1)
        await v1.publish(TELEMETRY, b"reading", qos=1)
        await v1.publish("fleets/berlin/v1/replies", b"done", qos=1)
        assert await take(operator) == [b"done"]


@pytest.mark.parametrize("who", [{}, {"username": "v1"}, {"username": "v1", "password": "guessed"}])
async def test_strangers_stay_outside(closed: Broker, who: dict[str, Any]) -> None:
    with pytest.raises(aiomqtt.MqttError, match=r"(?i)not authori"):
        async with client(closed, **who):
            pass


async def test_the_bridge_is_ready_at_a_closed_broker(
    closed: Broker, passwords: dict[str, str], valkey_url: str
) -> None:
    port = str(free_port())
    url = closed.url.replace("//", f"//bridge:{passwords['bridge']}@")
    environment = services()["ingest"]["environment"] | {
        "FLEETWIRE_MQTT_URL": url,
        "FLEETWIRE_REDIS_URL": valkey_url,
        "FLEETWIRE_HOST": "127.0.0.1",
        "FLEETWIRE_METRICS_PORT": port,
    }
    with fleetwire("ingest", env={name: str(value) for name, value in environment.items()}):

        async def healthy() -> bool:
            return (await asyncio.to_thread(check, "ingest", {"9464": port})).returncode == 0

        assert await eventually(healthy)


async def test_a_certificate_is_a_user_name(tmp_path: Path, passwords: dict[str, str]) -> None:
    find("openssl", package="openssl")
    shell(listing("sh", 1), tmp_path)
    port = free_port()
    listener = listing("conf").replace("listener 8883", f"listener {port} 127.0.0.1")
    listener = listener.replace("/mosquitto/config/", f"{tmp_path}/")
    changes = {**CLOSED, "/mosquitto/config/passwords": f"{tmp_path}/passwords"}
    unknown = ssl.create_default_context(cafile=tmp_path / "ca.crt")
    known = ssl.create_default_context(cafile=tmp_path / "ca.crt")
    known.load_cert_chain(tmp_path / "v1.crt", tmp_path / "v1.key")
    with broker(tmp_path, changes, listener) as running:
        async with (
            client(running, **user(passwords, "bridge")) as bridge,
            aiomqtt.Client("localhost", port, tls_context=known) as v1,
        ):
            await bridge.subscribe("fleets/#", qos=1)
            await v1.publish("fleets/berlin/v2/telemetry", b"forged", qos=1)
            await v1.publish(TELEMETRY, b"mine", qos=1)
            assert await take(bridge) == [b"mine"]
        with pytest.raises(aiomqtt.MqttError):
            async with aiomqtt.Client("localhost", port, tls_context=unknown, timeout=2):
                pass


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
