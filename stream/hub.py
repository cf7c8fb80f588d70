"""The hub: groups of subscriptions that ask for the same, each encoded once for all of its members.

Ids grow over all topics in the order in which the feed brings them (`wire.ids`). So one number says what a
group, or a member of it, has been given: everything up to it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from typing import Literal, NamedTuple

from msgspec import Raw

from stream.item import Item, View
from stream.metrics import Metrics
from stream.outbox import Frame, Outbox
from stream.table import Table
from wire.clock import now_ms
from wire.ids import format_id
from wire.protocol import Gap, SubscriptionEvent, encode
from wire.reading import Message
from wire.topics import Trie

__all__ = ["Group", "Hub", "Member", "Query"]

FRAME_ITEMS = 1_000  # most items in a frame
PENDING_ITEMS = 10_000  # most that wait for a flush of `batch`; then it flushes early


class Query(NamedTuple):
    """What a subscription asks for: the key of its group. `interval`: ms between frames."""

    filter: str
    strategy: Literal["latest", "batch"]
    interval: int
    view: View


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
    """All members with one query."""

    def __init__(self, query: Query, hub: Hub) -> None:
        self.id = secrets.token_urlsafe(6)
        self.query = query
        self.cursor = hub.last  # what the last flush went up to
        self._hub = hub
        self._live: dict[Member, None] = {}
        self._fresh: dict[Member, None] = {}
        self._behind: dict[Member, None] = {}
        self._pending: dict[str | int, Item] = {}
        self._conflated = 0
        self._overtaken: list[int] = []  # the orders of those, while a fresh member must tell them apart
        self._timer: asyncio.Handle | None = None

    @property
    def empty(self) -> bool:
        """Whether nobody is left."""
        return not (self._live or self._fresh or self._behind)

    @property
    def members(self) -> list[Member]:
        """All of them."""
        return [*self._live, *self._fresh, *self._behind]

    def admit(self, member: Member) -> None:
        """Let a member take part from its cursor on; it must not lie before the group's."""
        assert member.cursor >= self.cursor
        self._behind.pop(member, None)
        if self._pending or member.cursor > self._hub.last:
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

    def dismiss(self, member: Member) -> None:
        """Forget a member."""
        for members in (self._live, self._fresh, self._behind):
            members.pop(member, None)

    def add(self, item: Item, state: Item | None) -> None:
        """Take what the feed brought, with the topic's new state (None: unchanged, it came late)."""
        if not self.query.view.shows(item.body):
            return
        if self.query.strategy == "batch" or isinstance(item.body, Message):
            self._pending[item.order] = item
            if len(self._pending) >= PENDING_ITEMS:
                self.flush()
        elif state is not None:
            # Taken out first, so that pending stays in the order of ids.
            overtaken = self._pending.pop(item.topic, None)
            self._pending[item.topic] = state
            if overtaken is not None:
                self._conflated += 1
                if self._fresh:
                    self._overtaken.append(overtaken.order)
        else:
            return
        if self._timer is None:
            loop = asyncio.get_running_loop()
            interval = self.query.interval
            self._timer = loop.call_later(interval / 1000, self.flush) if interval else loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what is pending: one encoding, the same bytes for all members that are with the group."""
        self.stop()
        # Ids come in order from the feed; states that were loaded may be ahead of it.
        items = sorted(self._pending.values(), key=lambda item: item.order)
        conflated, overtaken = self._conflated, self._overtaken
        self._pending, self._conflated, self._overtaken = {}, 0, []
        before, self.cursor = self.cursor, self._hub.last
        if not items:
            return
        count = len(items) + conflated
        metrics = self._hub.metrics
        frames = list(self.frames(items, self.cursor, conflated=conflated))
        for member in self._behind:
            member.skipped += count
            member.missed_message |= any(map(_in_room, items))
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
        metrics.delivered.inc(len(items) * len(self._live))
        metrics.conflated.inc(conflated * len(self._live))

    def _offer(self, member: Member, frames: list[Frame], items: list[Item], count: int) -> None:
        for place, frame in enumerate(frames):
            if not member.outbox.offer(frame):
                if place:
                    member.cursor = min(items[place * FRAME_ITEMS - 1].order, self.cursor)
                member.skipped = count - place * FRAME_ITEMS
                member.missed_message = any(map(_in_room, items[place * FRAME_ITEMS :]))
                self._hub.metrics.lagging.inc()
                self.retard(member)
                return
        member.cursor = max(member.cursor, self.cursor)

    def snapshot(self, member: Member, after: int = 0) -> None:
        """Offer a member the state of everything that matches and changed after an id, and admit it."""
        items = self._states(after)
        member.cursor = max(self._hub.last, after)
        frames = list(self.frames(items, member.cursor, snapshot=True))
        for frame in frames or [self._frame([], member.cursor, snapshot=True)]:
            member.outbox.put(frame)
        self.admit(member)

    def catch_up(self, member: Member) -> None:
        """Offer a member of `latest` that was behind the newest state of everything since its cursor, and how
        many readings it was not given; admit it."""
        items = self._states(member.cursor)
        skipped = member.skipped + len(self._pending) + self._conflated - len(items)
        waiting = (item for item in self._pending.values() if item.order > member.cursor)
        if member.missed_message or any(map(_in_room, waiting)):
            self.announce_gap(member, member.cursor, self._hub.last)
        for frame in self.frames(items, self._hub.last, conflated=max(0, skipped)):
            member.outbox.put(frame)
        self._hub.metrics.conflated.inc(max(0, skipped))
        member.cursor, member.skipped, member.missed_message = self._hub.last, 0, False
        self.admit(member)

    def announce_gap(self, member: Member, after: int, until: int) -> None:
        """Tell a member that some of what was stored after one id, up to another, is gone for it."""
        gap = Gap(subscription_id=self.id, ts=now_ms(), from_=format_id(after), to=format_id(until))
        member.outbox.put(Frame(encode(gap, self.query.view.format)))
        self._hub.metrics.gaps.inc()

    def frames(self, items: list[Item], until: int, *, conflated: int = 0, snapshot: bool = False) -> Iterator[Frame]:
        """Items, oldest first, as frames; the last one's cursor says that they are all there is up to an id."""
        for start in range(0, len(items), FRAME_ITEMS):
            part = items[start : start + FRAME_ITEMS]
            last = start + FRAME_ITEMS >= len(items)
            cursor = until if last else min(part[-1].order, until)
            yield self._frame(part, cursor, conflated=conflated if last else 0, snapshot=snapshot)

    def _frame(self, items: list[Item], cursor: int, *, conflated: int = 0, snapshot: bool = False) -> Frame:
        view, text = self.query.view, format_id(cursor)
        event = SubscriptionEvent(
            subscription_id=self.id,
            ts=now_ms(),
            cursor=text,
            snapshot=snapshot,
            conflated=conflated,
            data=[Raw(item.encoded(view)) for item in items],
        )
        return Frame(encode(event, view.format), text)

    def _states(self, after: int) -> list[Item]:
        view = self.query.view
        return [item for item in self._hub.table.matching(self.query.filter, after) if view.shows(item.body)]

    def rewind(self, order: int) -> None:
        """Go back to an id that may lie before where the group was."""
        self.cursor = min(self.cursor, order)
        for member in self.members:
            member.cursor = min(member.cursor, order)

    def stop(self) -> None:
        """Cancel the flush that is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Hub:
    """Finds the groups that an item is for."""

    def __init__(self, table: Table, metrics: Metrics) -> None:
        self.table = table
        self.metrics = metrics
        self.last = 0  # the newest id that the feed has brought, or that healing has reached
        self._groups: dict[Query, Group] = {}
        self._filters: Trie[Group] = Trie()
        self._routes: dict[str, list[Group]] = {}  # topic -> its groups, as long as the groups stay the same

    @property
    def groups(self) -> list[Group]:
        """All groups."""
        return list(self._groups.values())

    def group(self, query: Query) -> Group:
        """The group with this query, made when there is none."""
        group = self._groups.get(query)
        if group is None:
            group = self._groups[query] = Group(query, self)
            self._filters.add(query.filter, group)
            self._routes.clear()
            self.metrics.groups.set(len(self._groups))
        return group

    def leave(self, member: Member) -> None:
        """Take a member out of its group, and the group away when it was the last."""
        group = member.group
        group.dismiss(member)
        if group.empty and self._groups.get(group.query) is group:
            group.stop()
            del self._groups[group.query]
            self._filters.remove(group.query.filter, group)
            self._routes.clear()
            self.metrics.groups.set(len(self._groups))

    def deliver(self, item: Item) -> None:
        """Pass on what the feed brought. What it brought before, by its id, is dropped."""
        if item.order <= self.last:
            return
        self.last = item.order
        self._dispatch(item, self.table.apply(item))

    def refresh(self, items: list[Item]) -> None:
        """Merge states that were loaded; what changed goes to the groups of `latest`."""
        for group in self.groups:
            group.flush()  # so that no fresh member holds a cursor above what comes now
        for item in items:
            state = self.table.apply(item)
            if state is not None:
                for group in self._route(item.topic):
                    if group.query.strategy == "latest":
                        group.rewind(state.order - 1)
                        group.add(state, state)

    def advance(self, order: int) -> None:
        """Go on from another id: everything up to it has been delivered, or the store began anew below."""
        self.last = order
        for group in self.groups:
            group.flush()
            group.rewind(order)

    def _dispatch(self, item: Item, state: Item | None) -> None:
        for group in self._route(item.topic):
            group.add(item, state)

    def _route(self, topic: str) -> list[Group]:
        groups = self._routes.get(topic)
        if groups is None:
            groups = self._filters.match(topic)
            if len(self._routes) < 1_000_000:
                self._routes[topic] = groups
        return groups


def _in_room(item: Item) -> bool:
    """Whether it was said in a room: `latest` can't give it again, and says so. Those who want commands or replies
    without a gap subscribe to them by themselves, and get `batch`."""
    return item.topic.startswith("rooms/")
