"""Which commands wait for an answer: when each is to be sent, again, and when it is too late. Pure: times, in epoch
ms, come in."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal

from wire.command import Command
from wire.ids import parse_id

__all__ = ["FIRST_REPEAT_MS", "MOST_REPEAT_MS", "ONLINE", "Pending", "Reason", "Waiting"]

ONLINE = frozenset({"ONLINE", "CONNECTED"})  # the connectionState of a vehicle that can hear
FIRST_REPEAT_MS = 10_000  # from the first time that a command was sent to the second; doubled each time
MOST_REPEAT_MS = 300_000
TRY_AGAIN_MS = 1_000  # after the broker did not take it

Reason = Literal["no_answer", "offline", "expired"]


@dataclass(eq=False, slots=True)
class Pending:
    """One command that waits. `vehicle`: `fleets/FLEET/VEHICLE`."""

    id: str
    vehicle: str
    command: Command
    sent: int  # how often
    due: int | None  # when to send it, again; None while it is being sent, or until something happens
    heard: bool = False  # whether the device has said that it is at it
    seen: int = field(init=False)  # up to which id replies were looked at
    end: int | None = field(init=False)  # when it is too late; None once that was told

    def __post_init__(self) -> None:
        self.seen = parse_id(self.id)
        self.end = self.command.expires


@dataclass(eq=False, slots=True)
class _Vehicle:
    pending: dict[str, Pending] = field(default_factory=dict)
    online: bool | None = None  # None: it has never said
    ts: int = 0  # when it said so


class Waiting:
    """Commands by their ids.

    A command is due when it comes, whenever its vehicle comes online, and, as long as nothing was replied, again and
    again while the vehicle is not known to be offline. `jitter` gives 0 to 1.
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._pending: dict[str, Pending] = {}
        self._vehicles: dict[str, _Vehicle] = {}
        self._sends: list[tuple[int, str]] = []  # heap of when and which; some are out of date
        self._ends: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, id: str) -> bool:
        return id in self._pending

    @property
    def all(self) -> list[Pending]:
        """Everything that waits."""
        return list(self._pending.values())

    @property
    def vehicles(self) -> Collection[str]:
        """The vehicles that something waits for."""
        return self._vehicles.keys()

    def get(self, id: str, vehicle: str) -> Pending | None:
        """The command with an id, if it waits and is for this vehicle."""
        found = self._pending.get(id)
        return found if found is not None and found.vehicle == vehicle else None

    def add(self, id: str, vehicle: str, command: Command, now: int, *, sent: bool) -> Pending | None:
        """Let a command wait; None when it does already. `sent`: whether it may have been sent before."""
        if id in self._pending:
            return None
        pending = self._pending[id] = Pending(id, vehicle, command, int(sent), None)
        self._vehicles.setdefault(vehicle, _Vehicle()).pending[id] = pending
        heappush(self._ends, (command.expires, id))
        self._due(pending, now)
        return pending

    def forget(self, id: str) -> None:
        """It waits no more, here."""
        pending = self._pending.pop(id, None)
        if pending is not None:
            vehicle = self._vehicles[pending.vehicle]
            del vehicle.pending[id]
            if not vehicle.pending:
                del self._vehicles[pending.vehicle]

    def present(self, vehicle: str, state: str, ts: int, now: int) -> None:
        """A vehicle has said, at `ts` by its own clock, what its connection is; what comes late changes nothing."""
        known = self._vehicles.get(vehicle)
        if known is None or ts < known.ts:
            return
        returned = state in ONLINE and known.online is False
        known.online, known.ts = state in ONLINE, ts
        if returned:
            for pending in known.pending.values():
                self._due(pending, now)

    def progress(self, pending: Pending) -> None:
        """The device is at it: no need to repeat it."""
        pending.heard, pending.due = True, None

    def due(self, now: int, most: int) -> list[Pending]:
        """What is to be sent now, at most so many; tell of each whether it was `sent`, or `failed`."""
        found: list[Pending] = []
        while len(found) < most and (moment := self.next_due()) is not None and moment <= now:
            pending = self._pending[heappop(self._sends)[1]]
            pending.due = None
            if now < pending.command.expires and not (
                pending.sent and self._vehicles[pending.vehicle].online is False
            ):
                found.append(pending)
        return found

    def sent(self, pending: Pending, now: int) -> None:
        """The broker has it."""
        pause = min(MOST_REPEAT_MS, FIRST_REPEAT_MS << min(pending.sent, 16))
        pending.sent += 1
        if pending.due is None and not pending.heard:
            self._due(pending, now + int(pause * (0.75 + self._jitter() / 2)))

    def failed(self, pending: Pending, now: int) -> None:
        """The broker did not take it."""
        if pending.due is None:
            self._due(pending, now + TRY_AGAIN_MS)

    def over(self, now: int, most: int) -> list[Pending]:
        """What is past its time to live, at most so many, each told once."""
        found: list[Pending] = []
        while len(found) < most and (moment := self.next_end()) is not None and moment <= now:
            pending = self._pending[heappop(self._ends)[1]]
            pending.end = None
            found.append(pending)
        return found

    def reason(self, pending: Pending) -> Reason:
        """Why nothing came of it: `expired` when it could not be sent in time."""
        if not pending.sent:
            return "expired"
        return "offline" if self._vehicles[pending.vehicle].online is False else "no_answer"

    def next_due(self) -> int | None:
        """When something is to be sent, next."""
        return self._first(self._sends, lambda pending: pending.due)

    def next_end(self) -> int | None:
        """When something will be too late, next."""
        return self._first(self._ends, lambda pending: pending.end)

    def _first(self, heap: list[tuple[int, str]], wanted: Callable[[Pending], int | None]) -> int | None:
        """The first moment of a heap that is not out of date."""
        while heap:
            moment, id = heap[0]
            if id in self._pending and wanted(self._pending[id]) == moment:
                return moment
            heappop(heap)
        return None

    def _due(self, pending: Pending, moment: int) -> None:
        if pending.id in self._pending:
            pending.due = moment
            heappush(self._sends, (moment, pending.id))
