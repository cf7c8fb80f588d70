"""The unit of time on every wire: milliseconds since the epoch."""

from __future__ import annotations

import time

__all__ = ["now_ms"]


def now_ms() -> int:
    """The time: epoch milliseconds."""
    return time.time_ns() // 1_000_000
