"""The files that are deployed, changed only where a test machine differs: ports, folders, the user."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.programs import Program, find, free_port, mosquitto

__all__ = ["ROOT", "Broker", "broker", "check", "edited", "listing", "services"]

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
def broker(folder: Path, changes: Mapping[str, str] | None = None, more: str = "") -> Iterator[Broker]:
    """The broker of docker-compose.yml, with its data in `folder`; `more` is put at the end of the configuration."""
    port, websocket_port = free_port(), free_port()
    text = edited(
        "mosquitto/mosquitto.conf",
        {
            "listener 1883": f"listener {port} 127.0.0.1",
            "listener 9001": f"listener {websocket_port} 127.0.0.1",
            "/mosquitto/data/": f"{folder}/",
            "/mosquitto/config/acl": f"{ROOT}/mosquitto/acl",
            **(changes or {}),
        },
    )
    config = folder / "mosquitto.conf"
    config.write_text(f"{text}\n{more}\nuser {getpass.getuser()}\n")
    with mosquitto(config, port) as server:
        yield Broker(port, websocket_port, server.program)
