"""From a device's bytes to readings. Pure: the only clock is the `received` that comes in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from wire.errors import PayloadError
from wire.reading import Reading, Value

__all__ = ["MAX_PAYLOAD_BYTES", "MAX_SIGNALS", "decode_json"]

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_SIGNALS = 512
_MAX_TS = 1 << 53  # what every JSON reader holds exactly
_MAX_INT = 1 << 63  # what MessagePack and every reader of it hold


class _Payload(msgspec.Struct):
    """The usual shape (DESIGN section 3): validated while it is decoded."""

    values: dict[str, Value]
    ts: int | None = None
    seq: int | None = None
    historical: bool = False


_decode_usual = msgspec.json.Decoder(_Payload).decode
_decode_any = msgspec.json.Decoder().decode


def decode_json(payload: bytes, received: int) -> list[Reading]:
    """The readings in a JSON payload: `{"ts", "seq", "values": {...}}`, a flat map of values, or an array of
    either. `received`: the arrival, epoch ms; it stands in for a missing `ts`.

    Raises PayloadError; its reason is one of too_big, not_utf8, not_json, not_a_map, no_values, bad_ts,
    bad_seq, bad_value, too_many_signals. An array with one bad reading is bad as a whole.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadError("too_big", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are read")
    try:
        usual = _decode_usual(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [_reading(*_parts(found), received) for found in _maps(_decode(payload))]
    return [_reading(usual.values, usual.ts, usual.seq, usual.historical, received)]


def _decode(payload: bytes) -> Any:
    try:
        payload.decode("utf-8")
        return _decode_any(payload)
    except UnicodeDecodeError as error:
        raise PayloadError("not_utf8", str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise PayloadError("not_json", str(error)) from None


def _maps(found: Any) -> Iterator[dict[str, Any]]:
    candidates = found if isinstance(found, list) else [found]
    if not candidates:
        raise PayloadError("no_values", "an empty array")
    for candidate in candidates:
        if not isinstance(candidate, dict):
            raise PayloadError("not_a_map", f"expected a map of values, got {type(candidate).__name__}")
        yield candidate


def _parts(found: dict[str, Any]) -> tuple[dict[str, Any], Any, Any, Any]:
    """Values, ts, seq and historical of either shape; a flat map is one without `values`."""
    ts, seq, historical = found.get("ts"), found.get("seq"), found.get("historical", False)
    if "values" in found:
        values = found["values"]
        if not isinstance(values, dict):
            raise PayloadError("not_a_map", f"values: expected a map, got {type(values).__name__}")
    else:
        values = {name: value for name, value in found.items() if name not in ("ts", "seq", "historical")}
    return values, ts, seq, historical


def _reading(values: dict[str, Any], ts: Any, seq: Any, historical: Any, received: int) -> Reading:
    if not values:
        raise PayloadError("no_values", "a reading carries at least one signal")
    if len(values) > MAX_SIGNALS:
        raise PayloadError("too_many_signals", f"{len(values)} signals, at most {MAX_SIGNALS} are read")
    for name, value in values.items():
        if isinstance(value, dict | list):
            raise PayloadError("bad_value", f"{name[:64]!r}: nested values are not read")
        if type(value) is int and not -_MAX_INT <= value < _MAX_INT:
            raise PayloadError("bad_value", f"{name[:64]!r}: an integer beyond 64 bits")
    if seq is not None and (type(seq) is not int or not 0 <= seq < _MAX_INT):
        raise PayloadError("bad_seq", "seq must be an integer that is not negative")
    if type(historical) is not bool:
        raise PayloadError("bad_value", "historical must be true or false")
    if ts is None:
        return Reading(received, values, seq, historical, received, "arrival")
    if type(ts) not in (int, float) or not 0 <= ts < _MAX_TS:
        raise PayloadError("bad_ts", f"ts must be epoch milliseconds, got {ts!r:.64}")
    return Reading(int(ts), values, seq, historical, received)
