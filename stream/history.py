"""What Redis remembers: last known states and logs, by topic filter."""

from __future__ import annotations

import logging
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis

from stream.item import Item
from stream.logs import Entries, Reader
from stream.pipe import Pipe, open_pipe
from stream.table import State, merge
from wire import keys, topics
from wire.ids import LAST, format_id, parse_id
from wire.partition import Partition
from wire.reading import UNREADABLE, Body, decode_message, decode_reading
from wire.store import parse_entry, parse_state

__all__ = ["History", "Moment", "Page"]

log = logging.getLogger("fleetwire.stream.history")

T = TypeVar("T")

PIPELINE_COMMANDS = 1_000
PAGE_ITEMS = 1_000
_FIELDS = {b"b", b"l"}  # of the entries of a log, see `wire.store.parse_entry`
LOOK_BACK = 8  # readings of a topic, from which its state in the past is put together
LOOK_BACK_TOPICS = 100


class Page(NamedTuple):
    """Items of a partition in the order of their ids, up to and including `until`; `more` if the logs go on after.

    `lost`: topics whose entries after the asked-for id were trimmed, or may have been, with the last such id.
    """

    items: list[Item]
    until: int
    more: bool
    lost: dict[str, int]


class Moment(NamedTuple):
    """How things were at an id. `states`: items that, merged, are the states of the topics. `begun`: whether any log
    goes back to there. `following`: the first id after it (0: nothing came since)."""

    states: list[Item]
    begun: bool
    following: int


class History:
    """Reads states and logs of one partition. Raises redis.RedisError when Redis is away."""

    def __init__(self, redis: Redis, partition: Partition) -> None:
        self._redis = redis
        self._partition = partition
        self._key = partition.key

    async def topics(self, filter: str) -> list[str]:
        """The topics with a name that Redis knows and the filter matches."""
        found: list[str] = []
        wanted = keys.patterns(filter)
        if "rooms/*" in wanted:
            found += [f"rooms/{room}" for room in await self._names(keys.ROOMS)]
        for pattern in wanted:
            if pattern.startswith("fleets/"):
                fleet = pattern.split("/")[1]
                found += [topic async for topic in self._vehicles(await self._fleets(fleet))]
        return [topic for topic in found if topics.matches(filter, topic)]

    async def _fleets(self, fleet: str) -> list[str]:
        return await self._names(keys.FLEETS) if fleet == "*" else [fleet]

    async def _vehicles(self, fleets: list[str]) -> AsyncIterator[str]:
        for fleet in fleets:
            for vehicle in await self._names(keys.fleet(fleet)):
                for kind in topics.KINDS:
                    yield f"fleets/{fleet}/{vehicle}/{kind}"

    async def _names(self, key: str) -> list[str]:
        names = await self._redis.smembers(self._key(key))
        return sorted(name.decode() if isinstance(name, bytes) else name for name in names)

    async def states(self, filter: str) -> list[Item]:
        """Last known states of the topics that a filter matches, as items; a topic may come in several, which
        together, merged, are its state."""
        names = [topic for topic in await self.topics(filter) if not topics.carries_messages(topic)]
        found = []
        for some in _chunks(names, PIPELINE_COMMANDS):
            async with self._redis.pipeline(transaction=False) as pipe:
                for topic in some:
                    pipe.hgetall(self._key(keys.state(topic)))
                for topic, fields in zip(some, await pipe.execute(), strict=True):
                    try:
                        state = [(parse_id(id), decode_reading(body)) for id, body in parse_state(fields)]
                    except UNREADABLE:
                        log.warning("a state that can't be read: %s", topic)
                    else:
                        found += [self._item(topic, order, reading) for order, reading in state]
        return found

    async def merged_states(self, filter: str) -> list[Item]:
        """One item a topic, in the order of their ids."""
        merged: dict[str, State] = {}
        for item in await self.states(filter):
            merged[item.topic] = merge(merged.get(item.topic), item) or merged[item.topic]
        return sorted((state.item for state in merged.values()), key=lambda item: item.order)

    async def moment(self, filter: str, order: int) -> Moment:
        """How things were at an id: from the states that nothing has changed since, and from the last LOOK_BACK
        readings of each log up to there. A signal that a device sends more seldom than that, and has sent since, is
        not to be found."""
        states = [item for item in await self.states(filter) if item.order <= order]
        begun, following = False, LAST
        id = format_id(order)
        for some in _chunks(await self.topics(filter), LOOK_BACK_TOPICS):
            async with self._redis.pipeline(transaction=False) as pipe:
                for topic in some:
                    pipe.xrevrange(self._key(keys.log(topic)), id, count=LOOK_BACK)
                    pipe.xrange(self._key(keys.log(topic)), f"({id}", count=1)
                results = await pipe.execute()
            for topic, before, after in zip(some, results[::2], results[1::2], strict=True):
                begun |= bool(before)
                following = min([following, *(parse_id(id) for id, _ in after)])
                states += self._items(topic, before) if not topics.carries_messages(topic) else ()
        return Moment(states, begun, following if following < LAST else 0)

    async def last(self) -> int:
        """The newest id given out: what was stored up to it is complete in the logs."""
        clock = await self._redis.get(self._key(keys.CLOCK))
        return parse_id(clock) if clock else 0

    async def complete(self) -> int:
        """The id up to which the logs have all that there will ever be: ids are given by the clock of Redis."""
        clock, (seconds, micros) = await self.last(), await self._redis.time()
        return max(clock, parse_id(f"{seconds * 1000 + micros // 1000}-0") - 1)

    async def read(self, filter: str, after: int, until: int, limit: int) -> Page:
        """The logs of what a filter matches, after one id up to another."""
        return await self.page(await self.topics(filter), after, until, limit)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """What `stream.logs` reads with, on a connection of its own."""
        async with open_pipe(self._redis) as pipe:
            yield _Reader(pipe, self._key)

    async def page(self, names: list[str], after: int, until: int = LAST, limit: int = PAGE_ITEMS) -> Page:
        """The logs of some topics after one id up to another, at most `limit` items."""
        each = max(10, limit // max(1, len(names)))
        first, last = f"({format_id(after)}", format_id(until)
        items: list[Item] = []
        horizon = until
        lost: dict[str, int] = {}
        for some in _chunks(names, PIPELINE_COMMANDS):
            async with self._redis.pipeline(transaction=False) as pipe:
                for topic in some:
                    pipe.xrange(self._key(keys.log(topic)), first, last, count=each)
                    pipe.xinfo_stream(self._key(keys.log(topic)))
                results = await pipe.execute(raise_on_error=False)
            for topic, entries, info in zip(some, results[::2], results[1::2], strict=True):
                if isinstance(entries, Exception):
                    raise entries
                items += self._items(topic, entries)
                if len(entries) == each:
                    horizon = min(horizon, parse_id(entries[-1][0]))
                if not isinstance(info, Exception) and (trimmed := _trimmed_after(info, after)):
                    lost[topic] = trimmed
        items = sorted((item for item in items if item.order <= horizon), key=lambda item: item.order)
        more = horizon < until
        if len(items) > limit:
            items, more = items[:limit], True
        return Page(items, items[-1].order if more and len(items) == limit else horizon, more, lost)

    def _items(self, topic: str, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[Item]:
        """Entries as items; what somebody else has written there and nobody can read is passed over."""
        for id, fields in entries:
            try:
                yield self._item(topic, parse_id(id), _decode(topic, parse_entry(fields)))
            except (KeyError, *UNREADABLE):
                log.warning("an entry that can't be read, in the log of %s: %s", topic, id.decode())

    def _item(self, topic: str, order: int, body: Body) -> Item:
        return Item(topic, order, body, partition=self._partition.number)


class _Reader:
    """A `stream.logs.Reader`."""

    def __init__(self, pipe: Pipe, key: Callable[[str], str]) -> None:
        self._pipe = pipe
        self._key = key

    def entries(self, topic: str, after: int, until: int, count: int) -> Future[Entries]:
        span = f"({format_id(after)}", format_id(until)
        return self._pipe.ask(_entries, "XRANGE", self._key(keys.log(topic)), *span, "COUNT", str(count))

    def trimmed(self, topic: str, after: int) -> Future[int]:
        return self._pipe.ask(partial(_trimmed, after), "XINFO", "STREAM", self._key(keys.log(topic)))


def _entries(reply: Any) -> Entries:
    if isinstance(reply, Exception):
        raise reply
    contents = [content for _, content in reply]
    if {content[0] for content in contents} <= _FIELDS:
        bodies = [content[1] for content in contents]
    else:
        bodies = [content[1] if content[0] in _FIELDS else b"" for content in contents]
    return Entries([id for id, _ in reply], bodies)


def _trimmed(after: int, reply: Any) -> int:
    if isinstance(reply, Exception):  # there is no such log
        return 0
    found = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return _trimmed_after({name.decode(): value for name, value in found.items()}, after)


def _trimmed_after(info: dict[str, Any], after: int) -> int:
    """The id up to which entries after `after` are, or may be, gone from a log; 0 when none are."""
    first = info["first-entry"]
    if first is None or info["entries-added"] == info["length"]:
        return 0
    order = parse_id(first[0])
    return order - 1 if order > after else 0


def _decode(topic: str, body: bytes) -> Body:
    return decode_message(body) if topics.carries_messages(topic) else decode_reading(body)


def _chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk
