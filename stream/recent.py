"""The frames that a group has sent while somebody was behind: whoever is slow is given the very bytes of the others.

Without them each slow client of `batch` would be served from the log: read, decoded and encoded for that one alone.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from stream.outbox import Frame
from wire.cursor import Cursor

__all__ = ["Flush", "Recent"]

RECENT_BYTES = 4_194_304


class Flush(NamedTuple):
    """The frames of one flush: everything after one cursor, up to another; and how many items that is."""

    after: Cursor
    until: Cursor
    frames: list[Frame]
    items: int


class Recent:
    """The last flushes, at most RECENT_BYTES of them: what is older is in the log."""

    def __init__(self) -> None:
        self._flushes: deque[Flush] = deque()
        self._size = 0
        self._start: Cursor | None = None  # nothing after this is missing

    def add(self, flush: Flush) -> None:
        """One more, the first or the one that followed the last."""
        if not self._flushes:
            self._start = flush.after
        self._flushes.append(flush)
        self._size += sum(len(frame.data) for frame in flush.frames)
        while self._size > RECENT_BYTES:
            oldest = self._flushes.popleft()
            self._start = oldest.until
            self._size -= sum(len(frame.data) for frame in oldest.frames)

    def since(self, cursor: Cursor) -> list[Flush]:
        """All that a client has not been given, oldest first; nothing when that can't be told from here."""
        found = [flush for flush in self._flushes if not flush.until <= cursor]
        known = found and self._start is not None and self._start <= cursor <= found[0].after
        return found if known else []

    def clear(self) -> None:
        """Nobody is behind."""
        self._flushes.clear()
        self._size = 0
