"""Real programs for tests: each on a free port of loopback, with a folder of its own, stopped by its own id."""

from __future__ import annotations

import asyncio
import getpass
import inspect
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar, overload

import pytest
import redis

from fleetwire.embedded import EmbeddedBroker, broker, free_port, valkey

__all__ = [
    "EmbeddedBroker",
    "Program",
    "Served",
    "broker",
    "eventually",
    "fleetwire",
    "free_port",
    "missing",
    "mosquitto",
    "nginx",
    "redis_server",
    "run",
    "valkey",
]

T = TypeVar("T")

PLACES = os.pathsep.join(
    (
        *(os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"),
        str(Path(sys.executable).parent),  # Debian has no `python`, but a python3
    )
)
START_SECONDS = 30.0  # on a machine where others work, too
STOP_SECONDS = 10.0


class Program:
    """A process that a test has started, and what it has written so far (stdout and stderr together)."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self._log.read_text("utf-8", "replace")

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = START_SECONDS) -> int:
        """Its exit status, once it ends by itself. Raises subprocess.TimeoutExpired when it does not."""
        return self.process.wait(timeout)

    def stop(self) -> int:
        """End it: politely, then by force. Returns the exit status."""
        if self.running:
            self.process.terminate()
            self.signal(signal.SIGCONT)  # one that was stopped would not hear it
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(STOP_SECONDS)
            self.process.kill()
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)


class Served(NamedTuple):
    """A program that accepts connections at `url`."""

    url: str
    program: Program


@contextmanager
def run(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Iterator[Program]:
    """A running program. Its folder (cwd) is a fresh one unless it is given."""
    with tempfile.TemporaryDirectory(prefix="fleetwire-test-") as folder:
        log = Path(folder, "output.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                env=None if env is None else dict(env),
                cwd=cwd or folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        program = Program(process, log)
        try:
            yield program
        finally:
            program.stop()


@contextmanager
def mosquitto(config: str | Path = "allow_anonymous true", port: int | None = None) -> Iterator[Served]:
    """A running mosquitto. A text gets a listener on `port` (or a free one) of loopback added, unless it has some;
    a path is used as it stands, and `port` says where its listener is."""
    program, port = find("mosquitto", package="mosquitto"), port or free_port()
    with tempfile.TemporaryDirectory(prefix="fleetwire-test-") as folder:
        if isinstance(config, str):
            lines = [f"user {getpass.getuser()}", config]
            if not any(line.startswith("listener ") for line in config.splitlines()):
                lines.insert(0, f"listener {port} 127.0.0.1")
            path = Path(folder, "mosquitto.conf")
            path.write_text("\n".join(lines) + "\n")
        else:
            path = config
        with run(program, "-c", path, cwd=path.parent) as running:
            wait_for_port(running, port)
            yield Served(f"mqtt://127.0.0.1:{port}", running)


@contextmanager
def redis_server(*args: str, port: int | None = None, folder: Path | None = None) -> Iterator[Served]:
    """A running redis-server with these arguments. It keeps nothing unless they say so; `folder` is where."""
    program, port = find("redis-server", package="redis-server"), port or free_port()
    local = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    with run(program, *local, *args, cwd=folder) as running:
        wait_for_port(running, port)
        with closing(redis.Redis(port=port)) as client:
            while not _answers(client):  # it may still be loading what it has kept
                time.sleep(0.01)
        yield Served(f"redis://127.0.0.1:{port}", running)


@contextmanager
def nginx(files: Mapping[str, str], main: str, port: int) -> Iterator[Served]:
    """A running nginx with these files, of which `main` is the configuration, which listens on `port`; as a user who
    is not root. Relative paths are of its own folder."""
    program = find("nginx", package="nginx-light")
    with tempfile.TemporaryDirectory(prefix="fleetwire-test-") as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text)
        Path(folder).chmod(0o777)
        options = ("-e", "stderr", "-p", folder, "-c", Path(folder, main), "-g", "daemon off;")
        with run(*_without_root(), program, *options, cwd=Path(folder)) as running:
            wait_for_port(running, port)
            yield Served(f"http://127.0.0.1:{port}", running)


def _without_root() -> tuple[str, ...]:
    return () if os.geteuid() else ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@contextmanager
def fleetwire(*args: str, env: Mapping[str, str] | None = None) -> Iterator[Program]:
    """`fleetwire ARGS` as a process of its own, in an empty folder, with just these FLEETWIRE_* variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FLEETWIRE_")}
    with run(sys.executable, "-m", "fleetwire", *args, env=clean | dict(env or {})) as program:
        yield program


def find(program: str, package: str) -> str:
    """Where a program is. Without it the test is skipped, or fails where CI says that it must be there."""
    return shutil.which(program, path=PLACES) or missing(f"{program} is not installed (Debian package {package})")


def missing(what: str) -> NoReturn:
    """Skip the test for want of something; fail it where CI=true says that everything is there."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def wait_for_port(program: Program, port: int) -> None:
    """Until the program accepts connections on a port of loopback. Fails with its output when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while program.running and time.monotonic() < deadline:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
            return
        time.sleep(0.01)
    pytest.fail(f"{program.process.args!r} does not listen on port {port}:\n{program.output}")


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.AuthenticationError:  # it wants a password first
        return True
    except redis.RedisError:
        return False


@overload
async def eventually(condition: Callable[[], Awaitable[T]], timeout: float = 30.0) -> T: ...


@overload
async def eventually(condition: Callable[[], T], timeout: float = 30.0) -> T: ...


async def eventually(condition: Callable[[], Any], timeout: float = 30.0) -> Any:
    """What the condition gives, once that is true. Fails when it stays false for `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"still {value!r} after {timeout} s: {_source(condition)}")
        await asyncio.sleep(0.01)


def _source(condition: Callable[[], object]) -> str:
    """What is waited for, as it is written, or as it is."""
    try:
        return inspect.getsource(condition).strip()
    except (TypeError, OSError):
        return repr(condition)
