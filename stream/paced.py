"""uvicorn's WebSocket protocol, reading in pieces: whoever sends much waits, and nobody else."""

from __future__ import annotations

import asyncio
import select
from contextlib import suppress
from typing import Any

from stream.pace import Pace
from stream.strict import StrictProtocol

__all__ = ["PacedProtocol"]

# What is looked at in one turn of the loop: of large frames more than of many, each of which becomes a message.
PIECE_BYTES, CROWDED_BYTES = 4_096, 512
CROWDED = 8  # frames in a piece
FRAME_BYTES = 1_024  # that a frame counts as besides its own: it costs as much to look at


class PacedProtocol(StrictProtocol):
    """One connection. What comes is looked at in pieces, at a `pace` once it is given one."""

    __slots__ = ("_frames", "_held", "_queued", "_rest", "_used", "pace")  # in the dict they would cost more

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pace: Pace | None = None
        self._used = 0.0  # of the rate
        self._frames = 0  # in the piece that came last
        self._rest = b""  # what came and was not looked at yet
        self._held: asyncio.TimerHandle | None = None  # until more of it may be
        self._queued = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        super().connection_lost(exc)
        self._rest = b""
        if self._held is not None:
            self._held.cancel()

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        if self.pace is None:  # the handshake
            super().data_received(data)
        else:
            if not self._rest:
                self._frames = CROWDED  # until it is known
            self._rest += data
            if not self._waits:
                self._look(self.pace)

    @property
    def _waits(self) -> bool:
        """Whether what came has to wait: for its time, for others, for the last message, or until the client takes
        something."""
        return self._held is not None or self._queued or self.read_paused or self._full

    def _look(self, pace: Pace) -> None:
        """Look at the next piece, and hold the rest back if it is too early for it, or others have to be served."""
        size = PIECE_BYTES if self._frames < CROWDED else CROWDED_BYTES
        piece, self._rest = self._rest[:size], self._rest[size:]
        super().data_received(piece)
        now = self.loop.time()
        self._used = pace.rate.charged(self._used, now, len(piece) + FRAME_BYTES * self._frames)
        if self.transport.is_closing():
            return
        if wait := pace.rate.wait(self._used, now):
            pace.throttled.inc()
            self._held = self.loop.call_later(wait, self._release)
            self.transport.pause_reading()
        elif self._rest and not self._waits:
            self._queue(pace)

    def _queue(self, pace: Pace) -> None:
        self._queued = True
        self.transport.pause_reading()
        pace.queue(self._turn)

    def _turn(self) -> None:
        self._queued = False
        if self.pace is not None and self._rest and not self._waits and not self.transport.is_closing():
            self._look(self.pace)
        self._go_on()

    def _release(self) -> None:
        self._held = None
        if self._deserted:  # what it has left is nobody's
            self.transport.abort()
        self._go_on()

    @property
    def _deserted(self) -> bool:
        """Whether the client is gone, which nobody is told of while nothing is read."""
        with suppress(OSError, ValueError, AttributeError):  # closed, or not Linux
            look = select.poll()
            look.register(self.transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
            return bool(look.poll(0))
        return False

    def _go_on(self) -> None:
        """Something that was waited for is there: what was held back comes before what is still to be read."""
        if self.pace is None or self.transport.is_closing():
            return
        if self._rest and not self._waits:
            self._queue(self.pace)
        elif self._held is not None or self._queued:
            self.transport.pause_reading()  # the server may have resumed it
        elif not self._waits:
            self.transport.resume_reading()

    async def receive(self) -> Any:
        """As the server has it."""
        message = await super().receive()
        self._go_on()
        return message

    def handle_events(self) -> None:
        """Called with what a piece had."""
        self._frames = len(self.conn.events)
        super().handle_events()

    def resume_writing(self) -> None:
        """Called by the transport."""
        super().resume_writing()
        self._go_on()
