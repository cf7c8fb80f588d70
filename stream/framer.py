"""What a subscription is told, as frames."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from stream.item import Item, View, before
from stream.outbox import Frame
from wire.clock import now_ms
from wire.cursor import Cursor, format_cursor
from wire.protocol import Gap, SubscriptionEvent, encode

__all__ = ["Framer"]

FRAME_ITEMS = 1_000  # most items in a frame


class Framer:
    """Makes the frames of one subscription id. `partitions`: those that have something for it."""

    __slots__ = ("_id", "_partitions", "_view")

    def __init__(self, id: str, view: View, partitions: frozenset[int]) -> None:
        self._id = id
        self._view = view
        self._partitions = partitions

    def frames(self, items: list[Item], until: Cursor, *, conflated: int = 0) -> Iterator[Frame]:
        """Items, oldest first; the last frame's cursor says that they are all there is up to there."""
        for part, cursor, last in _parts(items, until):
            yield self._frame(part, cursor, conflated if last else 0)

    def snapshot(self, items: list[Item], until: Cursor) -> Iterator[Frame]:
        """The same, as the whole state; one frame at least."""
        for part, cursor, last in _parts(items, until) if items else [(items, until, True)]:
            yield self._frame(part, cursor, snapshot=True, more=not last)

    def gap(self, after: Cursor, until: Cursor) -> Frame:
        """Some of what was stored after one cursor, up to another, is gone."""
        gap = Gap(subscription_id=self._id, ts=now_ms(), from_=self._text(after), to=self._text(until))
        return Frame(encode(gap, self._view.format))

    def _frame(
        self, items: list[Item], cursor: Cursor, conflated: int = 0, *, snapshot: bool = False, more: bool = False
    ) -> Frame:
        view, text = self._view, self._text(cursor)
        event = SubscriptionEvent(
            subscription_id=self._id,
            ts=now_ms(),
            cursor=text,
            snapshot=snapshot,
            more=more,
            conflated=conflated,
            data=[Raw(item.encoded(view)) for item in items],
        )
        return Frame(encode(event, view.format), text)

    def _text(self, cursor: Cursor) -> str:
        """The cursor as a client is given it: of partitions that have nothing for it, nothing is said."""
        return format_cursor(cursor.only(self._partitions, Cursor.start(len(cursor))))


def _parts(items: list[Item], until: Cursor) -> Iterator[tuple[list[Item], Cursor, bool]]:
    """Parts of the size of a frame, the cursor after each, and whether it is the last."""
    for start in range(0, len(items), FRAME_ITEMS):
        end = start + FRAME_ITEMS
        last = end >= len(items)
        yield items[start:end], until if last else before(items[end:], until), last
