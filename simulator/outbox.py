"""The readings of one connection on their way out: not yet due, waiting, or sent and not confirmed. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from simulator.fleet import Emission
from simulator.truth import Ledger

__all__ = ["Outbox"]


class Outbox:
    """Emissions in order, each of them taken, then confirmed.

    While a connection is up readings are made one at a time, as they are taken: running late drops none. When it
    has broken, what was not confirmed and what became due meanwhile waits to be taken (again); the newest `limit`
    of those are kept, and the ledger counts the others as dropped.
    """

    def __init__(self, emissions: Iterator[Emission], ledger: Ledger, limit: int = 1_000) -> None:
        self._emissions = emissions
        self._ledger = ledger
        self._limit = limit
        self._ahead = next(emissions, None)
        self._waiting: deque[Emission] = deque()
        self._unconfirmed: dict[tuple[str, int], Emission] = {}

    @property
    def waiting(self) -> int:
        """How many readings wait since the connection broke."""
        return len(self._waiting)

    @property
    def exhausted(self) -> bool:
        """Whether no reading will become due any more."""
        return self._ahead is None

    @property
    def next_due_ms(self) -> int | None:
        """When the next reading is due; None when there is none."""
        following = self._waiting[0] if self._waiting else self._ahead
        return following.due_ms if following else None

    def take(self) -> Emission:
        """The next reading, to be sent now. Raises IndexError when there is none."""
        emission = self._waiting.popleft() if self._waiting else self._pull()
        self._unconfirmed[emission.topic, emission.seq] = emission
        return emission

    def confirm(self, emission: Emission) -> None:
        """It was sent."""
        del self._unconfirmed[emission.topic, emission.seq]
        self._ledger.confirm(emission.topic, emission.seq)

    def broken(self, now_ms: int) -> None:
        """There is no connection, and it is `now_ms` after the start; may be said repeatedly."""
        self._waiting.extendleft(reversed(self._unconfirmed.values()))
        self._unconfirmed.clear()
        while self._ahead and self._ahead.due_ms <= now_ms:
            self._waiting.append(self._pull())
            self._drop(self._limit)
        self._drop(self._limit)

    def give_up(self) -> None:
        """Drop what was due and is not confirmed."""
        self._waiting.extendleft(self._unconfirmed.values())
        self._unconfirmed.clear()
        self._drop(0)

    def _pull(self) -> Emission:
        emission = self._ahead
        if emission is None:
            raise IndexError("no more readings")
        self._ahead = next(self._emissions, None)
        return emission

    def _drop(self, limit: int) -> None:
        while len(self._waiting) > limit:
            self._ledger.drop(self._waiting.popleft().topic)
