"""The highest rung of a ladder that holds, found with few trials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["highest", "rate"]

T = TypeVar("T")

LOWEST, STEP = 100, 1.25  # readings a second, and how many times as many each rung has
RUNGS = 36  # up to 250,000 a second
LEAP = 3  # rungs at a time, while they hold
TRIES = 2  # other programs may have been busy


def rate(rung: int) -> float:
    """Readings a second."""
    return float(round(LOWEST * STEP**rung))


async def highest(trial: Callable[[int], Awaitable[T | None]], first: int) -> T | None:
    """What the trial of the highest rung that holds gives; None when none holds. Where a rung holds, those below are
    taken to hold. A trial that gives None has failed."""
    best: T | None = None
    low, high, rung = -1, RUNGS, first  # low holds, high does not
    while high - low > 1:
        found = None
        for _ in range(TRIES):
            if (found := await trial(rung)) is not None:
                break
        if found is None:
            high = rung
        else:
            low, best = rung, found
        rung = _next(low, high)
    return best


def _next(low: int, high: int) -> int:
    if high == RUNGS:
        return min(low + LEAP, RUNGS - 1)
    return (low + high) // 2 if low >= 0 else max(high - LEAP, 0)
