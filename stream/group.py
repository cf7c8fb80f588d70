"""Groups: all subscriptions that ask for the same, each frame made once for all of them.

Ids of a partition grow in the order in which its feed brings them (`wire.ids`). So a cursor, one id for each, says
what a group, or a member of it, has been given: everything up to it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from stream.framer import Framer
from stream.item import Item
from stream.member import Member
from stream.metrics import Metrics
from stream.outbox import Frame
from stream.pending import Held, pending
from stream.picture import picture
from stream.query import Query
from stream.recent import Flush, Recent
from stream.table import Table
from wire.clock import now_ms
from wire.cursor import Cursor
from wire.reading import Message

__all__ = ["Group"]

RECENT_SECONDS = 5.0
PENDING_ITEMS = 10_000  # most that wait for a flush of `batch`; then it flushes early


class Group:
    """All members with one query.

    A member is `live` when it is where the group is; `fresh` when it knows more, since it joined in the middle of an
    interval, until the next flush; `behind` when its outbox was full.
    """

    def __init__(
        self,
        query: Query,
        table: Table,
        reached: Callable[[], Cursor],
        partitions: frozenset[int],
        metrics: Metrics,
    ) -> None:
        """`reached`: how far the node is. `partitions`: those with topics that the filter matches."""
        self.id = query.own or secrets.token_urlsafe(6)
        self.query = query
        self.cursor = reached()  # what the last flush went up to
        self.partitions = partitions
        self.framer = Framer(self.id, query.view, partitions)
        self.picture = picture(query, table)
        self._reached = reached
        self._metrics = metrics
        self._live: dict[Member, None] = {}
        self._fresh: dict[Member, None] = {}
        self._behind: dict[Member, None] = {}
        self._pending = pending(query)
        self._recent = Recent()
        self._keep_until = 0.0  # frames are kept while somebody is behind, and a while longer, for those who follow
        self._partial = query.view.partial and not query.placed  # a vehicle also moves by what is not shown
        self._timer: asyncio.Handle | None = None

    @property
    def empty(self) -> bool:
        """Whether nobody is left."""
        return not (self._live or self._fresh or self._behind)

    @property
    def members(self) -> list[Member]:
        """All of them."""
        return [*self._live, *self._fresh, *self._behind]

    @property
    def horizon(self) -> Cursor:
        """Up to where a snapshot says all."""
        return self._reached() if self.picture.ahead else self.cursor

    def admit(self, member: Member) -> None:
        """Let a member take part from its cursor on; it must not lie before the group's."""
        assert member.cursor >= self.cursor
        self._behind.pop(member, None)
        if member.cursor > self.cursor and (len(self._pending) or not member.cursor <= self._reached()):
            self._fresh[member] = None
        else:
            self._live[member] = None

    def retard(self, member: Member) -> None:
        """Let a member wait until it has caught up from its cursor."""
        self._live.pop(member, None)
        self._fresh.pop(member, None)
        self._behind[member] = None
        self._keep_until = asyncio.get_running_loop().time() + RECENT_SECONDS

    def holds(self, member: Member) -> bool:
        """Whether it is a member."""
        return member in self._live or member in self._fresh or member in self._behind

    def is_behind(self, member: Member) -> bool:
        """Whether it waits to catch up."""
        return member in self._behind

    def given(self, member: Member) -> Cursor:
        """Up to where a member has been given everything."""
        return self.cursor if member in self._live else member.cursor

    def dismiss(self, member: Member) -> None:
        """Forget a member."""
        for members in (self._live, self._fresh, self._behind):
            members.pop(member, None)

    def add(self, item: Item, state: Item | None) -> None:
        """Take what the feed brought, with the topic's new state (None: unchanged, it came late)."""
        if not self.wants(item) or not self._pending.add(item, state):
            return
        if self._timer is None:
            loop = asyncio.get_running_loop()
            interval = self.query.interval
            self._timer = loop.call_later(interval / 1000, self.flush) if interval else loop.call_soon(self.flush)
        elif len(self._pending) >= PENDING_ITEMS and self.query.strategy == "batch":
            self.flush()

    def wants(self, item: Item) -> bool:
        """Whether there is anything in it for this group."""
        return not self._partial or self.query.view.shows(item.body)

    def flush(self) -> None:
        """Send what is pending: one encoding, the same bytes for all members that are with the group."""
        self.stop()
        gathered, overtaken = self._pending.take()
        previous, self.cursor = self.cursor, self._reached()
        if not gathered:
            return
        items = self.picture.news(gathered)
        count, conflated = len(items) + len(overtaken), len(overtaken)
        if self._behind:
            in_room = any(map(_in_room, items))
            for member in self._behind:
                member.skipped += count
                member.missed_message |= in_room
        frames = list(self.framer.frames(items, self.cursor, conflated=conflated))
        for member in list(self._live):
            member.cursor = previous
            self._offer(member, frames, items, count)
        for member in list(self._fresh):
            own = _after(items, member.cursor)
            skipped = _count_after(overtaken, member.cursor)
            until = self.cursor.later(member.cursor)
            self._offer(member, list(self.framer.frames(own, until, conflated=skipped)), own, len(own) + skipped)
            if member in self._fresh and self.cursor >= member.cursor:
                del self._fresh[member]
                self._live[member] = None
        if self.query.strategy == "batch" and (self._behind or asyncio.get_running_loop().time() < self._keep_until):
            self._recent.add(Flush(previous, self.cursor, frames, len(items)))
        else:
            self._recent.clear()
        metrics = self._metrics
        if items and (read := items[0].read) and metrics.samples("flush", now := now_ms()):
            metrics.observe_node(read, now)
        metrics.delivered.inc(len(items) * len(self._live))
        metrics.conflated.inc(conflated * len(self._live))

    def _offer(self, member: Member, frames: list[Frame], items: list[Item], count: int) -> None:
        if not member.take(frames):
            member.skipped, member.missed_message = count, any(map(_in_room, items))
            self._metrics.lagging.inc()
            self.retard(member)
        else:
            member.cursor = member.cursor.later(self.cursor)

    def snapshot(self, member: Member, after: Cursor | None = None) -> None:
        """Offer a member the state of everything that matches and changed after a cursor, and admit it. Where that
        does not say what it knows, it is the state of everything."""
        if not self.query.resumable:
            after = None
        items = self.picture.since(after)
        member.cursor = self.horizon if after is None else self.horizon.later(after)
        for frame in self.framer.snapshot(items, member.cursor):
            member.outbox.put(frame)
        self.admit(member)

    def renew(self, table: Table) -> None:
        """Show everybody the state of everything anew."""
        self.flush()
        self.picture = picture(self.query, table)
        for member in self.members:
            self.dismiss(member)
            member.skipped, member.missed_message = 0, False
            self.snapshot(member)

    def hold(self, until: Cursor) -> None:
        """Keep back what comes after a cursor, while the log is played up to there."""
        self._pending = Held(self._pending, until)

    def go_live(self, table: Table, reached: Callable[[], Cursor]) -> None:
        """Go on with what was kept back: `latest` with the states of a table, and all of them."""
        held = self._pending
        assert isinstance(held, Held)
        self.flush()
        self._pending, self._reached = held.pending, reached
        self.cursor = self.cursor.earlier(reached())  # Redis may have begun anew meanwhile
        latest = self.query.strategy == "latest"
        for item, state in held.later:
            if not latest or isinstance(item.body, Message):
                self.add(item, state)
        if latest:
            self.renew(table)

    def catch_up(self, member: Member) -> None:
        """Offer a member of `latest` that was behind the newest state of everything since its cursor, and how
        many readings it was not given; admit it."""
        items = self.picture.since(member.cursor)
        until = self.horizon.later(member.cursor)  # it may come from a node that is ahead
        skipped = member.skipped - len(items)
        missed_message = member.missed_message
        if self.picture.ahead:
            gathered, overtaken = self._pending.look()
            waiting = _after(gathered, member.cursor)
            skipped += len(waiting) + _count_after(overtaken, member.cursor)
            missed_message |= any(map(_in_room, waiting))
        if missed_message:
            self.announce_gap(member, member.cursor, until)
        for frame in self.framer.frames(items, until, conflated=max(0, skipped)):
            member.outbox.put(frame)
        self._metrics.conflated.inc(max(0, skipped))
        member.cursor, member.skipped, member.missed_message = until, 0, False
        self.admit(member)

    def repeat(self, member: Member) -> bool:
        """Offer a member of `batch` that was behind the frames that it was not given, and admit it when it has them
        all. False when they are not there any more."""
        flushes = self._recent.since(member.cursor)
        for flush in flushes:
            if not member.take(flush.frames):
                return True  # it will be called for again
            member.cursor = flush.until
            self._metrics.delivered.inc(flush.items)
        if flushes:
            member.cursor = self.cursor
            self.admit(member)
        return bool(flushes)

    def rejoin(self, member: Member) -> None:
        """Admit a member that was given the log up to where the group is; where the others know more than the log
        says, with that."""
        if self.picture.ahead:
            self.admit(member)
        else:
            self.snapshot(member)

    def announce_gap(self, member: Member, after: Cursor, until: Cursor) -> None:
        """Tell a member that some of what was stored after one cursor, up to another, is gone for it."""
        member.outbox.put(self.framer.gap(after, until))
        member.told = member.told.later(until)
        self._metrics.gaps.inc()

    def rewind(self, partition: int, order: int) -> None:
        """Go back to an id of a partition that may lie before where the group was."""
        self._recent.clear()
        if self.cursor[partition] > order:
            self.cursor = self.cursor.at(partition, order)
        for member in self.members:
            if member.cursor[partition] > order:
                member.cursor = member.cursor.at(partition, order)

    def stop(self) -> None:
        """Cancel the flush that is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _after(items: list[Item], cursor: Cursor) -> list[Item]:
    return [item for item in items if item.order > cursor[item.partition]]


def _count_after(places: list[tuple[int, int]], cursor: Cursor) -> int:
    return sum(order > cursor[partition] for partition, order in places)


def _in_room(item: Item) -> bool:
    """Whether it was said in a room: `latest` can't give it again, and says so. Those who want commands or replies
    without a gap subscribe to them by themselves, and get `batch`."""
    return item.topic.startswith("rooms/")
