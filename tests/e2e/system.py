"""A whole system for one test: bridges and nodes as processes, on the servers that the test was given."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from tests.conftest import Servers
from tests.programs import Program, eventually, fleetwire, free_port

__all__ = ["Service", "System", "get", "system"]


class Service(NamedTuple):
    """A bridge or node, and the port of its HTTP."""

    program: Program
    port: int

    @property
    def url(self) -> str:
        """Its WebSocket's URL, if it is a node."""
        return f"ws://127.0.0.1:{self.port}"


class System(NamedTuple):
    """What runs."""

    bridges: list[Service]
    nodes: list[Service]

    async def ready(self) -> None:
        """Wait until all of it is."""
        for service in (*self.bridges, *self.nodes):
            await eventually(lambda service=service: get(service.port, "/readyz"), 20)  # type: ignore[misc]


def get(port: int, path: str) -> str:
    """The text at a path, or nothing when the answer is an error or there is none."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        return str(response.read().decode())
    return ""


@contextmanager
def system(servers: Servers, *, bridges: int = 1, nodes: int = 1, options: tuple[str, ...] = ()) -> Iterator[System]:
    """Bridges that share the load, and nodes. `options` are for all of them."""
    with ExitStack() as stack:
        running = System([], [])
        for number in range(bridges):
            port = free_port()
            broker = ("--mqtt-url", servers.mqtt, "--client-id", f"bridge-{number}", "--metrics-port", str(port))
            program = stack.enter_context(fleetwire("ingest", *broker, "--redis-url", servers.redis, *options))
            running.bridges.append(Service(program, port))
        for _ in range(nodes):
            port = free_port()
            program = stack.enter_context(
                fleetwire("stream", "--port", str(port), "--redis-url", servers.redis, *options)
            )
            running.nodes.append(Service(program, port))
        yield running
