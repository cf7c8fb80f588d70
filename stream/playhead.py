"""The playhead: where in the past a replay is, as time passes. Pure."""

from __future__ import annotations

from math import inf

__all__ = ["Playhead"]


class Playhead:
    """A position in epoch ms of storing. `now`, wherever it is asked for, are the seconds of a steady clock.

    It stands at first: until it may `go`, and again whenever something is waited for. `speed` is how fast it goes
    then, in ms of the past for one of the present; 0 while it is paused.
    """

    def __init__(self, position: float, speed: float) -> None:
        self.speed = speed
        self._position = position
        self._since: float | None = None  # when it was at that position; None while it stands

    def position(self, now: float) -> float:
        """Where it is."""
        if self._since is None:
            return self._position
        return self._position + max(0.0, now - self._since) * 1000 * self.speed

    def left(self, position: float, now: float) -> float:
        """Seconds until it comes to a position; infinite while it goes nowhere."""
        distance = position - self.position(now)
        if distance <= 0:
            return 0.0
        return inf if self._since is None or not self.speed else distance / 1000 / self.speed

    def go(self, now: float) -> None:
        """Go on, if it stands."""
        if self._since is None:
            self._since = now

    def stand(self, now: float) -> None:
        """Stay where it is until it may go on."""
        self._position, self._since = self.position(now), None

    def turn(self, speed: float, now: float) -> None:
        """Change the speed, from where it is."""
        self._position = self.position(now)
        self._since = None if self._since is None else now
        self.speed = speed

    def skip(self, position: float, now: float) -> None:
        """Go on from a later position."""
        self._position = max(position, self.position(now))
        self._since = None if self._since is None else now
