"""Waiting for a moment that may change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from wire.clock import now_ms

__all__ = ["Alarm"]


class Alarm:
    """Rings at the moment, epoch ms, that `moment()` says; when it says another, `changed` has to be called."""

    def __init__(self, moment: Callable[[], int | None]) -> None:
        self._moment = moment
        self._event = asyncio.Event()

    def changed(self) -> None:
        """The moment is another."""
        self._event.set()

    async def ring(self) -> None:
        """Returns at the moment, or when it has passed."""
        while (moment := self._moment()) is None or moment > now_ms():
            self._event.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if moment is None else (moment - now_ms()) / 1000):
                    await self._event.wait()
