"""Cursors: how far a client, or a group of them, has come in each partition.

Ids of one partition grow in the order of publishing, so one id for each says it all. Cursors are ordered as sets are:
one is at most another when it is in every partition.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection

from wire.ids import SEQUENCE_BITS, format_id, parse_id

__all__ = ["Cursor", "format_cursor", "parse_cursor"]

_SEQUENCE = (1 << SEQUENCE_BITS) - 1


class Cursor(tuple[int, ...]):
    """By partition an id, as `wire.ids.parse_id` orders it: everything up to it. 0: nothing."""

    __slots__ = ()

    @classmethod
    def start(cls, partitions: int) -> Cursor:
        """The one before everything."""
        return cls((0,) * partitions)

    def later(self, other: Cursor) -> Cursor:
        """What either has reached."""
        return Cursor(map(max, self, other))

    def earlier(self, other: Cursor) -> Cursor:
        """What both have reached."""
        return Cursor(map(min, self, other))

    def at(self, partition: int, order: int) -> Cursor:
        """The same, but for one partition."""
        return Cursor((*self[:partition], order, *self[partition + 1 :]))

    def only(self, partitions: Collection[int], other: Cursor) -> Cursor:
        """In some partitions this, in the others another."""
        return Cursor(mine if n in partitions else its for n, (mine, its) in enumerate(zip(self, other, strict=True)))

    def __le__(self, other: tuple[int, ...]) -> bool:
        return all(map(int.__le__, self, other))

    def __lt__(self, other: tuple[int, ...]) -> bool:
        return self != other and self <= other

    def __ge__(self, other: tuple[int, ...]) -> bool:
        return all(map(int.__ge__, self, other))

    def __gt__(self, other: tuple[int, ...]) -> bool:
        return self != other and self >= other


def format_cursor(cursor: Cursor) -> str:
    """A cursor as clients are given it: with a single partition the id; else `c` and, in base64url, by partition how
    many ms before the newest its id is (one more; 0 for none) and its sequence number, all as varints."""
    if len(cursor) == 1:
        return format_id(cursor[0])
    newest = max(cursor) >> SEQUENCE_BITS
    packed = bytearray()
    _put(packed, newest)
    for order in cursor:
        if order:
            _put(packed, newest - (order >> SEQUENCE_BITS) + 1)
            _put(packed, order & _SEQUENCE)
        else:
            packed.append(0)
    return "c" + urlsafe_b64encode(packed).rstrip(b"=").decode()


def parse_cursor(text: str, partitions: int) -> Cursor:
    """The cursor in a text. Raises ValueError when it is none for so many partitions."""
    if partitions == 1:
        return Cursor((parse_id(text),))
    if not text.startswith("c") or len(text) > 1 + 24 * (partitions + 1):
        raise ValueError(f"not a cursor: {text!r:.64}")
    packed = list(reversed(urlsafe_b64decode(text[1:] + "=" * (-(len(text) - 1) % 4))))
    try:
        newest = _take(packed)
        orders = [_order(newest, before, packed) if (before := _take(packed)) else 0 for _ in range(partitions)]
    except IndexError:
        raise ValueError("a cursor that is cut off") from None
    if packed or newest >= 10**15:
        raise ValueError("a cursor of something else")
    return Cursor(orders)


def _order(newest: int, before: int, packed: list[int]) -> int:
    ms, n = newest - before + 1, _take(packed)
    if ms < 0 or n > _SEQUENCE:
        raise ValueError("a cursor of something else")
    return ms << SEQUENCE_BITS | n


def _put(packed: bytearray, number: int) -> None:
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def _take(packed: list[int]) -> int:
    number = shift = 0
    while (byte := packed.pop()) > 0x7F:
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63:
            raise ValueError("a cursor of something else")
    return number | byte << shift
