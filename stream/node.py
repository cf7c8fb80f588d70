"""The node: feed, table, hub and history joined; what all doors ask."""

from __future__ import annotations

import asyncio
import logging

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream.answering import REDIS_TIMEOUT_SECONDS, answering
from stream.auth import Authority
from stream.feed import Feed, Published
from stream.group import Group, Member
from stream.history import History, Page
from stream.hub import Hub
from stream.intake import Intake
from stream.interest import Interest
from stream.item import Item
from stream.metrics import Metrics
from stream.outbox import Outbox
from stream.publisher import Publisher
from stream.query import Query
from stream.settings import Settings
from stream.table import Table
from wire import keys
from wire.errors import CommandError
from wire.ids import parse_id
from wire.topics import matches

__all__ = ["Node"]

log = logging.getLogger("fleetwire.stream")

RECOVER_SECONDS = 60


class Node:
    """One stateless node. `run` it; then sessions subscribe, publish and ask."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.authority = Authority(settings.jwt_key)
        self.hub = Hub(Table(), self.metrics)
        self._redis = Redis.from_url(
            settings.redis_url,
            socket_timeout=None,  # `answering` bounds each use; see the feed for why
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self.publisher = Publisher(settings.redis_url, settings.retention)
        self.history = History(self._redis)
        self._intake = Intake(self.metrics)
        self._feed = Feed(settings.redis_url, self._receive, self._recover, self.metrics)
        self._interest = Interest(self._feed, self.history, self.hub)
        self._replays: asyncio.TaskGroup | None = None
        self._replayed: set[Member] = set()
        self._outboxes: set[Outbox] = set()
        self.draining = False

    async def run(self) -> None:
        """Until cancelled."""
        async with self._redis, self.publisher, asyncio.TaskGroup() as self._replays:
            self._replays.create_task(self._feed.run(), name="feed")
            self._replays.create_task(self._interest.run(), name="interest")

    async def ready(self) -> bool:
        """Whether the feed is live, Redis answers, and the node is not about to stop."""
        if self.draining or not self._feed.live:
            return False
        try:
            async with answering():
                await self._redis.ping()
        except CommandError:
            return False
        return True

    def enter(self, outbox: Outbox) -> None:
        """A client has come."""
        self._outboxes.add(outbox)
        if self.draining:
            outbox.close(1012)

    def exit(self, outbox: Outbox) -> None:
        """A client has gone."""
        self._outboxes.discard(outbox)

    def drain(self) -> None:
        """Take no more clients, and send those who are here to another node (close code 1012)."""
        self.draining = True
        for outbox in self._outboxes:
            outbox.close(1012)

    async def follow(self, filter: str) -> None:
        """Make the table ready for a filter; each wants an `unfollow`, also when it raises.

        Raises CommandError, reason `unavailable`, when Redis is away.
        """
        async with answering():
            await self._interest.hold(filter)

    def unfollow(self, filter: str) -> None:
        """Take back one `follow`."""
        self._interest.release(filter)

    def group(self, query: Query) -> Group:
        """The group of a query whose filter is followed."""
        return self.hub.group(query)

    def join(self, group: Group, outbox: Outbox, *, snapshot: bool, since: int | None) -> Member:
        """A client's place in a group: with what it has not seen first, then live, without a gap."""
        query = group.query
        member = Member(group, outbox, group.horizon)
        if since is not None and query.strategy == "batch":
            member.cursor = since
            if since > group.horizon:
                group.flush()
            if query.resumable:
                self.catch_up(member)
            else:  # the frames of the others build on what they know
                group.retard(member)
                self._replay_later(member)
        elif snapshot or since is not None:
            if since is not None and since < self.hub.last and "rooms/*" in keys.patterns(query.filter):
                group.announce_gap(member, since, self.hub.last)  # the table has no messages of rooms
            group.snapshot(member, since or 0)
        else:
            group.admit(member)
        return member

    def catch_up(self, member: Member) -> None:
        """Give a member that is behind what it has not seen: from the table, or from the log."""
        if member.group.query.strategy == "latest":
            member.group.catch_up(member)
        else:
            member.group.retard(member)
            # The outbox may drain for another subscription's sake, in the middle of a replay.
            if member not in self._replayed and not member.group.repeat(member):
                self._replay_later(member)

    def _replay_later(self, member: Member) -> None:
        self._replayed.add(member)
        assert self._replays is not None
        self._replays.create_task(self._replay(member), name="replay")

    async def _replay(self, member: Member) -> None:
        group, picture = member.group, member.group.picture.blank()
        try:
            first = True
            while group.holds(member) and (member.cursor < group.cursor or first):
                # The names are read after the end is known, so that no topic is new after them.
                until = max(member.cursor, group.horizon)
                async with answering():
                    names = await self.history.topics(group.query.filter)
                    page = await self.history.page(names, member.cursor, until)
                if page.lost and first:
                    group.announce_gap(member, member.cursor, max(page.lost.values()))
                first = False
                items = picture.news([item for item in page.items if group.wants(item)])
                for frame in group.frames(items, page.until):
                    await member.outbox.room()
                    if not group.holds(member):
                        return
                    member.outbox.put(frame)
                    member.cursor = max(member.cursor, parse_id(frame.cursor))
                member.cursor = max(member.cursor, page.until)
        except CommandError as error:
            # The client comes back with its cursor, here or elsewhere.
            log.warning("a replay failed: %s", error)
            member.outbox.close(1012)
        else:
            if group.holds(member):
                group.rejoin(member)
        finally:
            self._replayed.discard(member)

    def leave(self, member: Member) -> None:
        """Give up a place in a group."""
        self.hub.leave(member)

    async def states(self, filter: str) -> list[Item]:
        """The current state of what a filter matches. Raises CommandError, reason `unavailable`."""
        async with answering():
            return await self.history.merged_states(filter)

    async def page(self, filter: str, after: int, until: int, limit: int) -> Page:
        """Stored items of what a filter matches. Raises CommandError, reason `unavailable`."""
        async with answering():
            # What is stored meanwhile could be in one log and not yet in another: it belongs to the next page.
            until = min(until, await self.history.last())
            return await self.history.page(await self.history.topics(filter), after, until, limit)

    def _receive(self, messages: list[Published]) -> None:
        for item in self._intake.items(messages):
            self.hub.deliver(item)

    async def _recover(self) -> None:
        """After the feed was connected: deliver what was stored since it broke, then go on live.

        The newest id is read before the logs, and these only up to it: what comes later comes by the feed.
        """
        async with asyncio.timeout(RECOVER_SECONDS):
            await self._deliver_missed()
            await self._interest.recover()

    async def _deliver_missed(self) -> None:
        newest = await self.history.last()
        if self.hub.groups and newest >= self.hub.last:
            names = [name for filter in self._interest.filters() for name in await self.history.topics(filter)]
            start = after = self.hub.last
            more = bool(names)
            while more:
                page = await self.history.page(names, after, newest)
                if after == start:  # what a later page finds trimmed is known from the first
                    self._announce_gaps(after, page.lost)
                for item in page.items:
                    self.hub.deliver(item)
                after, more = page.until, page.more
        self.hub.advance(newest)

    def _announce_gaps(self, after: int, lost: dict[str, int]) -> None:
        for group in self.hub.groups:
            until = max((id for topic, id in lost.items() if matches(group.query.filter, topic)), default=0)
            if until and group.query.strategy == "batch":
                for member in group.members:
                    group.announce_gap(member, after, until)
