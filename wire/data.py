"""What a message may carry: anything that both formats can say, so that no message breaks a frame that it shares."""

from __future__ import annotations

from typing import Any

__all__ = ["MAX_DEPTH", "MAX_MESSAGE_BYTES", "check_data"]

MAX_MESSAGE_BYTES = 65_536
MAX_DEPTH = 32


def check_data(data: Any, depth: int = 0) -> None:
    """Raises ValueError when it is not JSON of at most `MAX_DEPTH` levels, with integers of 64 bits."""
    match data:
        case None | bool() | float() | str():
            return
        case int() if -(1 << 63) <= data < 1 << 63:
            return
        case list() | dict() if depth < MAX_DEPTH:
            for value in data.values() if isinstance(data, dict) else data:
                check_data(value, depth + 1)
            if isinstance(data, list) or all(type(name) is str for name in data):
                return
    raise ValueError(f"data must be JSON: maps with text keys, integers of 64 bits, at most {MAX_DEPTH} levels")
