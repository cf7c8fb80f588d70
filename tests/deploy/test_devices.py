"""The broker for production, as it is shipped, in a real mosquitto; what `fleetwire device` makes for it; and the
real mosquitto_pub and mosquitto_sub, which try to get where they don't belong."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import yaml
from redis.asyncio import Redis
from typer.testing import CliRunner

from fleetwire.cli import app
from tests.deploy.deployed import ROOT, Production, check, edited, listing, production, services, shell
from tests.ingest import bridge as bridges
from tests.programs import eventually, find, fleetwire, free_port
from wire.clock import now_ms
from wire.command import Command
from wire.reading import encode
from wire.store import SCRIPT, Entry, Retention, arguments

PUB, SUB = (find(f"mosquitto_{name}", package="mosquitto-clients") for name in ("pub", "sub"))

DEVICES = ("berlin/v1", "berlin/v2", "munich/v1", "operator")


def device(folder: Path, *args: str) -> str:
    """`fleetwire device ARGS`: what it prints."""
    result = CliRunner().invoke(app, ["device", *args, "--folder", str(folder)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The credentials of devices, a program and a bridge, and a password of berlin/v3."""
    folder = tmp_path_factory.mktemp("made") / "certs"
    device(folder, "init", "--broker", "localhost", "--broker", "127.0.0.1")
    for name in DEVICES:
        device(folder, "add", name)
    device(folder, "add", "bridge", "--bridge")
    (folder / "password").write_text(device(folder, "add", "berlin/v3", "--password").strip())
    return folder


@pytest.fixture
def certs(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed by one test."""
    return Path(shutil.copytree(made, tmp_path / "certs"))


@pytest.fixture
def broker(tmp_path: Path, certs: Path) -> Iterator[Production]:
    with production(tmp_path, certs) as running:
        yield running


SESSION = ("-V", "5", "-x", "3600", "-c")


class Party:
    """Somebody with a credential: mosquitto_pub and mosquitto_sub with these options, which keep one session."""

    def __init__(self, id: str, *options: object) -> None:
        self._options = ("-i", id, *map(str, options))

    def publish(self, topic: str, message: str = "x", *more: str, version: str = "5") -> str:
        """What mosquitto_pub says to it: the reason code of the PUBACK is in it."""
        session = SESSION if version == "5" else ("-V", version)
        return self._run(PUB, *session, "-d", "-q", "1", "-t", topic, "-m", message, *more)[1]

    def subscribe(self, *topics: str) -> None:
        """A session that lasts: what comes from now on waits for `collect`."""
        options = [option for topic in topics for option in ("-t", topic)]
        status, output = self._run(SUB, *SESSION, "-q", "1", "-E", *options)
        assert status == 0, output

    def collect(self, count: int) -> list[str]:
        """The first messages that came for the session, as `topic payload`."""
        options = (*SESSION, "-q", "1", "-t", "none", "-C", str(count), "-W", "10", "-F", "%t %p")
        status, output = self._run(SUB, *options)
        assert status == 0, output
        return output.splitlines()

    def gets_in(self) -> bool:
        """Whether the broker answers CONNECT with yes."""
        return self._run(PUB, "-t", "none", "-m", "x")[0] == 0

    def _run(self, program: str, *args: str) -> tuple[int, str]:
        done = subprocess.run([program, *self._options, *args], capture_output=True, timeout=20, check=False)
        return done.returncode, (done.stdout + done.stderr).decode()


def anyone(broker: Production) -> Party:
    """Who sees all that has come in, and may say everything."""
    return Party("anyone", "-h", "127.0.0.1", "-p", broker.open_port)


def tls(certs: Path, port: int, *more: object) -> Party:
    return Party("somebody", "-h", "localhost", "-p", port, "--cafile", certs / "broker" / "ca.crt", *more)


def certified(certs: Path, port: int, credential: str) -> Party:
    path = certs / credential
    return tls(certs, port, "--cert", f"{path}.crt", "--key", f"{path}.key")


def vehicle(broker: Production, certs: Path, name: str) -> Party:
    """Who has the certificate of a device or a program."""
    return certified(certs, broker.certificate_port, f"devices/{name}")


def by_password(broker: Production, certs: Path, name: str, password: str) -> Party:
    return tls(certs, broker.password_port, "-u", name, "-P", password)


def passing(broker: Production, certs: Path) -> Party:
    """A bridge."""
    return certified(certs, broker.bridge_port, "bridges/bridge")


def reload(broker: Production) -> None:
    """Say HUP; returns when the broker has read its files anew."""
    before = broker.program.output.count("Reloading config")
    broker.program.signal(signal.SIGHUP)

    async def read() -> None:
        await eventually(lambda: broker.program.output.count("Reloading config") > before)

    asyncio.run(read())


OWN = [f"fleets/berlin/v1/{kind}" for kind in ("telemetry", "status", "alerts", "replies")]
FORBIDDEN = [
    "fleets/berlin/v2/telemetry",
    "fleets/berlin/v2/status",
    "fleets/berlin/v2/replies",
    "fleets/munich/v1/telemetry",
    "fleets/berlin/v1/commands",
    "fleets/berlin/v2/commands",
    "fleets/berlin/v1",
    "fleets/berlin/v1/other",
    "fleets/berlin/v1/telemetry/more",
    "fleets/berlin/v11/telemetry",
    "fleets//berlin/v1/telemetry",
    "/fleets/berlin/v1/telemetry",
    "Fleets/berlin/v1/telemetry",
    "berlin/v1/telemetry",
    "rooms/ops",
    "anything",
    "$share/fleetwire/fleets/berlin/v1/telemetry",
    "$CONTROL/dynamic-security/v1",
]
NOT_AUTHORISED = "RC:135"


def test_a_certificate_for_v1_publishes_under_its_own_name_only(broker: Production, certs: Path) -> None:
    everything, v1 = anyone(broker), vehicle(broker, certs, "berlin/v1")
    everything.subscribe("#", "$CONTROL/#")
    for topic in FORBIDDEN:
        assert NOT_AUTHORISED in v1.publish(topic, "forged", "-r"), topic
    for topic in FORBIDDEN[:5]:
        v1.publish(topic, "forged", version="311")  # which has no word for no
    for topic in OWN:
        assert "RC:0" in v1.publish(topic, "mine")
    assert everything.collect(len(OWN)) == [f"{topic} mine" for topic in OWN]


FILTERS = [
    "#",
    "+/+/+/+",
    "fleets/#",
    "fleets/+/+/commands",
    "fleets/berlin/+/commands",
    "fleets/berlin/v2/commands",
    "fleets/munich/v1/commands",
    "fleets/berlin/v1/#",
    "fleets/berlin/v1/telemetry",
    "rooms/#",
    "rooms/ops",
    "$SYS/#",
    "$SYS/broker/uptime",
    "$share/fleetwire/fleets/#",
    "$share/fleetwire/fleets/berlin/v2/commands",
    "$share/other/#",
]
PRIVATE = [
    "fleets/berlin/v2/commands",
    "fleets/munich/v1/commands",
    "fleets/berlin/v1/telemetry",
    "fleets/berlin/v2/telemetry",
    "rooms/ops",
    "anything",
]


def test_a_certificate_for_v1_reads_its_own_commands_only(broker: Production, certs: Path) -> None:
    everything, v1 = anyone(broker), vehicle(broker, certs, "berlin/v1")
    for topic in PRIVATE:
        everything.publish(topic, "retained", "-r")
    v1.subscribe(*FILTERS, "fleets/berlin/v1/commands")
    for topic in PRIVATE:
        everything.publish(topic, "live")
    assert "RC:0" in passing(broker, certs).publish("fleets/berlin/v1/commands", "mine")
    assert v1.collect(1) == ["fleets/berlin/v1/commands mine"]


def test_a_share_of_what_the_bridges_read_takes_nothing_from_a_bridge_that_is_alone(
    broker: Production, certs: Path
) -> None:
    bridge, v1 = passing(broker, certs), vehicle(broker, certs, "berlin/v1")
    bridge.subscribe("fleets/#")
    vehicle(broker, certs, "berlin/v2").subscribe("$share/fleetwire/fleets/#", "fleets/#")
    for number in "1234":
        v1.publish(OWN[0], number)
    assert bridge.collect(4) == [f"{OWN[0]} {number}" for number in "1234"]


def test_a_client_id_of_another_takes_no_session(broker: Production, certs: Path) -> None:
    """The client ids of bridges are theirs because nobody else is on their listener; that of a device is its name."""
    v1, v2, bridge = vehicle(broker, certs, "berlin/v1"), vehicle(broker, certs, "berlin/v2"), passing(broker, certs)
    v2.subscribe("fleets/berlin/v2/commands")
    bridge.subscribe("fleets/#")
    for id in ("berlin/v2", "somebody"):
        assert "RC:0" in v1.publish(OWN[0], "x", "-i", id)
    assert "RC:0" in anyone(broker).publish("fleets/berlin/v2/commands", "for v2")
    assert v2.collect(1) == ["fleets/berlin/v2/commands for v2"]
    assert bridge.collect(3) == [f"{OWN[0]} x"] * 2 + ["fleets/berlin/v2/commands for v2"]


async def test_a_device_leaves_no_will_for_another(broker: Production, certs: Path) -> None:
    context = ssl.create_default_context(cafile=certs / "broker" / "ca.crt")
    context.load_cert_chain(certs / "devices/berlin/v1.crt", certs / "devices/berlin/v1.key")
    everything = anyone(broker)
    everything.subscribe("#")
    for topic in ("fleets/berlin/v2/status", "rooms/ops", "fleets/berlin/v1/status"):
        will = aiomqtt.Will(topic, "gone", qos=1, retain=True)
        with suppress(aiomqtt.MqttError):
            async with aiomqtt.Client("localhost", broker.certificate_port, tls_context=context, will=will) as v1:
                v1._client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
                await anext(v1.messages)
    assert everything.collect(1) == ["fleets/berlin/v1/status gone"]


def test_a_password_gives_the_rights_of_its_name(broker: Production, certs: Path) -> None:
    everything, v3 = anyone(broker), by_password(broker, certs, "berlin/v3", (certs / "password").read_text())
    everything.subscribe("#")
    assert NOT_AUTHORISED in v3.publish("fleets/berlin/v1/telemetry", "forged")
    assert "RC:0" in v3.publish("fleets/berlin/v3/telemetry", "mine")
    assert everything.collect(1) == ["fleets/berlin/v3/telemetry mine"]
    v3.subscribe("fleets/#", "#")
    for name in ("v1", "v3"):
        assert "RC:0" in passing(broker, certs).publish(f"fleets/berlin/{name}/commands", name)
    assert v3.collect(1) == ["fleets/berlin/v3/commands v3"]


def test_a_gateway_carries_its_fleet_and_no_other(tmp_path: Path, certs: Path) -> None:
    device(certs, "add", "berlin/gateway")
    acl = tmp_path / "devices.acl"
    said = edited("mosquitto/devices.acl", {"#user berlin": "user berlin", "#topic ": "topic "})
    acl.write_text(said)
    with production(tmp_path, certs, acl=acl) as broker:
        gateway, everything = vehicle(broker, certs, "berlin/gateway"), anyone(broker)
        everything.subscribe("fleets/+/+/telemetry")
        assert NOT_AUTHORISED in gateway.publish("fleets/munich/v1/telemetry")
        assert NOT_AUTHORISED in gateway.publish("fleets/berlin/v1/commands")
        url, path = f"mqtts://localhost:{broker.certificate_port}", certs / "devices/berlin/gateway"
        files = ("--mqtt-ca", str(certs / "broker/ca.crt"), "--mqtt-cert", f"{path}.crt", "--mqtt-key", f"{path}.key")
        options = ("--gateway", "--vehicles", "2", "--hz", "20", "--seconds", "0.5", "--mqtt-url", url, *files)
        with fleetwire("simulate", *options) as simulator:
            assert simulator.wait(30) == 0, simulator.output
            sent = re.search(r"sent (\d+) readings", simulator.output)
        assert sent is not None
        assert len(everything.collect(int(sent[1]))) == int(sent[1]) > 0


def test_an_operator_commands_and_reads_replies(broker: Production, certs: Path) -> None:
    operator, v1 = vehicle(broker, certs, "operator"), vehicle(broker, certs, "berlin/v1")
    operator.subscribe("#")
    v1.subscribe("fleets/berlin/v1/commands")
    assert NOT_AUTHORISED in operator.publish(OWN[0])
    assert "RC:0" in operator.publish("fleets/berlin/v1/commands", "stop")
    assert v1.collect(1) == ["fleets/berlin/v1/commands stop"]
    assert "RC:0" in v1.publish("fleets/berlin/v1/telemetry", "reading")
    assert "RC:0" in v1.publish("fleets/berlin/v1/replies", "done")
    assert operator.collect(1) == ["fleets/berlin/v1/replies done"]


def test_a_bridge_passes_on_commands_and_nothing_else(broker: Production, certs: Path) -> None:
    bridge = passing(broker, certs)
    for topic in (*OWN, "rooms/ops", "fleets/berlin/commands"):
        assert NOT_AUTHORISED in bridge.publish(topic), topic


def test_strangers_stay_outside(broker: Production, certs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    device(other, "init", "--broker", "localhost")
    device(other, "add", "berlin/v1")
    password = (certs / "password").read_text()
    v1, bridge, elsewhere = "devices/berlin/v1", "bridges/bridge", other.absolute() / "devices/berlin/v1"
    doors = {
        broker.certificate_port: [
            tls(certs, broker.certificate_port),
            tls(certs, broker.certificate_port, "-u", "berlin/v3", "-P", password),
            certified(certs, broker.certificate_port, str(elsewhere)),
            certified(certs, broker.certificate_port, bridge),
            certified(certs, broker.certificate_port, "broker/server"),  # it is for servers only
        ],
        broker.password_port: [
            tls(certs, broker.password_port),
            certified(certs, broker.password_port, v1),
            by_password(broker, certs, "berlin/v3", "guessed"),
            by_password(broker, certs, "berlin/v1", password),
            tls(certs, broker.password_port, "-u", "berlin/v3"),
        ],
        broker.bridge_port: [
            tls(certs, broker.bridge_port),
            certified(certs, broker.bridge_port, v1),
            tls(certs, broker.bridge_port, "-u", "berlin/v3", "-P", password),
        ],
    }
    for port, strangers in doors.items():
        assert not Party(
            "stranger", "-h", "localhost", "-p", port, "-u", "berlin/v3", "-P", password
        ).gets_in()  # without TLS
        for position, stranger in enumerate(strangers):
            assert not stranger.gets_in(), (port, position)
    assert vehicle(broker, certs, "berlin/v1").gets_in()
    assert by_password(broker, certs, "berlin/v3", password).gets_in()
    assert passing(broker, certs).gets_in()


def test_old_tls_is_not_spoken(broker: Production, certs: Path) -> None:
    context = ssl.create_default_context(cafile=certs / "broker" / "ca.crt")
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    for port in (broker.certificate_port, broker.password_port, broker.bridge_port):
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            pytest.raises(ssl.SSLError, match=r"(?i)version"),
        ):
            context.wrap_socket(plain, server_hostname="localhost")


def test_what_is_removed_stays_outside(broker: Production, certs: Path) -> None:
    password = (certs / "password").read_text()
    parties = [
        vehicle(broker, certs, "berlin/v1"),
        by_password(broker, certs, "berlin/v3", password),
        passing(broker, certs),
    ]
    kept = certs / "kept"
    shutil.copytree(certs, kept)
    gone = [
        certified(kept, broker.certificate_port, "devices/berlin/v1"),
        by_password(broker, kept, "berlin/v3", password),
        certified(kept, broker.bridge_port, "bridges/bridge"),
    ]
    assert all(party.gets_in() for party in (*parties, *gone))
    for name in ("berlin/v1", "berlin/v3", "bridge"):
        device(certs, "remove", name)
    reload(broker)
    assert not any(party.gets_in() for party in gone)
    assert vehicle(broker, certs, "berlin/v2").gets_in()


def test_what_is_renewed_replaces_what_was(broker: Production, certs: Path) -> None:
    kept = Path(shutil.copytree(certs, certs / "kept"))
    old_password = (certs / "password").read_text()
    device(certs, "add", "berlin/v1", "--renew")
    password = device(certs, "add", "berlin/v3", "--password", "--renew").strip()
    device(certs, "init", "--renew", "--broker", "localhost")
    reload(broker)
    assert vehicle(broker, certs, "berlin/v1").gets_in()
    assert not certified(kept, broker.certificate_port, "devices/berlin/v1").gets_in()
    assert by_password(broker, certs, "berlin/v3", password).gets_in()
    assert not by_password(broker, certs, "berlin/v3", old_password).gets_in()


def test_what_waits_for_a_bridge_survives_a_reload_and_a_restart(tmp_path: Path, certs: Path) -> None:
    with production(tmp_path, certs) as before:
        passing(before, certs).subscribe("fleets/#")
        vehicle(before, certs, "berlin/v1").publish(OWN[0], "first")
        reload(before)
        vehicle(before, certs, "berlin/v1").publish(OWN[0], "after a reload")
        assert before.program.stop() == 0
    with production(tmp_path, certs, again=before) as after:
        vehicle(after, certs, "berlin/v1").publish(OWN[0], "after a restart")
        reload(after)
        vehicle(after, certs, "berlin/v1").publish(OWN[0], "last")
        expected = ["first", "after a reload", "after a restart", "last"]
        assert passing(after, certs).collect(4) == [f"{OWN[0]} {text}" for text in expected]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_the_bridge_works_with_its_certificate(
    version: Any, broker: Production, certs: Path, redis_client: Redis, valkey_url: str
) -> None:
    v1 = vehicle(broker, certs, "berlin/v1")
    v1.subscribe("fleets/berlin/v1/commands")
    v1.publish("fleets/berlin/v1/status", '{"values":{"connectionState":"ONLINE"}}', "-r")
    files = {
        "mqtt_ca": certs / "broker" / "ca.crt",
        "mqtt_cert": certs / "bridges" / "bridge.crt",
        "mqtt_key": certs / "bridges" / "bridge.key",
        "devices": certs / "devices.txt",
    }
    url = f"mqtts://localhost:{broker.bridge_port}"
    settings = {name: str(path) for name, path in files.items()} | {"mqtt_version": version, "group": ""}
    async with bridges.running(url, valkey_url, **settings):
        await asyncio.to_thread(v1.publish, OWN[0], '{"ts":1,"values":{"Speed":42}}')

        async def stored() -> bool:
            return [reading.values for reading in await bridges.logged(redis_client, OWN[0])] == [{"Speed": 42}]

        assert await eventually(stored)
        assert [reading.values for reading in await bridges.logged(redis_client, "fleets/berlin/v1/status")] == [
            {"connectionState": "ONLINE"}
        ]
        command = Entry("fleets/berlin/v1/commands", encode(Command(now_ms(), {"name": "stop"}, 60_000, "anna")))
        names, args = arguments([command], Retention())
        [id, *_] = await redis_client.register_script(SCRIPT)(keys=names, args=args)
        [heard] = await asyncio.to_thread(v1.collect, 1)
        topic, _, payload = heard.partition(" ")
        sent = json.loads(payload)
        assert (topic, sent["correlation"], sent["data"]) == (command.topic, id.decode(), {"name": "stop"})


class Compose(yaml.SafeLoader):
    """Knows Compose's own tag."""


Compose.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


@pytest.fixture
def override() -> Any:
    """The services of the README's docker-compose.override.yml, by name."""
    return yaml.load(listing("yaml"), Compose)["services"]


def test_the_readme_makes_what_is_needed(tmp_path: Path, override: Any) -> None:
    shell(listing("sh", 0), tmp_path)
    certs = tmp_path / "certs"
    with production(tmp_path, certs) as broker:
        v1, bridge = vehicle(broker, certs, "berlin/v1"), passing(broker, certs)
        v2 = by_password(broker, certs, "berlin/v2", (certs / "v2.password").read_text().strip())
        assert all(party.gets_in() for party in (v1, v2, bridge))
        _, program, *options = override["mosquitto"]["healthcheck"]["test"]
        changes = {
            "/mosquitto/config/certs": f"{certs}/broker",
            "8884": str(broker.password_port),
            "${HEALTH_PASSWORD}": (certs / "health.password").read_text().strip(),
            "$$": "$",
        }
        for old, new in changes.items():
            options = [option.replace(old, new) for option in options]
        assert subprocess.run([program, *options], capture_output=True, timeout=20, check=False).returncode == 0
        made, said = listing("sh", 1).rstrip().rsplit("\n", 1)
        assert said.startswith("docker compose kill -s HUP mosquitto ")
        shell(made, tmp_path)
        reload(broker)
        assert [party.gets_in() for party in (v1, v2, bridge)] == [False, False, True]


def test_the_readme_mounts_what_there_is(made: Path, override: Any) -> None:
    for service in override.values():
        for volume in service["volumes"]:
            source, place, mode = volume.split(":")
            assert (made.parent / source).exists() if source.startswith("./certs/") else (ROOT / source).is_file()
            assert mode == "ro"
            if place.startswith("/mosquitto/config/") and not source.endswith(".conf"):
                assert place in (ROOT / "mosquitto" / "production.conf").read_text()


async def test_the_bridge_of_the_readme_is_ready(
    broker: Production, certs: Path, override: Any, valkey_url: str
) -> None:
    port = str(free_port())
    environment = services()["ingest"]["environment"] | override["ingest"]["environment"]
    environment |= {"FLEETWIRE_REDIS_URL": valkey_url, "FLEETWIRE_HOST": "127.0.0.1", "FLEETWIRE_METRICS_PORT": port}
    changes = {
        "mosquitto:8885": f"localhost:{broker.bridge_port}",
        "/certs/ca.crt": f"{certs}/broker/ca.crt",
        "/certs/bridges": f"{certs}/bridges",
    }
    for old, new in changes.items():
        environment = {name: str(value).replace(old, new) for name, value in environment.items()}
    with fleetwire("ingest", env=environment):

        async def healthy() -> bool:
            return (await asyncio.to_thread(check, "ingest", {"9464": port})).returncode == 0

        assert await eventually(healthy, 20)


def test_it_is_the_demos_but_for_what_closes_it() -> None:
    """What mosquitto.conf explains about queues and what survives holds here, too."""
    demo, closed = (config(name) for name in ("mosquitto.conf", "production.conf"))
    about_doors = {"listener", "protocol", "acl_file", "allow_anonymous"}
    assert demo.keys() - about_doors <= closed.keys()
    assert {name: demo[name] for name in demo.keys() - about_doors} == {
        name: closed[name] for name in demo.keys() - about_doors
    }
    assert closed["allow_anonymous"] == ["false"] * len(closed["listener"])
    assert closed["tls_version"] == ["tlsv1.2"] * len(closed["listener"])


def config(name: str) -> dict[str, list[str]]:
    """The values of each setting of a configuration."""
    found: dict[str, list[str]] = {}
    for setting, value in re.findall(r"^(\w+) (.+)$", (ROOT / "mosquitto" / name).read_text(), re.MULTILINE):
        found.setdefault(setting, []).append(value)
    return found
