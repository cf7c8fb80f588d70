"""What was stored, for clients: pages of it, or all of it piece by piece; readings, or what they come to."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import lru_cache
from typing import NamedTuple

from msgspec import Raw

from stream.answering import answering
from stream.buckets import Buckets
from stream.desk import Desk
from stream.item import Item, View
from stream.logs import Logs, Reach, Reader, Record, by_topic, chunks, in_order, lost
from stream.span import cursor, span
from stream.tables import Table
from stream.turns import Turns
from wire import topics
from wire.errors import CommandError, TopicError
from wire.ids import format_id
from wire.protocol import Format, History, MessageItem, ReadingItem, encode
from wire.reading import UNREADABLE, Body, decode_message, decode_reading

__all__ = ["Page", "Past", "Whole"]

log = logging.getLogger("fleetwire.stream.past")

SLICE_BYTES = 262_144  # of readings that are added up at once: some 4 ms
SLICE_ITEMS = 250  # windows that are encoded at once
# A page ends with the item, or the topic, that reaches this; readings of its last slice count as they are stored.
PAGE_BYTES = 4_194_304
TOPICS = 10_000  # whose kind is remembered


class Page(NamedTuple):
    """Items, encoded, in JSON several in a part; the cursor of the page after this one, if there is one; and that up
    to which the logs no longer have everything that was asked for, if so."""

    data: list[Raw]
    cursor: str | None
    trimmed: str | None


class Whole(NamedTuple):
    """All that a command asks for, as it is shown in JSON; `trimmed` as in a page, by the time of asking."""

    asked: History
    view: View
    reach: Reach
    trimmed: str | None


class Past:
    """Answers history commands. Everything raises CommandError; reason `unavailable` when Redis is away.

    A page of readings goes on by id. A page of windows goes on by topic, with all windows of each."""

    def __init__(self, logs: Logs, desk: Desk) -> None:
        self._logs = logs
        self.desk = desk
        self._turns = Turns()

    async def page(self, asked: History, view: View) -> Page:
        """Items after the command's cursor."""
        async with self.desk.place("page"):
            return await self._page(asked, view)

    async def _page(self, asked: History, view: View) -> Page:
        reach = await self._reach(asked)
        async with self._reader(reach) as reader:
            if asked.window is None:
                data, after = await self._readings(reader, reach, view, asked.limit)
            else:
                data, after = await self._windows(reader, reach, view, asked.window, asked.limit)
                if after is not None:
                    reach = reach._replace(names=reach.names[: bisect_right(reach.names, after)])
            return Page(data, after, await _trimmed(reader, reach))

    async def whole(self, asked: History, view: View) -> Whole:
        """What there is, to be read by `pieces`."""
        reach = await self._reach(asked)
        async with self._reader(reach) as reader:
            return Whole(asked, view, reach, await _trimmed(reader, reach))

    async def pieces(self, whole: Whole, table: Table) -> AsyncGenerator[bytes, None]:
        """All of it as a table, as fast as it is taken."""
        asked, view, reach, _ = whole
        yield table.head(windows=asked.window is not None, meta=asked.meta)
        async with self._reader(reach) as reader:
            if asked.window is None:
                async with aclosing(in_order(reader, reach)) as slices:
                    async for records in slices:
                        async with self._turns:
                            piece = table.readings(_items(records, view), view)
                        yield piece
            else:
                async with aclosing(self._buckets(reader, reach, view, asked.window)) as found:
                    async for _, buckets in found:
                        for some in chunks(buckets.items(), SLICE_ITEMS):
                            async with self._turns:
                                piece = table.windows(some)
                            yield piece

    async def _reach(self, asked: History) -> Reach:
        self.desk.check(asked)
        after, until = span(asked)
        if asked.window is not None and topics.only_messages(asked.topic):
            raise CommandError("bad_request", "a window is of readings: messages have none")
        async with answering():
            # What is stored meanwhile could be in one log and not yet in another: it belongs to the next page. The
            # names are read after the end is known, so that no topic is new after them.
            until = min(until, await self._logs.complete(asked.topic))
            names = sorted(await self._logs.topics(asked.topic))
        self.desk.check_topics(asked, len(names))
        if asked.window is not None:
            names = [name for name in names if not topics.carries_messages(name)]
            names = names[bisect_right(names, _topic(asked.after)) if asked.after is not None else 0 :]
        elif asked.after is not None:
            after = cursor(asked.after)
        return Reach(names, after, until)

    @asynccontextmanager
    async def _reader(self, reach: Reach) -> AsyncIterator[Reader]:
        async with AsyncExitStack() as stack:
            async with answering():
                reader = await stack.enter_async_context(self._logs.reader(reach.names))
            yield reader

    async def _readings(self, reader: Reader, reach: Reach, view: View, limit: int) -> tuple[list[Raw], str | None]:
        data: list[Raw] = []
        reached, count, encoded = reach.after, 0, 0
        async with aclosing(in_order(reader, reach, limit + 1)) as slices:
            async for records in slices:
                async with self._turns:
                    shown, full = [], False
                    size = encoded  # and of this slice what is stored, until it is encoded too
                    for item, body in _readable(records, view):
                        # What has the same id, in another partition, goes on the same page.
                        full = (count >= limit or size >= PAGE_BYTES) and item.order > reached
                        if full:
                            break
                        shown.append(item.shown(view))
                        reached = item.order
                        count += 1
                        size += len(item.topic) + len(body)
                    parts = _encoded(shown, view.format)
                    data += map(Raw, parts)
                    encoded += sum(map(len, parts))
                    if full:
                        return data, format_id(reached)
        return data, None

    async def _windows(
        self, reader: Reader, reach: Reach, view: View, window: int, limit: int
    ) -> tuple[list[Raw], str | None]:
        data: list[Raw] = []
        reached, size = "", 0
        async with aclosing(self._buckets(reader, reach, view, window, limit)) as found:
            async for topic, buckets in found:
                if data and (len(data) + len(buckets) > limit or size >= PAGE_BYTES):
                    return data, reached
                for some in chunks(buckets.items(), SLICE_ITEMS):
                    async with self._turns:
                        items = [encode(item, view.format) for item in some]
                        data += map(Raw, items)
                        size += sum(map(len, items))
                reached = topic
        return data, None

    async def _buckets(
        self, reader: Reader, reach: Reach, view: View, window: int, limit: int | None = None
    ) -> AsyncGenerator[tuple[str, Buckets], None]:
        """The buckets of each topic. Raises CommandError, reason `bad_request`, when one has more than `limit`."""
        buckets = None
        async with aclosing(by_topic(reader, reach)) as stretches:
            async for topic, bodies, end in stretches:
                buckets = buckets or Buckets(topic, window, view)
                size = max(1, SLICE_BYTES // max(1, len(bodies[0]))) if bodies else 1
                for some in chunks(bodies, size):
                    async with self._turns:
                        if unread := buckets.add(some):
                            log.warning("%d entries that can't be read, in the log of %s", unread, topic)
                    if limit is not None and len(buckets) > limit:
                        raise _too_many(topic, window, limit)
                if end:
                    yield topic, buckets
                    buckets = None


def _too_many(topic: str, window: int, limit: int) -> CommandError:
    return CommandError(
        "bad_request",
        f"{topic} has more than {limit} windows of {window} ms: ask for a larger window, for less time (from, to), "
        "or for more with limit (at most 10000)",
    )


def _topic(text: str) -> str:
    """The topic in a cursor between windows."""
    try:
        topics.parse(text)
    except TopicError:
        raise CommandError("invalid_cursor", "not a cursor of a page of windows") from None
    return text


async def _trimmed(reader: Reader, reach: Reach) -> str | None:
    found = await lost(reader, reach.names, reach.after)
    return format_id(found) if found else None


def _items(records: Iterable[Record], view: View) -> Iterator[Item]:
    return (item for item, _ in _readable(records, view))


def _readable(records: Iterable[Record], view: View) -> Iterator[tuple[Item, bytes]]:
    """What a view shows of them, with their bodies; what somebody else wrote and nobody can read is passed over."""
    for topic, order, id, body in records:
        try:
            item = Item(topic, order, _decoder(topic)(body), id=id)
        except UNREADABLE:
            log.warning("an entry that can't be read, in the log of %s: %s", topic, id)
            continue
        if view.shows(item.body):
            yield item, body


@lru_cache(TOPICS)
def _decoder(topic: str) -> Callable[[bytes], Body]:
    return decode_message if topics.carries_messages(topic) else decode_reading


def _encoded(items: Sequence[ReadingItem | MessageItem], format: Format) -> list[bytes]:
    """Items as they stand in a list, to be put into another one. In JSON they are all of it without its brackets: one
    call takes half the time of many."""
    if format == "json":
        return [encode(items, "json")[1:-1]] if items else []
    return [encode(item, format) for item in items]
