"""What many clients have taken goes back to the system when they are gone.

glibc keeps pages between what others still use: of 28 MB that 200 clients took who did not read, none came back by
itself, and 18 by this.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

__all__ = ["Memory"]

CROWD = 50  # connections fewer than there were that are worth it: it takes some ms for each 100 MB


class Memory:
    """Told now and then how many connections there are."""

    def __init__(self, give_back: Callable[[], None] | None = None) -> None:
        self._give_back = give_back or _trim
        self._most = 0
        self._again = False

    def look(self, connections: int) -> None:
        """Give back what is free when a tenth of those who were there have gone, and what they still held at the next
        look."""
        self._most = max(self._most, connections)
        gone = self._most - connections >= max(CROWD, self._most // 10)
        if gone:
            self._most = connections
        if gone or self._again:
            self._give_back()
        self._again = gone


def _trim() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not every libc has it
    if trim is not None:
        trim(0)
