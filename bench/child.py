"""A process of a benchmark that is asked in lines and answers in lines of JSON, so that what it measures is not
disturbed by who asks. It ends when its standard input does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from wire.errors import Unavailable

__all__ = ["Child", "child", "say"]

ROOT = Path(__file__).parents[1]


class Child:
    """The side of who asks."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    async def ask(self, *words: object) -> dict[str, Any]:
        """Its answer to a command. Raises Unavailable when it can't answer."""
        assert self._process.stdin is not None
        self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """Its next answer. Raises Unavailable when there is none."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise Unavailable(f"{self._name} ended in the middle; see above")
        found: dict[str, Any] = msgspec.json.decode(line)
        if "error" in found:
            raise Unavailable(found["error"])
        return found


@asynccontextmanager
async def child(module: str, *arguments: object) -> AsyncIterator[Child]:
    """`python -m MODULE ARGUMENTS`, running."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *map(str, arguments)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Child(module, process)
    finally:
        if process.returncode is None:
            process.kill()  # it holds nothing that others could miss
        await process.wait()


def say(**found: object) -> None:
    """Answer: the side of who is asked."""
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    sys.stdout.buffer.flush()
