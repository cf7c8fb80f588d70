"""uvicorn's WebSocket protocol, with a way in for frames that are made once and sent to many.

`websocket.send` frames, copies and checks for each client anew: 4.9 µs, where a prepared frame takes 2.6
(docs/decisions/007).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from stream.outbox import BINARY, TEXT, Frame, Outbox
from stream.paced import PacedProtocol
from stream.slim import Inbox, Latch
from wire.protocol import CLOSE_CODES

__all__ = ["EXTENSION", "PreparedOutbox", "PreparedProtocol"]

EXTENSION = "fleetwire.prepared"  # in the scope's extensions: the connection's PreparedProtocol

NOTSENT_BYTES = 131_072
BYTES_ACKED = struct.Struct("=120xQ")  # tcpi_bytes_acked of Linux's struct tcp_info
LOOKS = 4  # at one who is full, in the time in which it has to take something
CLOSE_SECONDS = 1.0  # for the last frame to get into a socket that may be full, and for the peer's answer


def _nothing() -> None:
    pass


class PreparedProtocol(PacedProtocol):
    """One connection. After the handshake whoever has it from the scope's extensions may write whole frames, beside
    what goes by `send`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = Inbox()  # type: ignore[assignment]
        self.writable = Latch()  # type: ignore[assignment]
        self.on_pause: Callable[[], None] = _nothing
        self.on_resume: Callable[[], None] = _nothing

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][EXTENSION] = {"protocol": self}

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        super().connection_lost(exc)
        # What leads back to us goes, or 20 KB a client would wait for the garbage collector, which rests here.
        self.on_pause = self.on_resume = _nothing
        if hasattr(self, "scope"):
            self.scope["extensions"].pop(EXTENSION, None)

    async def send(self, message: Any) -> None:
        """As the server has it; what the handshake said is kept no longer than it takes (4 KB)."""
        await super().send(message)
        if message["type"] == "websocket.accept":
            del self.request, self.response

    def limit(self, size: int) -> None:
        """Pause when more bytes wait than that, resume when none do."""
        if self.transport.get_extra_info("sslcontext") is not None:
            size //= 2  # what is encrypted waits once more, behind what the transport knows of
        self.transport.set_write_buffer_limits(high=size, low=0)
        # What the kernel holds back for a slow line is as old as what we would: keep it short, so that what the
        # client gets next is new.
        self._set("TCP_NOTSENT_LOWAT", NOTSENT_BYTES)

    def lose_after(self, seconds: float) -> None:
        """Be lost when the peer confirms nothing for so long; 0 for never. (A pong that waits behind what a slow line
        has yet to carry would say less of it.)"""
        self._set("TCP_USER_TIMEOUT", round(seconds * 1000))

    def _set(self, option: str, value: int) -> None:
        with suppress(OSError, ValueError, AttributeError):  # not every system has all; the end may have come
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    @property
    def confirmed(self) -> int:
        """Bytes that the peer has confirmed since the connection began, by the kernel: of what waits on the way to it
        nobody knows all (TLS). 0 where it can't say: without Linux."""
        with suppress(OSError, ValueError, AttributeError, struct.error):  # closed, or not Linux
            connection = self.transport.get_extra_info("socket")
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED.size)
            return int(BYTES_ACKED.unpack(info)[0])
        return 0

    def write(self, frame: bytes) -> None:
        """Write a whole frame, header included. After the end of the connection it goes nowhere."""
        if not (self.close_sent or self.transport.is_closing()):
            self.transport.write(frame)

    def pause_writing(self) -> None:
        """Called by the transport."""
        super().pause_writing()
        self.on_pause()

    def resume_writing(self) -> None:
        """Called by the transport."""
        super().resume_writing()
        self.on_resume()

    def finish(self, code: int, reason: str | None) -> None:
        """Close with a code, or without one if the socket takes nothing."""
        if self.close_sent or self.transport.is_closing():
            return
        task = self.loop.create_task(self._finish(code, reason), name="close")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _finish(self, code: int, reason: str | None) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.send({"type": "websocket.close", "code": code, "reason": reason or ""})
        except Exception:  # it is closed already, or takes nothing
            self.transport.abort()
        else:
            # uvicorn's timer waits for the transport to be flushed, for ever if need be.
            if self.close_timer is not None:
                self.close_timer.cancel()
                self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)


class PreparedOutbox(Outbox):
    """An outbox on a PreparedProtocol: frames go to the socket at once, and what it does not take waits there.

    A client whose socket takes no byte for `drain_s` seconds, or a quarter longer, is closed (4008).
    """

    def __init__(self, protocol: PreparedProtocol, limit: int, drain_s: float, *, text: bool) -> None:
        super().__init__()
        self._protocol = protocol
        self._opcode = TEXT if text else BINARY
        self._drain_s = drain_s
        self._full = False
        self._refused = False
        self._written = 0  # bytes, since it was full
        self._taken = 0
        self._looks = 0  # without it having taken anything
        self._watch: asyncio.TimerHandle | None = None
        protocol.limit(limit)
        protocol.lose_after(drain_s)
        protocol.on_pause = self._pause
        protocol.on_resume = self._resume

    def put(self, frame: Frame) -> None:
        if self.close_code is None:
            data = frame.prepared(self._opcode)
            if self._full:
                self._written += len(data)
            self._protocol.write(data)

    def offer(self, frame: Frame) -> bool:
        if self._full:
            self._refused = True
            return False
        if self.close_code is None:
            self._protocol.write(frame.prepared(self._opcode))
        return True

    async def room(self) -> None:
        await self._protocol.writable.wait()

    def close(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = code
            self._stop_watch()
            self._protocol.finish(code, CLOSE_CODES[code].reason if code in CLOSE_CODES else None)

    def _pause(self) -> None:
        self._full, self._written = True, 0
        if self.close_code is None:
            self._taken, self._looks = self._progress(), 0
            if self._watch is None:
                # Linux would count on while one who reads slowly opens its window bit by bit.
                self._protocol.lose_after(0)
                self._look_later()

    def _resume(self) -> None:
        self._full = False
        if self._refused:
            self._refused = False
            self.on_drained()

    def _look_later(self) -> None:
        self._watch = asyncio.get_running_loop().call_later(self._drain_s / LOOKS, self._look)

    def _look(self) -> None:
        self._watch = None
        taken = self._progress()
        self._looks = 0 if taken > self._taken else self._looks + 1
        self._taken = taken
        if self._looks < LOOKS:
            self._look_later()
        elif self._full:
            self.close(4008)
        else:  # it has all, or is gone
            self._protocol.lose_after(self._drain_s)

    def _progress(self) -> int:
        """Grows when the client takes something, while it is full."""
        return self._protocol.confirmed or self._written - self._protocol.transport.get_write_buffer_size()

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
