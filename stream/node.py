"""The node: shards, table, hub and replays joined; what all doors ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from store.places import Places
from stream.answering import answering
from stream.archive import Archive
from stream.auth import Authority
from stream.desk import Desk
from stream.gate import Gate
from stream.group import Group
from stream.history import Moment
from stream.hub import Hub
from stream.item import Item
from stream.member import Member
from stream.metrics import Metrics
from stream.outbox import Outbox
from stream.pace import Pace
from stream.pages import Pages, moment, read
from stream.past import Past
from stream.publisher import Publisher
from stream.query import Query
from stream.rate import rate
from stream.replays import Replays
from stream.settings import Settings
from stream.shard import Shard
from stream.table import Table
from wire import keys
from wire.cursor import Cursor
from wire.errors import CommandError

__all__ = ["Node"]

log = logging.getLogger("fleetwire.stream")


class Node:
    """One stateless node. `run` it; then sessions subscribe, publish and ask."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.authority = Authority(settings.keys(), settings.jwt_audience, settings.jwt_issuer)
        limits = settings.limits
        self.gate = Gate(limits, self.metrics.refusals)
        self.commands = rate(limits.commands_s, limits.commands_burst)
        self.pace = Pace(rate(limits.bytes_s, limits.bytes_burst), self.metrics.throttled)
        places = Places(settings.redis_url, settings.redis_files)
        self.layout = places.layout
        self.hub = Hub(self.layout, Table(), self.metrics)
        self._shards = [
            Shard(
                places.redis(partition, retries=1),
                places.redis(partition, retries=1),
                partition,
                self.hub,
                self._look,
            )
            for partition in self.layout.partitions
        ]
        self.publisher = Publisher(places, settings.retention, settings.limits.waiting_commands)
        self.past = Past(Archive(self.layout, self._shards), Desk(limits, settings.retention, self.metrics))
        self._replays = Replays(self.read)
        self._tasks: asyncio.TaskGroup | None = None
        self._outboxes: set[Outbox] = set()
        self._was_live = False
        self._pinging: asyncio.Task[bool] | None = None
        self.draining = False

    async def run(self) -> None:
        """Until cancelled."""
        async with self.publisher, asyncio.TaskGroup() as self._tasks:
            self.begin(self._replays.run(), "replays")
            for shard in self._shards:
                self.begin(shard.run(), f"shard {shard.partition.number}")

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Work that ends with the node, if not before."""
        assert self._tasks is not None
        return self._tasks.create_task(work, name=name)

    def _look(self) -> None:
        """A feed has become live, or broke."""
        if self._live and not self._was_live:
            log.info("the feed from Redis is live")
        self._was_live = self._live
        self.metrics.live.set(self._live)

    @property
    def _live(self) -> bool:
        """Whether all feeds are."""
        return all(shard.live for shard in self._shards)

    async def ready(self) -> bool:
        """Whether the feed is live, Redis answers, and the node is not about to stop."""
        if self.draining or not self._live or self._tasks is None:
            return False
        if self._pinging is None or self._pinging.done():
            self._pinging = self._tasks.create_task(self._answers(), name="ping")
        return await asyncio.shield(self._pinging)  # once for all who ask meanwhile

    async def _answers(self) -> bool:
        try:
            async with answering():
                await asyncio.gather(*(shard.redis.ping() for shard in self._shards))
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

    def refused(self, reason: str) -> None:
        """Somebody was not let in: counted."""
        self.metrics.refusals.labels(reason).inc()

    def shards(self, filter: str) -> list[Shard]:
        """Where the topics are that a filter matches."""
        return [self._shards[partition.number] for partition in self.layout.matching(filter)]

    async def follow(self, filter: str) -> None:
        """Make the table ready for a filter; each wants an `unfollow`, also when it raises.

        Raises CommandError, reason `unavailable`, when Redis is away.
        """
        shards = self.shards(filter)
        for shard in shards:
            shard.interest.hold(filter)
        async with answering():
            await asyncio.gather(*(shard.interest.ready(filter) for shard in shards))

    def unfollow(self, filter: str) -> None:
        """Take back one `follow`."""
        for shard in self.shards(filter):
            shard.interest.release(filter)

    def group(self, query: Query) -> Group:
        """The group of a query whose filter is followed."""
        return self.hub.group(query)

    def join(self, group: Group, outbox: Outbox, *, snapshot: bool, since: Cursor | None) -> Member:
        """A client's place in a group: with what it has not seen first, then live, without a gap."""
        member = Member(group, outbox, group.horizon)
        if since is None:
            if snapshot:
                group.snapshot(member)
            else:
                group.admit(member)
        elif group.query.strategy == "batch":
            self._resume(member, since.only(group.partitions, group.horizon))
        else:
            self._refresh(member, since.only(group.partitions, group.horizon))
        return member

    def _resume(self, member: Member, since: Cursor) -> None:
        group = member.group
        member.cursor = since
        if not since <= group.horizon:
            group.flush()
        self._tell_losses(member)
        if group.query.resumable:
            self.catch_up(member)
        else:  # the frames of the others build on what they know
            group.retard(member)
            self._replays.start(member)

    def _refresh(self, member: Member, since: Cursor) -> None:
        """Show a returning client of `latest` what has changed; where Redis has lost something, all that there is."""
        group = member.group
        member.cursor = since
        if self._tell_losses(member):
            group.snapshot(member)
            return
        if not self.hub.reached <= since and "rooms/*" in keys.patterns(group.query.filter):
            group.announce_gap(member, since, self.hub.reached.later(since))  # the table has no messages of rooms
        group.snapshot(member, since)

    def _tell_losses(self, member: Member) -> bool:
        """Announce what Redis has lost since a member's cursor; whether there is any."""
        shards = [self._shards[number] for number in sorted(member.group.partitions)]
        found = [gap for shard in shards for gap in shard.gaps(member.cursor)]
        for after, until in found:
            member.group.announce_gap(member, after, until)
        return bool(found)

    def catch_up(self, member: Member) -> None:
        """Give a member that is behind what it has not seen: from the table, or from the log."""
        if member.group.query.strategy == "latest":
            member.group.catch_up(member)
        else:
            member.group.retard(member)
            self._replays.start(member)

    def leave(self, member: Member) -> None:
        """Give up a place in a group."""
        self.hub.leave(member)

    async def states(self, filter: str) -> list[Item]:
        """The current state of what a filter matches. Raises CommandError, reason `unavailable`, also when too many
        ask."""
        async with self.past.desk.place("state"), answering():
            found = await asyncio.gather(*(shard.history.merged_states(filter) for shard in self.shards(filter)))
        return sorted((item for items in found for item in items), key=lambda item: (item.order, item.partition))

    async def read(self, filter: str, after: Cursor, until: Cursor) -> Pages:
        """What was stored after one cursor, up to another that the hub has reached. Raises CommandError, reason
        `unavailable`."""
        async with answering():
            return await read(self.shards(filter), filter, after, until)

    async def moment(self, filter: str, cursor: Cursor) -> Moment:
        """How what a filter matches was at a cursor. Raises CommandError, reason `unavailable`."""
        async with answering():
            return await moment(self.shards(filter), filter, cursor)
