"""Groups: all subscriptions that ask for the same, each frame made once for all of them.

Ids grow over all topics in the order in which the feed brings them (`wire.ids`). So one number says what a
group, or a member of it, has been given: everything up to it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator

from msgspec import Raw

from stream.item import Item
from stream.metrics import Metrics
from stream.outbox import Frame, Outbox
from stream.pending import pending
from stream.picture import picture
from stream.query import Query
from stream.recent import Flush, Recent
from stream.table import Table
from wire.clock import now_ms
from wire.ids import format_id
from wire.protocol import Gap, SubscriptionEvent, encode

__all__ = ["Group", "Member"]

FRAME_ITEMS = 1_000  # most items in a frame
PENDING_ITEMS = 10_000  # most that wait for a flush of `batch`; then it flushes early


class Member:
    """One client's place in a group.

    `cursor`: everything up to this id has been offered to it. It counts only while the member is apart from the
    group: `fresh`, since it joined in the middle of an interval, or behind, since its outbox was full.
    `skipped` are the readings that it was not given while behind.
    """

    __slots__ = ("cursor", "group", "missed_message", "outbox", "skipped")

    def __init__(self, group: Group, outbox: Outbox, cursor: int) -> None:
        self.group = group
        self.outbox = outbox
        self.cursor = cursor
        self.skipped = 0
        self.missed_message = False


class Group:
    """All members with one query.

    A member is `live` when it is where the group is; `fresh` when it knows more, since it joined in the middle of an
    interval, until the next flush; `behind` when its outbox was full.
    """

    def __init__(self, query: Query, table: Table, last: Callable[[], int], metrics: Metrics) -> None:
        self.id = secrets.token_urlsafe(6)
        self.query = query
        self.cursor = last()  # what the last flush went up to
        self.picture = picture(query, table)
        self._last = last
        self._metrics = metrics
        self._live: dict[Member, None] = {}
        self._fresh: dict[Member, None] = {}
        self._behind: dict[Member, None] = {}
        self._pending = pending(query)
        self._recent = Recent()
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
    def horizon(self) -> int:
        """The id up to which a snapshot says all."""
        return self._last() if self.picture.ahead else self.cursor

    def admit(self, member: Member) -> None:
        """Let a member take part from its cursor on; it must not lie before the group's."""
        assert member.cursor >= self.cursor
        self._behind.pop(member, None)
        if member.cursor > self.cursor and (len(self._pending) or member.cursor > self._last()):
            self._fresh[member] = None
        else:
            self._live[member] = None

    def retard(self, member: Member) -> None:
        """Let a member wait until it has caught up from its cursor."""
        self._live.pop(member, None)
        self._fresh.pop(member, None)
        self._behind[member] = None

    def holds(self, member: Member) -> bool:
        """Whether it is a member."""
        return member in self._live or member in self._fresh or member in self._behind

    def is_behind(self, member: Member) -> bool:
        """Whether it waits to catch up."""
        return member in self._behind

    def reached(self, member: Member) -> int:
        """The id up to which a member has been given everything."""
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
        before, self.cursor = self.cursor, self._last()
        if not gathered:
            return
        items = self.picture.news(gathered)
        count, conflated = len(items) + len(overtaken), len(overtaken)
        if self._behind:
            in_room = any(map(_in_room, items))
            for member in self._behind:
                member.skipped += count
                member.missed_message |= in_room
        frames = list(self.frames(items, self.cursor, conflated=conflated))
        for member in list(self._live):
            member.cursor = before
            self._offer(member, frames, items, count)
        for member in list(self._fresh):
            own = [item for item in items if item.order > member.cursor]
            skipped = sum(order > member.cursor for order in overtaken)
            until = max(self.cursor, member.cursor)
            self._offer(member, list(self.frames(own, until, conflated=skipped)), own, len(own) + skipped)
            if member in self._fresh and self.cursor >= member.cursor:
                del self._fresh[member]
                self._live[member] = None
        if self._behind and self.query.strategy == "batch":
            self._recent.add(Flush(before, self.cursor, frames, len(items)))
        else:
            self._recent.clear()
        metrics = self._metrics
        if items and (read := items[0].read) and metrics.samples("flush", now := now_ms()):
            metrics.observe_node(read, now)
        metrics.delivered.inc(len(items) * len(self._live))
        metrics.conflated.inc(conflated * len(self._live))

    def _offer(self, member: Member, frames: list[Frame], items: list[Item], count: int) -> None:
        if not _taken(member, frames):
            member.skipped, member.missed_message = count, any(map(_in_room, items))
            self._metrics.lagging.inc()
            self.retard(member)
        else:
            member.cursor = max(member.cursor, self.cursor)

    def snapshot(self, member: Member, after: int = 0) -> None:
        """Offer a member the state of everything that matches and changed after an id, and admit it. Where that does
        not say what it knows, it is the state of everything."""
        if not self.query.resumable:
            after = 0
        items = self.picture.since(after)
        member.cursor = max(self.horizon, after)
        frames = list(self.frames(items, member.cursor, snapshot=True))
        for frame in frames or [self._frame([], member.cursor, snapshot=True)]:
            member.outbox.put(frame)
        self.admit(member)

    def catch_up(self, member: Member) -> None:
        """Offer a member of `latest` that was behind the newest state of everything since its cursor, and how
        many readings it was not given; admit it."""
        items = self.picture.since(member.cursor)
        skipped = member.skipped - len(items)
        missed_message = member.missed_message
        if self.picture.ahead:
            waiting, overtaken = self._pending.look()
            skipped += len(waiting) + len(overtaken)
            missed_message |= any(_in_room(item) for item in waiting if item.order > member.cursor)
        if missed_message:
            self.announce_gap(member, member.cursor, self.horizon)
        for frame in self.frames(items, self.horizon, conflated=max(0, skipped)):
            member.outbox.put(frame)
        self._metrics.conflated.inc(max(0, skipped))
        member.cursor, member.skipped, member.missed_message = self.horizon, 0, False
        self.admit(member)

    def repeat(self, member: Member) -> bool:
        """Offer a member of `batch` that was behind the frames that it was not given, and admit it when it has them
        all. False when they are not there any more."""
        flushes = self._recent.since(member.cursor)
        for flush in flushes:
            if not _taken(member, flush.frames):
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

    def announce_gap(self, member: Member, after: int, until: int) -> None:
        """Tell a member that some of what was stored after one id, up to another, is gone for it."""
        gap = Gap(subscription_id=self.id, ts=now_ms(), from_=format_id(after), to=format_id(until))
        member.outbox.put(Frame(encode(gap, self.query.view.format)))
        self._metrics.gaps.inc()

    def frames(self, items: list[Item], until: int, *, conflated: int = 0, snapshot: bool = False) -> Iterator[Frame]:
        """Items, oldest first, as frames; the last one's cursor says that they are all there is up to an id."""
        for start in range(0, len(items), FRAME_ITEMS):
            part = items[start : start + FRAME_ITEMS]
            last = start + FRAME_ITEMS >= len(items)
            cursor = until if last else min(part[-1].order, until)
            yield self._frame(part, cursor, conflated if last else 0, snapshot=snapshot, more=snapshot and not last)

    def _frame(
        self, items: list[Item], cursor: int, conflated: int = 0, *, snapshot: bool = False, more: bool = False
    ) -> Frame:
        view, text = self.query.view, format_id(cursor)
        event = SubscriptionEvent(
            subscription_id=self.id,
            ts=now_ms(),
            cursor=text,
            snapshot=snapshot,
            more=more,
            conflated=conflated,
            data=[Raw(item.encoded(view)) for item in items],
        )
        return Frame(encode(event, view.format), text)

    def rewind(self, order: int) -> None:
        """Go back to an id that may lie before where the group was."""
        self.cursor = min(self.cursor, order)
        self._recent.clear()
        for member in self.members:
            member.cursor = min(member.cursor, order)

    def stop(self) -> None:
        """Cancel the flush that is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _taken(member: Member, frames: list[Frame]) -> bool:
    """Offer all frames of a flush: all are taken, or none, since how many there are is not the client's fault."""
    if frames and not member.outbox.offer(frames[0]):
        return False
    for frame in frames[1:]:
        member.outbox.put(frame)
    return True


def _in_room(item: Item) -> bool:
    """Whether it was said in a room: `latest` can't give it again, and says so. Those who want commands or replies
    without a gap subscribe to them by themselves, and get `batch`."""
    return item.topic.startswith("rooms/")
