"""Parts of the system as processes: started, waited for, and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from wire.errors import Unavailable

__all__ = ["Part", "Servers", "cpu_seconds", "part", "program", "ready", "servers"]

STOP_SECONDS = 15
READY_SECONDS = 30


class Part(NamedTuple):
    """One running process, and the file with what it says."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


class Servers(NamedTuple):
    """Addresses of the embedded broker (its two ports) and Valkey, and the process that holds them."""

    mqtt: int
    mqtt5: int
    redis: str
    pid: int


@asynccontextmanager
async def servers(*mqtt_ports: int) -> AsyncIterator[Servers]:
    """The embedded servers, the broker on the first of these ports that is free. Raises Unavailable when they do not
    start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fleetwire.embedded", *map(str, mqtt_ports)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said: dict[str, Any] = json.loads(await process.stdout.readline() or '{"error": "it ended at once"}')
        if "error" in said:
            raise Unavailable(said["error"])
        yield Servers(pid=process.pid, **said)
    finally:
        process.stdin.close()
        await _ended(process)


@asynccontextmanager
async def program(
    name: str, *command: str | Path, logs: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AsyncIterator[Part]:
    """A process with its output in a file; SIGTERM ends it. Variables and folder are ours unless they are given."""
    path = logs / f"{name}.log"
    with path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, env=env, cwd=cwd, start_new_session=True
        )
    try:
        yield Part(name, process, path)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await _ended(process)


def part(name: str, *args: str, logs: Path) -> AbstractAsyncContextManager[Part]:
    """A process of `python -m fleetwire`."""
    return program(name, sys.executable, "-m", "fleetwire", *args, logs=logs)


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def ready(part: Part, url: str) -> None:
    """Wait until `url` answers 200. Raises Unavailable when the part ends first, or takes too long."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await asyncio.to_thread(_answers, url):
                if part.process.returncode is not None:
                    raise Unavailable(f"{part.name} did not start: {part.last_words()}")
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Unavailable(f"{part.name} is not ready after {READY_SECONDS} s: {part.last_words()}") from None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - the URL is ours
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, in seconds (proc(5), Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
