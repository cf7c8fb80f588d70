"""How fast somebody may go on: so much a second, and more for a moment. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Rate", "Ration", "rate"]

ROUNDING_SECONDS = 1e-6


class Rate(NamedTuple):
    """`per_second` for ever, and `burst` at once. What somebody has used is one number, which is 0 at first: the time
    at which all of it would be earned again. Times are seconds of one clock."""

    per_second: float
    burst: float

    def charged(self, used: float, now: float, cost: float) -> float:
        """What is used after something more."""
        return max(used, now) + cost / self.per_second

    def wait(self, used: float, now: float) -> float:
        """Seconds until what is used is within the burst; 0 when it is."""
        early = used - now - self.burst / self.per_second
        return early if early > ROUNDING_SECONDS else 0.0


def rate(per_second: float, burst: float) -> Rate:
    """A rate as an operator sets it: 0 a second is no limit."""
    return Rate(per_second or math.inf, burst)


class Ration:
    """What one client has used of a rate. What is too much is refused, and as much again may be, at the same rate: so
    one that is a little too fast gets what it may have, and one that goes on and on is `exhausted`."""

    __slots__ = ("_refused", "_used", "exhausted", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._used = self._refused = 0.0
        self.exhausted = False

    def take(self, now: float, cost: float = 1.0) -> float:
        """Use some of it: 0, or how many seconds too early that is, and then it is refused."""
        cost = min(cost, self.rate.burst)
        used = self.rate.charged(self._used, now, cost)
        if not (wait := self.rate.wait(used, now)):
            self._used = used
            return 0.0
        self._refused = self.rate.charged(self._refused, now, cost)
        self.exhausted = self.rate.wait(self._refused, now) > 0
        return wait

    def charge(self, now: float, cost: float) -> None:
        """Use some of it that can't be refused any more."""
        self._used = self.rate.charged(self._used, now, cost)
