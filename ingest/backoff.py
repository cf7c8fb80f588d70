"""Waiting before another try."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """Exponential backoff with full jitter: seconds, up to `first` at the first try, doubled to at most `most`."""

    def __init__(self, first: float = 0.2, most: float = 10.0) -> None:
        self._most = most
        self._ceiling = first

    def next(self) -> float:
        """How long to wait now, in seconds."""
        delay = random.uniform(self._ceiling / 4, self._ceiling)
        self._ceiling = min(self._most, self._ceiling * 2)
        return delay
