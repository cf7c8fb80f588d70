"""Ids of stored readings, `<ms>-<n>` as Redis streams write them, and their order.

The store gives ids that grow over all topics in the order of publishing (`store.lua`), so one id is a
complete cursor: what comes after it is what a client has not seen.
"""

from __future__ import annotations

__all__ = ["format_id", "parse_id"]

_SEQUENCE_BITS = 32


def parse_id(id: str | bytes) -> int:
    """The id as one integer that orders as Redis orders ids. Raises ValueError when it is not an id."""
    ms, separator, n = id.partition("-") if isinstance(id, str) else id.decode("ascii").partition("-")
    if not (separator and ms.isdecimal() and n.isdecimal() and len(ms) <= 15 and len(n) <= 9):
        raise ValueError(f"not an id: {id!r}")
    return int(ms) << _SEQUENCE_BITS | int(n)


def format_id(order: int) -> str:
    """The id with this order: the inverse of `parse_id`."""
    return f"{order >> _SEQUENCE_BITS}-{order & (1 << _SEQUENCE_BITS) - 1}"
