"""docker-compose.yml without Docker: what it names exists, and what it says agrees with the programs."""

from __future__ import annotations

import ipaddress
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import typer.main
import yaml

from fleetwire.cli import app
from fleetwire.serve import GRACEFUL_SECONDS
from stream.settings import Settings
from tests.deploy.deployed import ROOT, services
from wire.urls import parse_mqtt

SERVICES = services()
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
NODES = {name: service for name, service in OURS.items() if service["command"][0] == "stream"}
NGINX = "".join((ROOT / "deploy" / "nginx" / name).read_text() for name in ("http.conf", "nginx.conf"))
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> Any:
    """Each service in turn."""
    return SERVICES[request.param]


@pytest.fixture(params=OURS)
def ours(request: pytest.FixtureRequest) -> Any:
    """Each service that runs one of our programs."""
    return OURS[request.param]


def published(name: str) -> dict[int, int]:
    """The ports of a service in its container, by the ports of the host."""
    ports = (mapping.rsplit(":", 2)[-2:] for mapping in SERVICES[name]["ports"])
    return {int(outside): int(inside) for outside, inside in ports}


def directives(name: str, text: str) -> list[str]:
    return re.findall(rf"^\s*{name} ([^\s;]+)", text, re.MULTILINE)


def test_all_parts_are_there() -> None:
    assert {"mosquitto", "valkey", "ingest", "stream-1", "stream-2", "nginx", "simulator"} <= set(SERVICES)
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["simulator"]


def test_images_are_pinned(service: Any) -> None:
    if "build" in service:
        assert (ROOT / service["build"] / "Dockerfile").is_file()
    assert re.fullmatch(r"[a-z/-]+:\d+\.\d+(\.\d+)?(-alpine)?", service["image"])


def test_every_service_says_whether_it_is_well(service: Any) -> None:
    check = service["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    assert service["restart"] == "unless-stopped"


def test_nobody_starts_before_what_they_need(service: Any) -> None:
    for name, need in service.get("depends_on", {}).items():
        assert need == {"condition": "service_healthy"}
        assert "profiles" not in SERVICES[name]
        assert "healthcheck" in SERVICES[name]


def test_files_and_volumes_exist(service: Any) -> None:
    named = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"]
    for volume in service.get("volumes", ()):
        source, _, place = volume.partition(":")
        if source.startswith("./"):
            assert (ROOT / source).exists()
            assert place.endswith(":ro")
        else:
            assert source in named


def test_containers_can_do_little(service: Any) -> None:
    assert service["read_only"] is True
    assert service["tmpfs"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(mapping.startswith("127.0.0.1:") for mapping in service.get("ports", ()))


def test_commands_and_variables_are_those_of_the_command_line(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name, *args = ours["command"]
    command, environment = COMMANDS[name], ours["environment"]
    assert set(environment) <= {parameter.envvar for parameter in command.params}
    for variable, value in environment.items():
        if value is not None:
            monkeypatch.setenv(variable, str(value))
    settings = command.make_context(name, args).params
    if "host" in settings:
        assert ipaddress.ip_address(settings["host"]).is_unspecified  # loopback would be the container's own
    assert settings["log_format"] == "json"


def test_addresses_name_services(ours: Any) -> None:
    environment = ours["environment"]
    if url := environment.get("FLEETWIRE_MQTT_URL"):
        address = parse_mqtt(url)
        assert address.host == "mosquitto"
        assert address.port in published("mosquitto").values()
        assert address.password is None
    if url := environment.get("FLEETWIRE_REDIS_URL"):
        assert url == "redis://valkey:6379"
    assert environment.get("FLEETWIRE_JWT_KEY") is None  # it comes from the environment, if it is set there


def test_programs_get_time_to_stop(ours: Any) -> None:
    assert int(ours["stop_grace_period"].removesuffix("s")) > GRACEFUL_SECONDS


def test_the_bridge_keeps_its_name() -> None:
    assert SERVICES["ingest"]["environment"]["FLEETWIRE_CLIENT_ID"]


def test_health_checks_ask_the_ports_that_are_listened_on() -> None:
    for service in NODES.values():
        assert f"127.0.0.1:{service['environment']['FLEETWIRE_PORT']}/readyz" in service["healthcheck"]["test"][-1]
    port = SERVICES["ingest"]["environment"]["FLEETWIRE_METRICS_PORT"]
    assert f"127.0.0.1:{port}/readyz" in SERVICES["ingest"]["healthcheck"]["test"][-1]
    assert f"127.0.0.1:{directives('listen', NGINX)[0]}/healthz" in SERVICES["nginx"]["healthcheck"]["test"][-1]


def test_valkey_refuses_rather_than_evicts() -> None:
    command = SERVICES["valkey"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--maxmemory"]


def test_mosquitto_listens_on_the_published_ports() -> None:
    listeners = directives("listener", (ROOT / "mosquitto" / "mosquitto.conf").read_text())
    assert published("mosquitto") == {int(port): int(port) for port in listeners} == {1883: 1883, 9001: 9001}


def test_nginx_knows_the_nodes() -> None:
    asked = {f"{name}:{node['environment']['FLEETWIRE_PORT']}" for name, node in NODES.items()}
    assert set(directives("server", NGINX)) - {"{"} == asked
    assert published("nginx") == {8000: int(directives("listen", NGINX)[0])}
    assert set(SERVICES["nginx"]["depends_on"]) == set(NODES)


def test_nodes_have_the_addresses_that_nginx_was_told() -> None:
    network = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["networks"]["default"]
    subnet = ipaddress.ip_network(network["ipam"]["config"][0]["subnet"])
    addresses = {name: node["networks"]["default"]["ipv4_address"] for name, node in NODES.items()}
    assert SERVICES["nginx"]["extra_hosts"] == addresses
    assert all(ipaddress.ip_address(address) in subnet for address in addresses.values())
    assert len(set(addresses.values())) == len(addresses)


def test_nginx_takes_what_a_node_takes() -> None:
    most = f"{Settings().frame_bytes // 1024}k"
    assert directives("client_max_body_size", NGINX) == directives("client_body_buffer_size", NGINX) == [most]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that somebody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_simulator_is_well_while_it_is_connected(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    code = SERVICES["simulator"]["healthcheck"]["test"][-1]
    assert f":{1883:04X} 01 " in code
    command = [sys.executable, "-c", code.replace(f":{1883:04X} ", f":{port:04X} ")]
    assert subprocess.run(command, check=False).returncode == 1
    with closing(socket.create_connection(("127.0.0.1", port))):
        assert subprocess.run(command, check=False).returncode == 0
