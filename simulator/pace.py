"""When readings are due: the fleet's clock, which starts once and can be stopped."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from wire.clock import now_ms

__all__ = ["Clock"]


class Clock:
    """Milliseconds since the fleet started, by the event loop's monotonic time.

    Without `start_ms` (epoch milliseconds) the fleet's time is the real time.
    """

    def __init__(self, start_ms: int | None, stop: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = stop
        self._running = asyncio.Event()
        self._zero = self._loop.time()
        self._fixed = start_ms
        self.start_ms = now_ms() if start_ms is None else start_ms

    def start(self) -> None:
        """From now on readings become due."""
        self._zero = self._loop.time()
        if self._fixed is None:
            self.start_ms = now_ms()
        self._running.set()

    @property
    def stopped(self) -> bool:
        """Whether nothing more becomes due."""
        return self._stop.is_set()

    @property
    def elapsed_ms(self) -> int:
        """Since the start; before it, since the clock was made."""
        return int((self._loop.time() - self._zero) * 1_000)

    @property
    def time_ms(self) -> int:
        """The fleet's time, epoch milliseconds."""
        return self.start_ms + self.elapsed_ms

    async def started(self) -> None:
        """Wait for the start."""
        await self._running.wait()

    async def reach(self, due_ms: int) -> bool:
        """Wait until a moment is there, at once when it has passed. False when the clock was stopped instead."""
        delay = self._zero + due_ms / 1_000 - self._loop.time()
        if delay > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stop.wait()
        return not self.stopped
