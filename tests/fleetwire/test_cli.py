"""The command line: what is wrong is said in one line, with exit status 2, and never with a traceback."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import typer

from fleetwire.cli import app, main
from fleetwire.client import open_connection
from simulator.city import City
from stream.auth import Authority
from stream.layer import read_layer
from stream.settings import Settings
from tests.programs import fleetwire, free_port, wait_for_port
from tests.stream.signing import private_pem, public_pem

COMMANDS = ("demo", "ingest", "stream", "simulate", "streets", "watch", "command", "verify", "token", "device")
OF_DEVICE = ("init", "add", "remove")


Called = Callable[..., tuple[int, str]]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Called:
    """The entry point, called with arguments: its exit status and what it said. In this process, where what comes to
    nothing before it begins takes a hundredth of the time."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["fleetwire", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code or 0, "".join(capfd.readouterr())  # type: ignore[return-value]

    return call


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on, but does not answer."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("demo --port {taken}", "port {taken} on 127.0.0.1 is taken"),
        ("demo --mqtt-port {taken} --port {free}", "port {taken} on 127.0.0.1 is taken"),
        ("stream --port {taken}", "port {taken} on 127.0.0.1 can't be used"),
        ("ingest --metrics-port {taken}", "port {taken} on 127.0.0.1 can't be used"),
        (
            "stream --map-layer /nowhere.geojson",
            "(FLEETWIRE_MAP_LAYER) can't be read: /nowhere.geojson: No such file",
        ),
        ("stream --workers 2 --map-layer {empty}", "(FLEETWIRE_MAP_LAYER) is no GeoJSON"),
        ("ingest --mqtt-url mqtts://x --mqtt-ca /x.crt", "(FLEETWIRE_MQTT_CA) can't be used: /x.crt: No such file"),
        ("ingest --devices /nowhere.txt", "(FLEETWIRE_DEVICES) can't be used: /nowhere.txt: No such file"),
        ("simulate --mqtt-url mqtt://127.0.0.1:{free} --vehicles 1", "MQTT broker not reachable"),
        ("simulate --gpx /nowhere.gpx", "/nowhere.gpx"),
        ("simulate --hz 0", "hz"),
        ("watch --url ws://127.0.0.1:{free}", "no node answers at ws://127.0.0.1:{free}"),
        ("watch --url http://x", "url must start with ws:// or wss://"),
        ("command rooms/x {{}}", "TOPIC must be fleets/FLEET/VEHICLE/commands"),
        ("command fleets/x {{}}", "TOPIC: not a topic"),
        ("command fleets/a/b/commands stop", "DATA must be a map in JSON"),
        ("command fleets/a/b/commands [1]", "DATA must be a map in JSON"),
        ("command fleets/a/b/commands {{}} --url ws://127.0.0.1:{free}", "no node answers at ws://127.0.0.1:{free}"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(command: str, said: str, taken: int) -> None:
    ports = {"taken": taken, "free": free_port(), "empty": "/dev/null"}
    with fleetwire(*command.format(**ports).split()) as program:
        assert program.wait(60) == 2, program.output
        output = program.output
    last = output.strip().splitlines()[-1]
    assert last.startswith("fleetwire: ")
    assert said.format(**ports) in last
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("demo --nodes 0", "--nodes must be 1 to 16"),
        ("stream --host 0.0.0.0", "--host (FLEETWIRE_HOST) can't be 0.0.0.0: without a key of tokens"),
        ("stream --jwt-keys nothing.pem", "(FLEETWIRE_JWT_KEYS) can't be read: nothing.pem: No such file"),
        ("stream --jwt-keys http://id.example/keys", "keys come by https://"),
        ("token --subject ops", "--jwt-key (FLEETWIRE_JWT_KEY) is needed to sign it, or --private-key"),
        ("token --subject ops --private-key nothing.pem", "can't be read: nothing.pem: No such file"),
        ("stream --jwt-key short", "(FLEETWIRE_JWT_KEY) must have at least 32 characters"),
        ("stream --node-name {long}", "(FLEETWIRE_NODE_NAME) must have 1 to 128 characters"),
        ("stream --tls-cert {empty} --tls-key {empty}", "(FLEETWIRE_TLS_CERT) and its key must be PEM"),
        ("stream --redis-url http://x", "(FLEETWIRE_REDIS_URL) can't be used"),
        ("ingest --redis-url nonsense", "(FLEETWIRE_REDIS_URL) can't be used"),
        ("ingest --mqtt-url http://x", "(FLEETWIRE_MQTT_URL) can't be used"),
        ("device add berlin/v1 --folder /nowhere", "/nowhere has no authority yet: fleetwire device init makes it"),
        ("device add bridge --bridge --password", "--bridge and --password do not go together"),
        ("ingest --batch 0", "(FLEETWIRE_BATCH) must be 1 to 5000"),
        ("ingest --layout fleets/x", "(FLEETWIRE_LAYOUT) can't be used"),
        ("ingest --retention status=1", "(FLEETWIRE_RETENTION) must look like KIND=ENTRIES:SECONDS"),
        ("stream --retention room=1:2", "(FLEETWIRE_RETENTION) knows telemetry,"),
        ("stream --log-age-s 0", "(FLEETWIRE_LOG_AGE_S) must be 1 to"),
        ("ingest --device-rate -1", "(FLEETWIRE_DEVICE_RATE) must be 0 to"),
        ("ingest --device-backlog-s 5", "(FLEETWIRE_DEVICE_BURST_S) must be 0 s or more, and at most"),
        ("ingest --reading-signals 513", "(FLEETWIRE_READING_SIGNALS) must be 1 to 512"),
        ("ingest --device-signals 5", "(FLEETWIRE_DEVICE_SIGNALS) must be --reading-signals to"),
        ("ingest --payload-bytes 1", "(FLEETWIRE_PAYLOAD_BYTES) must be 1024 to 262144"),
        ("ingest --replicas 9", "(FLEETWIRE_REPLICAS) must be 0 to 5"),
        ("verify --manifest /nowhere.json", "manifest /nowhere.json: No such file"),
    ],
)
def test_what_is_wrong_with_an_option_is_said_in_one_line(command: str, said: str, called: Called) -> None:
    status, output = called(*command.format(long="n" * 129, empty="/dev/null").split())
    assert status == 2
    [line] = output.splitlines()
    assert line.startswith("fleetwire: ")
    assert said in line


def test_a_bad_variable_is_named() -> None:
    with fleetwire("stream", env={"FLEETWIRE_PORT": "eighty"}) as program:
        assert program.wait(60) == 2
        assert "FLEETWIRE_PORT" in program.output
        assert "Traceback" not in program.output


def test_a_bad_filter_is_told_by_the_node_to_the_watcher(valkey_url: str) -> None:
    port = free_port()
    with fleetwire("stream", "--port", str(port), "--redis-url", valkey_url) as node:
        wait_for_port(node, port)
        with fleetwire("watch", "a/#/b", "--url", f"ws://127.0.0.1:{port}") as watcher:
            assert watcher.wait(60) == 2
            assert watcher.output.strip().splitlines()[-1].startswith("fleetwire: '#' may only be the last level")


async def test_a_node_is_called_by_host_and_port(valkey_url: str) -> None:
    port = free_port()
    with fleetwire("stream", "--port", str(port), "--redis-url", valkey_url) as node:
        wait_for_port(node, port)
        async with open_connection(f"ws://127.0.0.1:{port}") as connection:
            assert (await connection.request("ping"))["node"] == f"{socket.gethostname()}:{port}"


def test_the_streets_of_a_fleet_are_a_map_layer(tmp_path: Path) -> None:
    with fleetwire("streets", "--fleet", "paris", "--seed", "3") as program:
        assert program.wait(60) == 0
        path = tmp_path / "streets.geojson"
        path.write_text(program.output)
    assert msgspec.json.decode(read_layer(str(path))) == msgspec.to_builtins(City("paris", 3).streets())


async def test_a_token_is_signed_with_a_private_key(tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    private.write_bytes(private_pem("EdDSA"))
    public.write_bytes(public_pem("EdDSA"))
    asked = ("--subject", "ops", "--subscribe", "fleets/#", "--signal", "Speed", "--connections", "3")
    with fleetwire("token", "--private-key", str(private), *asked, "--audience", "fleetwire") as program:
        assert program.wait(60) == 0
        token = program.output.strip()
    grants = await Authority(Settings(jwt_keys=str(public)).keys(), "fleetwire").grants(token)
    assert (grants.subject, grants.subscribe, grants.publish) == ("ops", ("fleets/#",), ())
    assert (grants.signals, grants.limits.connections) == (("Speed",), 3)


@pytest.mark.parametrize("command", [*COMMANDS, *(f"device {name}" for name in OF_DEVICE)])
def test_help_has_an_example(command: str, called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    status, output = called(*command.split(), "--help")
    assert status == 0
    assert f"fleetwire {command}" in output
    assert "Example" in output


def test_every_command_of_the_design_is_there() -> None:
    group = typer.main.get_command(app)
    assert set(group.commands) == set(COMMANDS)  # type: ignore[attr-defined]
    assert set(group.commands["device"].commands) == set(OF_DEVICE)  # type: ignore[attr-defined]
