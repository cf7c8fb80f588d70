"""The tape: the log of what a filter matches, as a replay reads it, stretch by stretch in the order of time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple, ParamSpec, TypeVar

from stream.history import Moment
from stream.item import Item
from stream.node import Node
from stream.pages import PAGE_ITEMS, Pages
from wire.clock import now_ms
from wire.cursor import Cursor
from wire.errors import CommandError
from wire.ids import SEQUENCE_BITS, id_before

__all__ = ["Stretch", "Tape"]

log = logging.getLogger("fleetwire.stream.tape")

P = ParamSpec("P")
T = TypeVar("T")

FIRST_SPAN_MS = 1_000
MOST_GROWTH = 8
RETRY_SECONDS = 1.0


class Stretch(NamedTuple):
    """What was stored after one cursor, up to another; `end`: epoch ms up to which that is everything. `lost`: as in
    a page."""

    items: list[Item]
    after: Cursor
    until: Cursor
    end: int
    lost: Cursor


class Tape:
    """Reads as much of the log at once as fits a page. While Redis is away, it waits."""

    def __init__(self, node: Node, filter: str) -> None:
        self._node = node
        self._filter = filter
        self._numbers = [partition.number for partition in node.layout.matching(filter)]
        self._span = (
            FIRST_SPAN_MS  # how much time a page is to hold: an entry that is read and has no room was in vain
        )

    async def moment(self, cursor: Cursor) -> Moment:
        """How things were at a cursor."""
        return await _answered(self._node.moment, self._filter, cursor)

    async def read(self, after: Cursor, begin: int = 0) -> Stretch:
        """What follows a cursor; up to `begin`, epoch ms, there is nothing."""
        now, reached = now_ms(), self._node.hub.reached.later(after)
        begin = max(begin, max(after[n] for n in self._numbers) >> SEQUENCE_BITS)
        end = begin + self._span
        until = reached.earlier(_cursor(end, after)).later(after)
        page = await _answered(self._node.read, self._filter, after, until)
        if page.more:
            end = min(page.until[n] for n in self._numbers if page.until[n] < until[n]) >> SEQUENCE_BITS
            page = _cut(page, end)
            self._span = max(1, end - begin)
        elif all(until[n] == reached[n] for n in self._numbers):
            end = max(begin, now)  # there was no more
        else:
            growth = PAGE_ITEMS // 2 / max(1, len(page.items))
            self._span = max(1, round(self._span * min(MOST_GROWTH, growth)))
        return Stretch(page.items, after, page.until, end, page.lost)

    async def rest(self, after: Cursor, until: Cursor) -> Pages:
        """What is between two cursors, as much as fits a page."""
        return await _answered(self._node.read, self._filter, after, until)


def _cut(page: Pages, end: int) -> Pages:
    """A page up to a time: one shard's logs may have been read farther than those of another."""
    items = [item for item in page.items if item.stored <= end]
    return page._replace(items=items, until=page.until.earlier(_cursor(end, page.until)))


def _cursor(end: int, like: Cursor) -> Cursor:
    """All that was stored up to a time."""
    return Cursor((id_before(end + 1),) * len(like))


async def _answered(ask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    while True:
        try:
            return await ask(*args, **kwargs)
        except CommandError as error:
            log.warning("a replay waits: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
