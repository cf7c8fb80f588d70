"""Walks through logs: topic by topic, or all of them together in the order of ids."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from heapq import heapify, heappop, heapreplace
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

from stream.answering import answering
from wire.ids import SEQUENCE_BITS

__all__ = ["Entries", "Logs", "Reach", "Reader", "Record", "Stretch", "by_topic", "chunks", "in_order", "lost"]

T = TypeVar("T")

READ_ENTRIES = 4_000
READ_BYTES = 8_388_608  # of them, as far as those before tell
FIRST_ENTRIES = 500  # when there are none before
AHEAD = 2  # topics that are asked for while another is worked on
LEAST = 10  # entries of one topic that are worth a command
ASKED = 500  # commands under way at once
SLICE, SLICE_BYTES = 500, 131_072  # most records given at once, and bytes of them, but for the last


class Entries(NamedTuple):
    """Entries of a log in two lists, as many in both; the body of a foreign one is empty."""

    ids: list[bytes]
    bodies: list[bytes]


class Reader(Protocol):
    """Asks at once; what is awaited is the answer, in the order of asking. Raises redis.RedisError."""

    def entries(self, topic: str, after: int, until: int, count: int) -> Awaitable[Entries]:
        """The first `count` entries of a log after one id up to another."""
        ...

    def trimmed(self, topic: str, after: int) -> Awaitable[int]:
        """The id up to which entries after `after` are, or may be, gone from a log; 0 when none are."""
        ...


class Logs(Protocol):
    """Where the logs are. Raises redis.RedisError when Redis is away."""

    async def topics(self, filter: str) -> list[str]:
        """The topics that a filter matches."""
        ...

    async def complete(self, filter: str) -> int:
        """The id up to which the logs of these topics have all that there will ever be."""
        ...

    def reader(self, names: Iterable[str]) -> AbstractAsyncContextManager[Reader]:
        """A reader of one's own for the logs of some topics."""
        ...


class Reach(NamedTuple):
    """What is read: the logs of topics, by name, after one id up to another."""

    names: list[str]
    after: int
    until: int


class Stretch(NamedTuple):
    """Bodies from the log of a topic; `end`: the last of them."""

    topic: str
    bodies: list[bytes]
    end: bool


class Record(NamedTuple):
    """An entry with its topic and its id: as `wire.ids.parse_id` orders it, and as text."""

    topic: str
    order: int
    id: str
    body: bytes


async def by_topic(reader: Reader, reach: Reach) -> AsyncGenerator[Stretch, None]:
    """All logs, one after the other. Raises CommandError, reason `unavailable`, as all of these do."""
    names, after, until = reach
    rest = iter(names)
    asked = deque((name, reader.entries(name, after, until, READ_ENTRIES)) for name in islice(rest, AHEAD))
    while asked:
        topic, answer = asked.popleft()
        ids, bodies = await _answered(answer)
        asked.extend((name, reader.entries(name, after, until, READ_ENTRIES)) for name in islice(rest, 1))
        while len(ids) == READ_ENTRIES:
            yield Stretch(topic, bodies, end=False)
            ids, bodies = await _answered(reader.entries(topic, _order(ids[-1]), until, READ_ENTRIES))
        yield Stretch(topic, bodies, end=True)


async def in_order(reader: Reader, reach: Reach, at_once: int = READ_ENTRIES) -> AsyncGenerator[list[Record], None]:
    """All logs together, some records at a time. `at_once`: how many are read at once, of all logs."""
    sources = [_Source(name, reach.after) for name in reach.names]
    at_once = min(at_once, READ_ENTRIES)
    size = await _fill(reader, reach.until, sources, at_once, 0)
    heap = [(source.head, place) for place, source in enumerate(sources) if source.records]
    heapify(heap)
    found: list[Record] = []
    given = 0
    while heap:
        place = heap[0][1]
        source = sources[place]
        record = source.records.popleft()
        found.append(record)
        given += len(record.body)
        if not source.records and source.open:
            size = await _fill(reader, reach.until, sources, at_once, size) or size
        if source.records:
            heapreplace(heap, (source.head, place))
        else:
            heappop(heap)
        if len(found) == SLICE or given >= SLICE_BYTES or not heap:
            yield found
            found, given = [], 0


async def lost(reader: Reader, names: Iterable[str], after: int) -> int:
    """The newest id up to which some of the logs no longer have all that was stored after one; 0 when all have it."""
    found = 0
    for some in chunks(names, ASKED):
        for answer in [reader.trimmed(name, after) for name in some]:
            found = max(found, await _answered(answer))
    return found


class _Source:
    """A log, as far as it was read; `open`: there may be more."""

    __slots__ = ("open", "reached", "records", "topic")

    def __init__(self, topic: str, after: int) -> None:
        self.topic = topic
        self.reached = after
        self.records: deque[Record] = deque()
        self.open = True

    @property
    def head(self) -> int:
        return self.records[0].order

    def feed(self, entries: Entries, count: int) -> None:
        topic = self.topic
        found = zip(*entries, strict=True)
        self.records.extend([Record(topic, _order(id), id.decode(), body) for id, body in found])
        self.open = len(entries.ids) == count
        if self.records:
            self.reached = self.records[-1].order


async def _fill(reader: Reader, until: int, sources: Sequence[_Source], at_once: int, size: int) -> int:
    """Read on in all logs of which not much is left: mostly they run out together. `size`: what an entry has had in
    bytes, 0 when nobody knows yet. Returns what these have; 0 when there were none."""
    unread = [source for source in sources if source.open]
    count = _share(len(unread), at_once, size)
    entries = read = 0
    for some in chunks((source for source in unread if len(source.records) <= count // 2), ASKED):
        answers = [reader.entries(source.topic, source.reached, until, count) for source in some]
        for source, answer in zip(some, answers, strict=True):
            found = await _answered(answer)
            source.feed(found, count)
            entries += len(found.bodies)
            read += sum(map(len, found.bodies))
    return -(-read // entries) if entries else 0


def _share(logs: int, at_once: int, size: int) -> int:
    """How many entries are read of each of so many logs."""
    if not logs or not size:
        return max(1, min(at_once, FIRST_ENTRIES) // max(1, logs))
    return max(1, min(max(LEAST, at_once // logs), READ_BYTES // (size * logs)))


def _order(id: bytes) -> int:
    """As `parse_id`, for an id that Redis has written: in a quarter of the time."""
    ms, _, n = id.partition(b"-")
    return int(ms) << SEQUENCE_BITS | int(n)


async def _answered(answer: Awaitable[T]) -> T:
    async with answering():
        return await answer


def chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """The values in lists of this size; the last may be shorter."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk
