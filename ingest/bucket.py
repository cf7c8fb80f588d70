"""How fast a device may send: a bucket for each topic that it publishes on. Pure: times, in ms, come in.

Two clocks say how fast. By the *arrival* a device that stands still at the broker for ten minutes is a flood; by the
reading's *own time* it is what it was. So what comes at its rate by arrival is let through, unseen; what comes faster
is looked at, and let through when it was made at that rate, or when nothing says that it was not, since a broker may
have kept it. Because a device may say what it likes, the arrival has the last word, after a much longer time.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Bucket", "Rate"]


class Rate(NamedTuple):
    """What a bucket lets through, in ms: a reading every `cost`, `burst` of them at once, and `backlog` of what was
    kept back."""

    cost: float
    burst: float
    backlog: float

    @classmethod
    def of(cls, per_second: float, burst_s: float, backlog_s: float) -> Rate:
        """So many a second, 0 for any number; `burst_s` and `backlog_s`: so many seconds of it may come at once."""
        return cls(1000 / per_second if per_second else 0.0, burst_s * 1000, backlog_s * 1000)


class Bucket:
    """By the generic cell rate algorithm: of each clock it is known by when what was let through is paid for.

    `came`: that, by the arrival. `shut`: until then nothing is let through, whatever it says, so it need not be read.
    `why`: of the last that was not let through, `rate` or `backlog`. `sample_at`: when the next sample of these is
    due, for who takes them.
    """

    __slots__ = ("_clock", "_made", "_rate", "came", "sample_at", "shut", "why")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self.came = 0.0
        self._made = 0.0  # as `came`, by the own time of those that came too fast
        self._clock = 0  # the newest of these own times
        self.shut = 0.0
        self.why = "rate"
        self.sample_at = 0

    def take(self, now: int, made: int | None, promised: bool) -> bool:
        """Whether a reading that comes `now` is let through. `made`: its own time, None when it has none.
        `promised`: whether it is of QoS 1, which a broker keeps for a bridge that is away.

        Let through, in any stretch of `t` ms by arrival: at most `(t + backlog) / cost + 1`. Nothing is refused
        that was made at no more than the rate, as long as less than `backlog` of it comes early. `now` never falls.
        """
        came = self.came
        if came <= now:
            self.came = now + self._rate.cost
            return True
        early = came - now
        if early > self._rate.burst and not self._kept_back(early, now, made, promised):
            return False
        self.came = came + self._rate.cost
        return True

    def _kept_back(self, early: float, now: int, made: int | None, promised: bool) -> bool:
        """Whether what comes too fast may be what somebody has kept back."""
        _, burst, backlog = self._rate
        if early > backlog:
            return self._refuse("backlog", now + early - backlog)
        if made is None:
            return promised or self._refuse("rate", now + early - burst)
        if made < self._clock - burst:  # an upload of older ones has begun
            self._clock, self._made = made, made
        elif made > self._clock:
            self._clock = made
        owed = max(self._made - self._clock, 0.0)
        if owed > burst:
            # What is made just now will be too much until either clock has gone on so far. What is older says nothing
            # of what comes next.
            live = abs(now - made) <= burst
            return self._refuse("rate", now + min(early, owed) - burst if live else 0.0)
        self._made = self._clock + owed + self._rate.cost
        return True

    def _refuse(self, why: str, until: float) -> bool:
        self.why, self.shut = why, until
        return False
