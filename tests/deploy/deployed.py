"""The files that are deployed, changed only where a test machine differs: ports, folders, the user."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.programs import Program, find, free_port, mosquitto

__all__ = [
    "ROOT",
    "Broker",
    "Production",
    "broker",
    "check",
    "edited",
    "edited_folder",
    "listing",
    "production",
    "services",
    "shell",
]

ROOT = Path(__file__).parents[2]


def services() -> dict[str, Any]:
    """The services of docker-compose.yml, by name."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def edited(path: str, changes: Mapping[str, str]) -> str:
    """The text of a deployed file with these changes. Each must have something to change."""
    text = (ROOT / path).read_text()
    for old, new in changes.items():
        assert old in text, f"{path} has no {old!r}"
        text = text.replace(old, new)
    return text


def edited_folder(path: str, changes: Mapping[str, str]) -> dict[str, str]:
    """The texts of a deployed folder's files, by name, with these changes. Each must have something to change."""
    found = {file.name: file.read_text() for file in (ROOT / path).iterdir()}
    for old, new in changes.items():
        assert any(old in text for text in found.values()), f"{path} has no {old!r}"
        found = {name: text.replace(old, new) for name, text in found.items()}
    return found


def check(service: str, changes: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[bytes]:
    """Run a service's health check as Compose would, on this machine. `options` come after the program's name."""
    kind, program, *args = services()[service]["healthcheck"]["test"]
    assert kind == "CMD"
    for old, new in changes.items():
        assert any(old in arg for arg in args), f"the health check of {service} has no {old!r}"
        args = [arg.replace(old, new) for arg in args]
    command = [find(program, package=f"{program} of the image"), *options, *(arg.replace("$$", "$") for arg in args)]
    return subprocess.run(command, capture_output=True, timeout=10, check=False)


def listing(language: str, position: int = 0) -> str:
    """One of the listings of mosquitto/README.md in this language, by its position among them."""
    text = (ROOT / "mosquitto" / "README.md").read_text()
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return found[position]


def shell(commands: str, folder: Path) -> None:
    """Run the commands of a listing in a folder; they must all succeed."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    command = ["/bin/bash", "-euo", "pipefail", "-c", commands]
    environment = os.environ | {"PATH": places}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()


class Broker(NamedTuple):
    """A mosquitto that runs with the deployed configuration."""

    port: int
    websocket_port: int
    program: Program

    @property
    def url(self) -> str:
        """What a bridge calls it."""
        return f"mqtt://127.0.0.1:{self.port}"


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """The broker of docker-compose.yml, with its data in `folder`."""
    port, websocket_port = free_port(), free_port()
    text = edited(
        "mosquitto/mosquitto.conf",
        {
            "listener 1883": f"listener {port} 127.0.0.1",
            "listener 9001": f"listener {websocket_port} 127.0.0.1",
            "/mosquitto/data/": f"{folder}/",
            "/mosquitto/config/acl": f"{ROOT}/mosquitto/acl",
        },
    )
    config = folder / "mosquitto.conf"
    config.write_text(f"{text}\nuser {getpass.getuser()}\n")
    with mosquitto(config, port) as server:
        yield Broker(port, websocket_port, server.program)


class Production(NamedTuple):
    """A mosquitto that runs with the configuration for production. The ports are those of its listeners: for devices
    with a certificate and with a password, for bridges, and one that is only here, without TLS, where everybody may
    do everything: it shows what has really come in."""

    certificate_port: int
    password_port: int
    bridge_port: int
    open_port: int
    program: Program


@contextmanager
def production(
    folder: Path, certs: Path, again: Production | None = None, acl: Path = ROOT / "mosquitto" / "devices.acl"
) -> Iterator[Production]:
    """The broker of production.conf, with its data in `folder`, in `certs` what `fleetwire device` has made, and
    `acl` for devices; on the ports of one that ran before, to start it `again`."""
    ports = again[:4] if again else tuple(free_port() for _ in range(4))
    devices, passwords, bridges, opened = ports
    text = edited(
        "mosquitto/production.conf",
        {
            "listener 8883": f"listener {devices} 127.0.0.1",
            "listener 8884": f"listener {passwords} 127.0.0.1",
            "listener 8885": f"listener {bridges} 127.0.0.1",
            "/mosquitto/data/": f"{folder}/",
            "/mosquitto/config/certs/": f"{certs}/broker/",
            "/mosquitto/config/devices.acl": str(acl),
            "/mosquitto/config/": f"{ROOT}/mosquitto/",
        },
    )
    config = folder / "production.conf"
    more = f"listener {opened} 127.0.0.1\nallow_anonymous true\nuser {getpass.getuser()}\nlog_type information"
    config.write_text(f"{text}\n{more}\n")
    with mosquitto(config, opened) as server:
        yield Production(*ports, server.program)
