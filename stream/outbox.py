"""What waits to be sent to one client: bounded in bytes, and never a queue of readings.

Frames of subscriptions are offered, and refused while the client is behind: it keeps a cursor instead, and
catches up from the table or the log when it has drained. Replies are always taken; a client that does not
read them gets no further commands carried out (`room`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Frame", "Outbox"]


class Frame(NamedTuple):
    """Bytes for one WebSocket frame or SSE event, and the cursor that a client has after it (if any)."""

    data: bytes
    cursor: str = ""


class Outbox:
    """Frames on their way to one client, at most `limit` bytes of them, or one frame."""

    def __init__(self, limit: int, on_drained: Callable[[], None]) -> None:
        self._limit = limit
        self._on_drained = on_drained
        self._frames: deque[Frame] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._refused = False
        self.close_code: int | None = None

    def put(self, frame: Frame) -> None:
        """Take a frame, whatever waits already. After `close` it goes nowhere."""
        if self.close_code is not None:
            return
        self._frames.append(frame)
        self._size += len(frame.data)
        self._filled.set()
        if self._size > self._limit:
            self._room.clear()

    def offer(self, frame: Frame) -> bool:
        """Take a frame if it fits; if not, `on_drained` is called when everything before it has gone."""
        if self._frames and self._size + len(frame.data) > self._limit:
            self._refused = True
            return False
        self.put(frame)
        return True

    async def get(self) -> Frame | None:
        """The next frame, or None when the outbox is closed and empty."""
        while not self._frames:
            if self.close_code is not None:
                return None
            if self._refused:
                self._refused = False
                self._on_drained()
            else:
                self._filled.clear()
                await self._filled.wait()
        frame = self._frames.popleft()
        self._size -= len(frame.data)
        if self._size <= self._limit:
            self._room.set()
        return frame

    async def room(self) -> None:
        """Wait until no more than the limit waits."""
        await self._room.wait()

    def close(self, code: int) -> None:
        """Send what waits, and no more; then the client is to be closed with this code."""
        if self.close_code is None:
            self.close_code = code
        self._filled.set()
        self._room.set()
