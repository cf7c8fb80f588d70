"""Which ids a client asks for."""

from __future__ import annotations

from wire.errors import CommandError
from wire.ids import LAST, id_before, parse_id
from wire.protocol import History

__all__ = ["cursor", "span"]


def cursor(text: str) -> int:
    """The id in a cursor. Raises CommandError, reason `invalid_cursor`."""
    try:
        return parse_id(text)
    except ValueError:
        raise CommandError("invalid_cursor", "not a cursor of this service") from None


def span(asked: History) -> tuple[int, int]:
    """The ids of the time that a history command asks for: after the first, up to the second."""
    return id_before(asked.from_), id_before(asked.to + 1) if asked.to is not None else LAST
