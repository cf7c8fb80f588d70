"""MessagePack of the same shapes as the JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.payload.checks import check_size, maps, parts, reading, scalars
from ingest.payload.json import Usual
from wire.errors import PayloadError
from wire.reading import Reading

__all__ = ["decode_msgpack"]

_decode_usual = msgspec.msgpack.Decoder(Usual).decode
_decode_any = msgspec.msgpack.Decoder().decode


def decode_msgpack(payload: bytes, received: int) -> list[Reading]:
    """The readings in a MessagePack payload: `{"ts", "seq", "values": {...}}`, a flat map of values, or an array
    of either, as in JSON. Values of the types bin and ext (its timestamps too) are bad_value.

    Raises PayloadError; its reason is not_msgpack, or one of JSON's.
    """
    check_size(payload)
    try:
        usual = _decode_usual(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [_reading(*parts(found), received) for found in maps(_load(payload))]
    return [_reading(usual.values, usual.ts, usual.seq, usual.historical, received)]


def _reading(values: dict[Any, Any], ts: Any, seq: Any, historical: Any, received: int) -> Reading:
    return reading(scalars(values), ts, seq, historical, received)


def _load(payload: bytes) -> Any:
    try:
        return _decode_any(payload)
    except UnicodeDecodeError as error:
        raise PayloadError("not_utf8", str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise PayloadError("not_msgpack", str(error)) from None
