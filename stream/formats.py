"""In which format somebody wants an answer over HTTP. Pure."""

from __future__ import annotations

from typing import Literal

from wire.errors import CommandError

__all__ = ["HttpFormat", "chosen"]

HttpFormat = Literal["json", "msgpack", "ndjson", "csv"]

_FORMATS: dict[str, HttpFormat] = {"json": "json", "msgpack": "msgpack", "ndjson": "ndjson", "csv": "csv"}
_TYPES: dict[str, HttpFormat] = {
    "application/json": "json",
    "application/msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/csv": "csv",
}


def chosen(format: str | None, accept: str) -> HttpFormat:
    """The format that is asked for by name, or that an Accept header likes best (RFC 9110, section 12.5.1); JSON for
    who says nothing that is known here. Raises CommandError, reason `bad_request`, for an unknown name."""
    if format is not None:
        if format not in _FORMATS:
            raise CommandError("bad_request", f"format is {', '.join(_FORMATS)}, not {format[:64]!r}")
        return _FORMATS[format]
    best: HttpFormat = "json"
    weight = 0.0
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        if kind in _TYPES and (found := _weight(parameters)) > weight:
            best, weight = _TYPES[kind], found
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
