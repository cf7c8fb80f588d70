"""Replays: members of `batch` that are behind are given from the logs what they missed.

When a node dies, all who were in one group come to another node with one cursor, or few: what one of them needs is
read and encoded once, and the others are given the same bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from stream.group import Group
from stream.member import Member
from stream.outbox import Frame
from stream.pages import Pages
from wire.cursor import Cursor, parse_cursor
from wire.errors import CommandError

__all__ = ["Replays"]

log = logging.getLogger("fleetwire.stream.replays")

KEPT_STEPS = 8  # of a group; a step is a page of the log, encoded

Read = Callable[[str, Cursor, Cursor], Awaitable[Pages]]


class Step(NamedTuple):
    """Frames for everything after one cursor, up to another, and what of it is gone."""

    after: Cursor
    until: Cursor
    frames: list[Frame]
    lost: Cursor


class Replays:
    """`read(filter, after, until)` gives a page of the logs, or raises CommandError. `run` it; then members may
    `start`."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._tasks: asyncio.TaskGroup | None = None
        self._replayed: set[Member] = set()
        self._waiting: dict[tuple[Group, Cursor], list[Member]] = {}
        self._steps: WeakKeyDictionary[Group, deque[Step]] = WeakKeyDictionary()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            await asyncio.Event().wait()

    def start(self, member: Member) -> None:
        """Serve a member that is behind, from its cursor on. Its outbox may drain for another subscription's sake
        while that goes on: then there is nothing to do."""
        if member not in self._replayed:
            self._replayed.add(member)
            if member.group.query.resumable:
                self._go_on(member)
            else:
                self._begin(self._retell(member))

    def _go_on(self, member: Member) -> None:
        """Give a member what is at hand; what it wants beyond that is read, for all who want it."""
        group = member.group
        while group.holds(member):
            if group.cursor <= member.cursor:
                group.rejoin(member)
                break
            if group.repeat(member):
                break
            step = next((step for step in self._steps.get(group, ()) if step.after == member.cursor), None)
            if step is None:
                self._wait(member)
                return
            if not _give(member, step):
                break  # it will be called for again, when it has drained
        self._replayed.discard(member)

    def _wait(self, member: Member) -> None:
        place = member.group, member.cursor
        waiting = self._waiting.get(place)
        if waiting is None:
            self._waiting[place] = waiting = []
            self._begin(self._serve(*place))
        waiting.append(member)

    async def _serve(self, group: Group, cursor: Cursor) -> None:
        """Read a step, for those who wait for it."""
        try:
            step = await self._step(group, cursor)
        except CommandError as error:
            for member in self._waiting.pop((group, cursor)):
                self._fail(member, error)
            return
        except BaseException:
            self._replayed.difference_update(self._waiting.pop((group, cursor)))
            raise
        self._steps.setdefault(group, deque(maxlen=KEPT_STEPS)).append(step)
        for member in self._waiting.pop((group, cursor)):
            self._go_on(member)

    async def _step(self, group: Group, cursor: Cursor) -> Step:
        group.flush()  # so that who has come so far is where the others are
        page = await self._read(group.query.filter, cursor, group.cursor.later(cursor))
        items = [item for item in page.items if group.wants(item)]
        return Step(cursor, page.until, list(group.framer.frames(items, page.until)), page.lost)

    async def _retell(self, member: Member) -> None:
        """The same where what is told depends on what was told before: for a member by itself."""
        group, picture = member.group, member.group.picture.blank()
        try:
            first = True
            while group.holds(member) and (first or not group.cursor <= member.cursor):
                first = False
                page = await self._read(group.query.filter, member.cursor, group.horizon.later(member.cursor))
                _tell_gap(member, page.lost)
                items = picture.news([item for item in page.items if group.wants(item)])
                for frame in group.framer.frames(items, page.until):
                    await member.outbox.room()
                    if not group.holds(member):
                        return
                    member.outbox.put(frame)
                    member.cursor = member.cursor.later(parse_cursor(frame.cursor, len(member.cursor)))
                member.cursor = member.cursor.later(page.until)
        except CommandError as error:
            self._fail(member, error)
        else:
            if group.holds(member):
                group.rejoin(member)
        finally:
            self._replayed.discard(member)

    def _fail(self, member: Member, error: CommandError) -> None:
        self._replayed.discard(member)
        if member.group.holds(member):  # the client comes back with its cursor, here or elsewhere
            log.warning("a replay failed: %s", error)
            member.outbox.close(1012)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        self._tasks.create_task(work, name="replay")


def _give(member: Member, step: Step) -> bool:
    _tell_gap(member, step.lost)
    if not member.take(step.frames):
        return False
    member.cursor = step.until
    return True


def _tell_gap(member: Member, lost: Cursor) -> None:
    """What is gone, if the member does not know it yet."""
    if not lost <= member.told:
        member.group.announce_gap(member, member.cursor, member.cursor.later(lost))
