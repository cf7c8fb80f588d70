"""The player: plays the log to one client by the clock, and goes on live when it has come to the present.

The group is the client's own, and what it is given is the past: so strategy, interval, signals and shape are those of
any other group. The table is private too, and holds the states as they were.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import isinf
from typing import Literal, NamedTuple

from stream.group import Group
from stream.item import Item
from stream.member import Member
from stream.node import Node
from stream.outbox import Frame, Outbox
from stream.picture import picture
from stream.playhead import Playhead
from stream.query import Query
from stream.table import Table
from stream.tape import Stretch, Tape
from wire.clock import now_ms
from wire.cursor import Cursor
from wire.ids import SEQUENCE_BITS
from wire.protocol import Replay, encode

__all__ = ["Player", "Start"]

NEAR_MS = 100  # of the present: the rest is given at once
TICK_SECONDS = 0.01  # what comes due within it is given together
TELL_SECONDS = 1.0


class Start(NamedTuple):
    """What a replay begins with: everything after a cursor, at a position (epoch ms) and a speed, and whether the
    states as of then are shown first."""

    after: Cursor
    position: int
    speed: float
    snapshot: bool


class Player:
    """One replay. `live()` is called when its group goes on as the others do; from then on it needs no player."""

    def __init__(self, node: Node, query: Query, outbox: Outbox, start: Start, live: Callable[[], None]) -> None:
        self._node = node
        self._live = live
        self._snapshot = start.snapshot
        self._head = Playhead(start.position, start.speed)
        self._tape = Tape(node, query.filter)
        self._table = Table()
        self._last = list(start.after)  # by partition: the newest id that the group was given
        self._shown = False  # whether the table has the states
        self._holds: Cursor | None = None  # while it hands over to the hub: what that does not bring
        self._turned = asyncio.Event()
        group = self._apart(query)
        self.member = _member(group, outbox)
        group.admit(self.member)
        self._task = node.begin(self._run(), "player")

    @property
    def reached(self) -> Cursor:
        """What has been played."""
        return Cursor(self._last)

    def stop(self) -> None:
        """Play no more."""
        self._task.cancel()

    def turn(self, speed: float) -> None:
        """Go on at another speed; 0 pauses."""
        if speed != self._head.speed:
            self.member.group.flush()
            self._head.turn(speed, _now())
            self._tell()
            self._turned.set()

    def ask(self, query: Query) -> None:
        """Go on in another group, which serves what is asked for from now on."""
        before = self.member
        if query == before.group.query:
            return
        before.group.flush()
        group = self._apart(query)
        if self._holds is not None:
            self._holds = self._node.hub.hold(group)
        self.member = member = _member(group, before.outbox)
        member.told = before.told
        behind = before.group.is_behind(before)
        if self._shown and not (query.resumable and query.continues(before.group.query)):
            if behind and before.missed_message:
                group.announce_gap(member, before.cursor, group.horizon)
            group.snapshot(member)
        elif behind:
            member.cursor = before.cursor
            group.catch_up(member)
        else:
            group.admit(member)
        self._node.leave(before)

    def _apart(self, query: Query) -> Group:
        return self._node.hub.apart(query, self._table, lambda: self.reached)

    async def _run(self) -> None:
        with self._node.metrics.replays.track_inprogress():
            self._tell()
            first = await self._begin()
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(self._keep_telling(), name="replay position")
                await self._play(first, tasks)
                telling.cancel()
            await self._go_live()

    async def _begin(self) -> Stretch:
        """Show how things were, and read the first of what came then."""
        moment = await self._tape.moment(self.reached)
        following = moment.following >> SEQUENCE_BITS or now_ms()
        first = await self._tape.read(self.reached, following)
        if any(first.lost) or not moment.begun:  # there is nothing to be seen before
            self._head.skip(following, _now())
            self._tell()
        for item in moment.states:
            self._table.apply(item)
        self._shown = True
        group = self.member.group
        if self._snapshot:
            group.renew(self._table)
        else:
            group.picture = picture(group.query, self._table)
        return first

    async def _play(self, stretch: Stretch, tasks: asyncio.TaskGroup) -> None:
        """One stretch after the other, while the next is read, until it has come to the present."""
        while not (self._head.speed and now_ms() - self._head.position(_now()) <= NEAR_MS):
            ahead = tasks.create_task(self._tape.read(stretch.until), name="replay read")
            self._head.go(_now())
            await self._play_stretch(stretch)
            with self._standing():
                stretch = await ahead

    async def _play_stretch(self, stretch: Stretch) -> None:
        self._tell_gap(stretch.after, stretch.lost)
        items, played = stretch.items, 0
        while played < len(items):
            await self._until(items[played].stored)
            await self._room()
            due = bisect_right(items, self._head.position(_now()), lo=played + 1, key=_stored)
            self._give(items[played:due])
            played = due
        await self._until(stretch.end)
        self._last = list(stretch.until)

    async def _go_live(self) -> None:
        """Give what is left up to where the hub takes over, then let it."""
        hub = self._node.hub
        self._holds = hub.hold(self.member.group)
        while not self._holds <= self.reached:
            after = self.reached
            page = await self._tape.rest(after, self._holds.later(after))
            self._tell_gap(after, page.lost)
            await self._room()
            self._give(page.items)
            self._last = list(page.until)
        group = self.member.group
        group.flush()
        if group.query.strategy == "batch":
            self._wait_no_more()
        self._put(Replay(subscription_id=group.id, ts=now_ms(), state="live"))
        self._live()
        hub.go_live(group)

    def _wait_no_more(self) -> None:
        awaited, group = self.member, self.member.group
        self.member = Member(group, awaited.outbox, group.cursor)
        self.member.told = awaited.told
        group.dismiss(awaited)
        group.admit(self.member)

    async def _until(self, position: int) -> None:
        """Wait until the playhead has come to a position."""
        while (left := self._head.left(position, _now())) > 0:
            self._turned.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if isinf(left) else max(left, TICK_SECONDS)):
                    await self._turned.wait()

    async def _room(self) -> None:
        """A client of `batch` is waited for."""
        if self.member.group.query.strategy == "batch":
            with self._standing():
                await self.member.outbox.room()

    @contextmanager
    def _standing(self) -> Iterator[None]:
        self._head.stand(_now())
        try:
            yield
        finally:
            self._head.go(_now())

    def _give(self, items: list[Item]) -> None:
        for item in items:
            self._last[item.partition] = item.order
            self.member.group.add(item, self._table.apply(item))

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            if self._head.speed:
                self._tell()

    def _tell(self) -> None:
        position, speed = int(self._head.position(_now())), self._head.speed
        state: Literal["playing", "paused"] = "playing" if speed else "paused"
        self._put(Replay(self.member.group.id, now_ms(), state, position, speed))

    def _tell_gap(self, after: Cursor, lost: Cursor) -> None:
        if not lost <= self.member.told:
            self.member.group.flush()
            self.member.group.announce_gap(self.member, after, after.later(lost))

    def _put(self, event: Replay) -> None:
        self.member.outbox.put(Frame(encode(event, self.member.group.query.view.format)))


class _Awaited(Member):
    """A member that is waited for: what it has no room for has not been played yet."""

    def take(self, frames: list[Frame]) -> bool:
        """All of them."""
        for frame in frames:
            self.outbox.put(frame)
        return True


def _member(group: Group, outbox: Outbox) -> Member:
    kind = _Awaited if group.query.strategy == "batch" else Member
    return kind(group, outbox, group.horizon)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _stored(item: Item) -> int:
    return item.stored
