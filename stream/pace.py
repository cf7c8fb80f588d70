"""How fast what clients send is looked at: no faster than each may send, and little of it in a turn of the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from prometheus_client import Counter

from stream.rate import Rate

__all__ = ["Pace"]

COMMANDS = 4  # of all clients together, in a turn of the loop: some ms


class Pace:
    """Of one node. `rate`: bytes of one client. `throttled` counts the times that one sent more.

    However many have sent much, between two looks at what else there is to do the loop has one piece of one of them,
    and few commands. With 50 who subscribe as fast as they can, and no such order, half of the turns took 50 ms.
    """

    def __init__(self, rate: Rate, throttled: Counter) -> None:
        self.rate = rate
        self.throttled = throttled
        self._pieces: deque[Callable[[], None]] = deque()
        self._commands: deque[asyncio.Future[None]] = deque()
        self._left = COMMANDS  # in this turn
        self._turns = False  # whether there is to be another

    def queue(self, look: Callable[[], None]) -> None:
        """Call this when those before it had their turn."""
        self._pieces.append(look)
        self._go_on()

    async def turn(self) -> None:
        """Wait until another command may be carried out."""
        self._go_on()
        if self._left and not self._commands:
            self._left -= 1
            return
        waiting = asyncio.get_running_loop().create_future()
        self._commands.append(waiting)
        await waiting

    def _go_on(self) -> None:
        if not self._turns:
            self._turns = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._turns, self._left = False, COMMANDS
        while self._left and self._commands:
            waiting = self._commands.popleft()
            if not waiting.done():  # its client may have gone
                waiting.set_result(None)
                self._left -= 1
        if self._left < COMMANDS or len(self._pieces) > 1:
            self._go_on()
        if self._pieces:
            self._pieces.popleft()()
