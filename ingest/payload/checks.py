"""What every format is held to: the limits, and the one way to make a Reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Any, TypeVar

from wire.errors import PayloadError
from wire.reading import Reading, Value

__all__ = [
    "MAX_INT",
    "MAX_PAYLOAD_BYTES",
    "MAX_SIGNALS",
    "MAX_TS",
    "check_size",
    "grouped",
    "maps",
    "milliseconds",
    "parts",
    "reading",
    "scalars",
]

K = TypeVar("K")

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_SIGNALS = 512
MAX_TS = 1 << 53  # what every JSON reader holds exactly
MAX_INT = 1 << 63  # what MessagePack and every reader of it hold


def check_size(payload: bytes) -> None:
    """Raises PayloadError too_big."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadError("too_big", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are read")


def maps(found: Any) -> Iterator[dict[Any, Any]]:
    """The maps of an array, or the one map. Raises PayloadError not_a_map, no_values."""
    candidates = found if isinstance(found, list) else [found]
    if not candidates:
        raise PayloadError("no_values", "an empty array")
    for candidate in candidates:
        if not isinstance(candidate, dict):
            raise PayloadError("not_a_map", f"expected a map of values, got {type(candidate).__name__}")
        yield candidate


def parts(found: dict[Any, Any]) -> tuple[dict[Any, Any], Any, Any, Any]:
    """Values, ts, seq and historical of either shape; a flat map is one without `values`.

    Raises PayloadError not_a_map.
    """
    ts, seq, historical = found.get("ts"), found.get("seq"), found.get("historical", False)
    if "values" in found:
        values = found["values"]
        if not isinstance(values, dict):
            raise PayloadError("not_a_map", f"values: expected a map, got {type(values).__name__}")
    else:
        values = {name: value for name, value in found.items() if name not in ("ts", "seq", "historical")}
    return values, ts, seq, historical


def reading(values: dict[str, Any], ts: Any, seq: Any, historical: Any, received: int) -> Reading:
    """A reading of values that JSON can carry, checked. `received`, epoch ms, stands in for a `ts` of None.

    Raises PayloadError no_values, too_many_signals, bad_value, bad_seq, bad_ts.
    """
    if not values:
        raise PayloadError("no_values", "a reading carries at least one signal")
    if len(values) > MAX_SIGNALS:
        raise PayloadError("too_many_signals", f"{len(values)} signals, at most {MAX_SIGNALS} are read")
    for name, value in values.items():
        if isinstance(value, dict | list):
            raise PayloadError("bad_value", f"{name[:64]!r}: nested values are not read")
        if type(value) is int and not -MAX_INT <= value < MAX_INT:
            raise PayloadError("bad_value", f"{name[:64]!r}: an integer beyond 64 bits")
    if seq is not None and (type(seq) is not int or not 0 <= seq < MAX_INT):
        raise PayloadError("bad_seq", "seq must be an integer that is not negative")
    if type(historical) is not bool:
        raise PayloadError("bad_value", "historical must be true or false")
    if ts is None:
        return Reading(received, values, seq, historical, received=received, clock="arrival")
    if type(ts) not in (int, float) or not 0 <= ts < MAX_TS:
        raise PayloadError("bad_ts", f"ts must be epoch milliseconds, got {ts!r:.64}")
    return Reading(int(ts), values, seq, historical, received=received)


def scalars(values: dict[Any, Any]) -> dict[str, Value]:
    """The same values as JSON can carry them: numbers that are not finite become None.

    For formats that know more than JSON. Raises PayloadError bad_value for a name that is no text, and for
    a value that is neither number, text, boolean nor null.
    """
    carried: dict[str, Value] = {}
    for name, value in values.items():
        if type(name) is not str:
            raise PayloadError("bad_value", f"the name of a signal must be text, got {type(name).__name__}")
        if type(value) is float:
            carried[name] = value if isfinite(value) else None
        elif value is None or type(value) in (int, str, bool):
            carried[name] = value
        else:
            raise PayloadError("bad_value", f"{name[:64]!r}: {type(value).__name__} values are not read")
    return carried


def milliseconds(seconds: Any) -> int:
    """Epoch milliseconds from a device's epoch seconds. Raises PayloadError bad_ts."""
    if type(seconds) not in (int, float) or not 0 <= seconds < MAX_TS / 1000:
        raise PayloadError("bad_ts", f"expected epoch seconds, got {seconds!r:.64}")
    ms: int = round(seconds * 1000)
    return ms


def grouped(found: Iterable[tuple[K, str, Value]]) -> list[tuple[K, dict[str, Value]]]:
    """Single values, each under a key, as the values of readings, in the order in which the readings began.

    A signal that comes again under its key, or one more than a reading may have, begins another reading.
    """
    groups: list[tuple[K, dict[str, Value]]] = []
    current: dict[K, dict[str, Value]] = {}
    for key, name, value in found:
        values = current.get(key)
        if values is None or name in values or len(values) == MAX_SIGNALS:
            values = current[key] = {}
            groups.append((key, values))
        values[name] = value
    return groups
