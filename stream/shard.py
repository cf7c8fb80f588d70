"""A shard: one partition as a node sees it. Its feed, its history, and what of it the node follows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from redis.asyncio import Redis

from store.lives import Loss, begin, described, gaps
from stream.feed import Feed, Published
from stream.history import History
from stream.hub import Hub
from stream.intake import Intake
from stream.interest import Interest
from wire.cursor import Cursor
from wire.partition import Partition
from wire.topics import matches

__all__ = ["Shard"]

log = logging.getLogger("fleetwire.stream.shard")

RECOVER_SECONDS = 60


class Shard:
    """Brings what its partition stores to the hub: live, and after each break what was missed.

    `asked` is for what clients ask, and has only so many connections; `redis` is the shard's own, so that however
    many ask, the feed goes on. `changed()` is called when its feed is live, or no more.
    """

    def __init__(
        self, redis: Redis, asked: Redis, partition: Partition, hub: Hub, changed: Callable[[], None]
    ) -> None:
        self.redis = redis
        self.partition = partition
        self.history = History(asked, partition)
        self._asked = asked
        self._own = History(redis, partition)
        self._hub = hub
        self._number = partition.number
        self._intake = Intake(partition, hub.metrics)
        self._feed = Feed(redis, partition, self._receive, self._lose, self._recover, changed, hub.metrics)
        self.interest = Interest(self._number, self._feed, self._own, hub)
        self._losses: list[Loss] = []

    @property
    def live(self) -> bool:
        """Whether the feed is."""
        return self._feed.live

    async def run(self) -> None:
        """Until cancelled."""
        async with self.redis, self._asked, asyncio.TaskGroup() as group:
            group.create_task(self._feed.run(), name="feed")
            group.create_task(self.interest.run(), name="interest")

    def gaps(self, cursor: Cursor) -> list[tuple[Cursor, Cursor]]:
        """What Redis has lost of what somebody with this cursor has not seen."""
        found = gaps(self._losses, cursor[self._number])
        return [(cursor.at(self._number, after), cursor.at(self._number, until)) for after, until in found]

    def lost(self, after: int, until: int) -> int:
        """Up to which id, between two others, Redis has for certain lost something; 0 where it has not."""
        return max((loss.until for loss in self._losses if loss.certain and after < loss.until <= until), default=0)

    def _receive(self, messages: list[Published]) -> None:
        for item in self._intake.items(messages):
            self._hub.deliver(item)

    async def _recover(self) -> int:
        """After the feed was connected: deliver what was stored since it broke, then go on live.

        The newest id is read before the logs, and these only up to it: what comes later comes by the feed.
        """
        async with asyncio.timeout(RECOVER_SECONDS):
            last, known = self._hub.last[self._number], self._losses
            self._losses = await begin(self.redis, self.partition, last)
            newest = await self._deliver_missed()
            found = [loss for loss in self._losses if loss.certain and last and loss not in known]
            for loss in found:
                self._announce_loss(loss, last)
            # What this node has seen and Redis has not is forgotten, so that all nodes show the same.
            forget = [loss.after for loss in found if loss.after < last]
            if forget:
                self._hub.table.forget(self._number, min(forget))
            await self.interest.recover()
            if forget:
                self._hub.renew(self._number)
            return newest

    async def _deliver_missed(self) -> int:
        hub, history, number = self._hub, self._own, self._number
        newest = await history.last()
        if hub.groups and newest >= hub.last[number]:
            names = [name for filter in self.interest.filters() for name in await history.topics(filter)]
            after = hub.last[number]
            more = bool(names)
            while more:
                page = await history.page(names, after, newest)
                self._announce_trimmed(after, page.lost)
                for item in page.items:
                    hub.deliver(item)
                after, more = page.until, page.more
        hub.advance(number, newest)
        return newest

    def _announce_trimmed(self, after: int, lost: dict[str, int]) -> None:
        """To those of `batch`, what the logs have no more; what a later page finds is mostly known from the first."""
        for group in self._hub.groups if lost else ():
            until = max((id for topic, id in lost.items() if matches(group.query.filter, topic)), default=0)
            if until and group.query.strategy == "batch":
                for member in group.members:
                    if until > member.told[self._number]:
                        cursor = group.given(member)
                        group.announce_gap(member, cursor.at(self._number, after), cursor.at(self._number, until))

    def _lose(self, loss: Loss) -> None:
        """Somebody else has found out what Redis has lost."""
        if loss not in self._losses:
            self._losses = [known for known in self._losses if known.until != loss.until] + [loss]
            self._announce_loss(loss, loss.after)

    def _announce_loss(self, loss: Loss, seen: int) -> None:
        """Tell those of `batch`, and those who were shown what Redis has no more."""
        log.error("Redis has lost what it stored after %s", described(loss))
        number = self._number
        for group in self._hub.groups:
            if number in group.partitions and (group.query.strategy == "batch" or seen > loss.after):
                for member in group.members:
                    cursor = group.given(member)
                    group.announce_gap(
                        member, cursor.at(number, max(loss.after, seen)), cursor.at(number, loss.until)
                    )
