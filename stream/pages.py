"""Pages: what the logs of several shards hold, in one order; and moments, how things were there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from stream.history import Moment
from stream.item import Item, before
from stream.shard import Shard
from wire.cursor import Cursor

__all__ = ["Pages", "moment", "read"]

PAGE_ITEMS = 1_000


class Pages(NamedTuple):
    """Items by their ids, up to and including a cursor; `more` if the logs go on after it. `lost`: where entries
    after the asked-for cursor were trimmed, or may have been, or Redis has lost them, the last such id (0: nothing).
    """

    items: list[Item]
    until: Cursor
    more: bool
    lost: Cursor


async def read(shards: Sequence[Shard], filter: str, after: Cursor, until: Cursor, limit: int = PAGE_ITEMS) -> Pages:
    """At most `limit` items of what a filter matches, after one cursor up to another. In other shards there is
    nothing to be found. Raises redis.RedisError."""
    numbers = [shard.partition.number for shard in shards]
    asked = [shard.history.read(filter, after[n], until[n], limit) for n, shard in zip(numbers, shards, strict=True)]
    pages = await asyncio.gather(*asked)
    reached, lost = until, Cursor.start(len(until))
    for shard, number, page in zip(shards, numbers, pages, strict=True):
        reached = reached.at(number, page.until)
        lost = lost.at(number, max([shard.lost(after[number], page.until), *page.lost.values()]))
    items = [item for page in pages for item in page.items]
    more = any(page.more for page in pages)
    if len(pages) > 1:
        items.sort(key=_order)
        if len(items) > limit:
            items, more, reached = items[:limit], True, before(items[limit:], reached)
    return Pages(items, reached, more, lost)


async def moment(shards: Sequence[Shard], filter: str, cursor: Cursor) -> Moment:
    """How what a filter matches was at a cursor. Raises redis.RedisError."""
    found = await asyncio.gather(*(shard.history.moment(filter, cursor[shard.partition.number]) for shard in shards))
    states = [item for one in found for item in one.states]
    following = min((one.following for one in found if one.following), default=0)
    return Moment(states, any(one.begun for one in found), following)


def _order(item: Item) -> tuple[int, int]:
    return item.order, item.partition
