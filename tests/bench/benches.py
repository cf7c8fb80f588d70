"""Benchmarks as processes, as `make` runs them."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    """A benchmark that has ended: its exit status, and what it said."""

    status: int | None
    out: str
    err: str

    @property
    def figures(self) -> dict[str, Any]:
        """The figures of its JSON, by name."""
        return {figure["name"]: figure["value"] for figure in msgspec.json.decode(self.out)["figures"]}


async def _start(module: str, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *options),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def bench(module: str, *options: str) -> Ended:
    """A run, to its end."""
    process = await _start(module, *options)
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return Ended(process.returncode, out.decode(), err.decode())


async def interrupted(module: str, *options: str) -> Ended:
    """A run that is interrupted (Ctrl-C) when it has said something of its progress."""
    process = await _start(module, *options)
    try:
        assert process.stderr is not None
        await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode, out.decode(), err.decode())
