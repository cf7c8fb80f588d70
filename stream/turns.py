"""Turns: long work in small pieces, so that live clients, served by the same loop, hardly wait."""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Turns"]


class Turns:
    """`async with turns:` around each piece. However many work so, the loop has one piece between two looks at what
    else there is to do."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            self._lock.release()
