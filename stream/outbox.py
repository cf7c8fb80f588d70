"""What waits to be sent to one client: bounded in bytes, and never a queue of readings.

Frames of subscriptions are offered, and refused while the client is behind: it keeps a cursor instead, and
catches up from the table or the log when it has drained. Replies are always taken; a client that does not
read them gets no further commands carried out (`room`).
"""

from __future__ import annotations

import asyncio
import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

__all__ = ["Frame", "Outbox", "QueuedOutbox"]

_FIN = 0x80
TEXT, BINARY = 0x1, 0x2  # opcodes, RFC 6455 section 5.2


class Frame:
    """Bytes for one WebSocket frame or SSE event, and the cursor that a client has after it (if any)."""

    __slots__ = ("_prepared", "cursor", "data")

    def __init__(self, data: bytes, cursor: str = "") -> None:
        self.data = data
        self.cursor = cursor
        self._prepared = b""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frame) and (self.data, self.cursor) == (other.data, other.cursor)

    __hash__ = None  # type: ignore[assignment]

    def prepared(self, opcode: int) -> bytes:
        """The WebSocket frame as it stands on the wire (RFC 6455 section 5.2): made once for all who are sent it,
        and all who are sent it speak the same format."""
        if not self._prepared:
            self._prepared = _header(opcode, len(self.data)) + self.data
        return self._prepared


def _header(opcode: int, length: int) -> bytes:
    if length < 126:
        return bytes((_FIN | opcode, length))
    if length < 1 << 16:
        return struct.pack("!BBH", _FIN | opcode, 126, length)
    return struct.pack("!BBQ", _FIN | opcode, 127, length)


class Outbox(ABC):
    """Frames on their way to one client. `on_drained` is called when an offer was refused and everything before it
    has gone."""

    def __init__(self) -> None:
        self.close_code: int | None = None
        self.on_drained: Callable[[], None] = lambda: None

    @abstractmethod
    def put(self, frame: Frame) -> None:
        """Take a frame, whatever waits already. After `close` it goes nowhere."""

    @abstractmethod
    def offer(self, frame: Frame) -> bool:
        """Take a frame, if not too much waits already."""

    @abstractmethod
    async def room(self) -> None:
        """Wait until not too much waits."""

    @abstractmethod
    def close(self, code: int) -> None:
        """Send what waits, and no more; then the client is to be closed with this code."""


class QueuedOutbox(Outbox):
    """An outbox that is emptied by `get`: at most `limit` bytes, or one frame."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._frames: deque[Frame] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._refused = False

    def put(self, frame: Frame) -> None:
        if self.close_code is not None:
            return
        self._frames.append(frame)
        self._size += len(frame.data)
        self._filled.set()
        if self._size > self._limit:
            self._room.clear()

    def offer(self, frame: Frame) -> bool:
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
                self.on_drained()
            else:
                self._filled.clear()
                await self._filled.wait()
        frame = self._frames.popleft()
        self._size -= len(frame.data)
        if self._size <= self._limit:
            self._room.set()
        return frame

    async def room(self) -> None:
        await self._room.wait()

    def close(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = code
        self._filled.set()
        self._room.set()
