"""How fast what clients send is looked at: no faster than each may send, and one piece in a turn of the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from prometheus_client import Counter

from stream.rate import Rate

__all__ = ["Pace"]


class Pace:
    """Of one node. `rate`: bytes of one client. `throttled` counts the times that one sent more.

    However many have sent much, the loop has one piece of one of them between two looks at what else there is to do.
    """

    def __init__(self, rate: Rate, throttled: Counter) -> None:
        self.rate = rate
        self.throttled = throttled
        self._waiting: deque[Callable[[], None]] = deque()

    def queue(self, look: Callable[[], None]) -> None:
        """Call this when those before it had their turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        self._waiting.append(look)

    def _next(self) -> None:
        look = self._waiting[0]
        look()
        self._waiting.popleft()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
