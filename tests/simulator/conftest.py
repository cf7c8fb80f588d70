"""Brokers for the simulator's tests, and the folder of recorded tracks."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from iotcore import Broker

RUMQTTD = """
id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
    [v4.1.connections]
    connection_timeout_ms = 60000
    max_payload_size = 262144
    max_inflight_count = 100
    dynamic_filters = true
"""
MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
"""


@pytest.fixture
def free_port() -> int:
    """A port on 127.0.0.1 where nothing listens."""
    return _free_port()


@pytest.fixture(scope="session", params=["rumqttd", "mosquitto"])
def broker_port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a running broker: each test that asks for it runs against both kinds."""
    start = {"rumqttd": _rumqttd, "mosquitto": _mosquitto}[request.param]
    with start(tmp_path_factory.mktemp("broker")) as port:
        yield port


@pytest.fixture(scope="session")
def traces() -> Path:
    """The recorded tracks beside the repository."""
    folder = Path(__file__).parents[3] / "shared" / "traces"
    if not folder.is_dir():
        pytest.skip("the recorded tracks (../shared/traces) are not here")
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _rumqttd(folder: Path) -> Iterator[int]:
    port = _free_port()
    config = folder / "rumqttd.toml"
    config.write_text(RUMQTTD.format(port=port))
    with Broker(config_path=str(config)):
        yield port


@contextmanager
def _mosquitto(folder: Path) -> Iterator[int]:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    port = _free_port()
    config = folder / "mosquitto.conf"
    config.write_text(MOSQUITTO.format(port=port))
    with subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            _await_listener(process, port)
            yield port
        finally:
            process.terminate()


def _await_listener(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("mosquitto did not start")
