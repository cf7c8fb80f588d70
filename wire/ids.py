"""Ids of stored readings, `<ms>-<n>` as Redis streams write them, and their order.

The store gives ids that grow over all topics in the order of publishing (`store.lua`), so one id is a
complete cursor: what comes after it is what a client has not seen.
"""

from __future__ import annotations

__all__ = ["LAST", "SEQUENCE_BITS", "format_id", "id_before", "parse_id"]

SEQUENCE_BITS = 32
_SEQUENCE = (1 << SEQUENCE_BITS) - 1


def parse_id(id: str | bytes) -> int:
    """The id as one integer that orders as Redis orders ids. Raises ValueError when it is not an id."""
    text = id if isinstance(id, str) else id.decode("latin-1")
    ms, _, n = text.partition("-")
    if not (ms.isdecimal() and n.isdecimal() and len(ms) <= 15 and len(n) <= 10 and text.isascii()):
        raise ValueError(f"not an id: {id!r:.64}")
    if (sequence := int(n)) > _SEQUENCE:
        raise ValueError(f"not an id that the store gives: {id!r:.64}")
    return int(ms) << SEQUENCE_BITS | sequence


def format_id(order: int) -> str:
    """The id with this order: the inverse of `parse_id`."""
    return f"{order >> SEQUENCE_BITS}-{order & _SEQUENCE}"


LAST = parse_id("999999999999999-999999999")  # after every id that can be given


def id_before(ms: int) -> int:
    """The last id before a millisecond."""
    return max(0, min(ms << SEQUENCE_BITS, LAST + 1) - 1)
