"""What the node follows of a partition: the patterns that its clients' filters need, and which states are loaded."""

from __future__ import annotations

import asyncio
from collections import Counter

from stream.feed import Feed
from stream.history import History
from stream.hub import Hub
from stream.item import Item
from wire import keys, topics

__all__ = ["Interest"]

LINGER_SECONDS = 10.0
ALL_FLEETS = "fleets/*"


class Interest:
    """Keeps the feed on few, disjoint patterns that cover every filter that is held, and the table filled for
    them. A pattern that nobody needs any more is kept for a while, since people reload pages, and serves meanwhile
    for what it covers."""

    def __init__(self, number: int, feed: Feed, history: History, hub: Hub) -> None:
        self._number = number  # of the partition
        self._feed = feed
        self._history = history
        self._hub = hub
        self._held: Counter[str] = Counter()  # pattern -> how many filters need it
        self._followed: set[str] = set()
        self._heard: set[str] = set()  # of these, what the feed is known to bring
        self._loaded: set[tuple[str, str]] = set()  # pattern, kind
        self._loading: set[tuple[str, str]] = set()
        self._lock = asyncio.Lock()

    def hold(self, filter: str) -> None:
        """Need what a filter needs, until it is taken back by `release`."""
        self._held.update(keys.patterns(filter))

    async def ready(self, filter: str) -> None:
        """Returns when the table has every state that a filter matches that is held, and the feed is at least as far
        as these. Raises redis.RedisError when Redis is away, TimeoutError when the feed is silent."""
        if not self._missing(filter) and all(_covered(pattern, self._heard) for pattern in keys.patterns(filter)):
            return
        async with self._lock:
            self._follow(self._followed)
            self._loading = set(self._missing(filter))
            try:
                await self._load(self._loading)
            finally:
                self._loading = set()
            self._heard = set(self._followed)
            self._drop({one for one in self._unneeded() if _covered(one, self._followed - {one})})

    def release(self, filter: str) -> None:
        """Take back one `hold`."""
        self._held.subtract(keys.patterns(filter))

    def filters(self) -> list[str]:
        """Filters for everything that is followed now."""
        return [pattern.replace("*", "#") for pattern in self._followed]

    async def recover(self) -> None:
        """Load the states again, after the feed broke: what changed meanwhile is new to the groups."""
        wanted = self._loaded | self._loading  # what is being loaded was read before, perhaps
        states = [item for pattern, kind in wanted for item in await self._states(pattern, kind)]
        self._hub.refresh(states)

    async def run(self) -> None:
        """Forget what was not needed for a while. Until cancelled."""
        while True:
            before = self._unneeded()
            await asyncio.sleep(LINGER_SECONDS)
            if before & self._unneeded():
                async with self._lock:
                    self._drop(before & self._unneeded())

    def _needed(self) -> set[str]:
        held = {pattern for pattern, count in self._held.items() if count > 0}
        if ALL_FLEETS in held:
            held = {pattern for pattern in held if pattern == ALL_FLEETS or not pattern.startswith("fleets/")}
        return held

    def _unneeded(self) -> set[str]:
        return self._followed - self._needed()

    def _follow(self, patterns: set[str]) -> None:
        """What is needed and not covered by these. What two patterns bring is dropped by its id, the second time."""
        for pattern in sorted(self._needed()):
            if not _covered(pattern, patterns):
                self._feed.follow(pattern)
                self._followed.add(pattern)

    def _drop(self, patterns: set[str]) -> None:
        """Follow these no more. What is needed of what they cover is followed first."""
        if not patterns:
            return
        self._follow(self._followed - patterns)
        for pattern in sorted(patterns):
            self._feed.unfollow(pattern)
        self._followed -= patterns
        self._heard -= patterns
        self._loaded = {(pattern, kind) for pattern, kind in self._loaded if _covered(pattern, self._followed)}
        self._hub.table.keep(self._number, self.filters())

    def _missing(self, filter: str) -> list[tuple[str, str]]:
        levels = filter.split("/")
        asked = (levels[3],) if len(levels) == 4 and levels[3] in topics.KINDS else topics.KINDS
        kinds = [kind for kind in asked if not topics.carries_messages(f"/{kind}")]  # messages have no state
        return [
            (pattern, kind)
            for pattern in keys.patterns(filter)
            if pattern != "rooms/*"
            for kind in kinds
            if (pattern, kind) not in self._loaded and (ALL_FLEETS, kind) not in self._loaded
        ]

    async def _load(self, missing: set[tuple[str, str]]) -> None:
        states = [item for pattern, kind in missing for item in await self._states(pattern, kind)]
        # The states may be ahead of the feed: let it come after, before anyone sees them. Then it has brought, or
        # the logs hold, all that was stored up to the id that was the newest before.
        newest = await self._history.last()
        await self._feed.sync()
        last = self._hub.last
        last[self._number] = max(last[self._number], newest)
        self._hub.refresh(states)
        self._loaded.update(missing)

    async def _states(self, pattern: str, kind: str) -> list[Item]:
        scope = "fleets/+/+" if pattern == ALL_FLEETS else pattern.replace("*", "+")
        return await self._history.states(f"{scope}/{kind}")


def _covered(pattern: str, patterns: set[str]) -> bool:
    return pattern in patterns or (ALL_FLEETS in patterns and pattern.startswith("fleets/"))
