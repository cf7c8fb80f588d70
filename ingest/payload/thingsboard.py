"""ThingsBoard's telemetry: of a device (`v1/devices/me/telemetry`), and of a gateway for many devices."""

from __future__ import annotations

from typing import Any

from ingest.payload.checks import maps, reading
from ingest.payload.json import load
from wire import topics
from wire.errors import PayloadError, TopicError
from wire.reading import Reading

__all__ = ["decode_gateway", "decode_thingsboard"]


def decode_thingsboard(payload: bytes, received: int) -> list[Reading]:
    """The readings in `{"ts", "values": {...}}`, in a flat map, or in an array of either.

    As in ThingsBoard, a `ts` (epoch ms) counts beside `values` only, and every name of a flat map is a signal.
    Nested objects and arrays, which ThingsBoard takes for values, are bad_value.

    Raises PayloadError; its reason is one of JSON's.
    """
    return [_reading(found, received) for found in maps(load(payload))]


def decode_gateway(payload: bytes, received: int) -> list[tuple[str, Reading]]:
    """The readings in `{"Device A": [{"ts", "values": {...}}, …], …}`, each with its device's name.

    Raises PayloadError; its reason is bad_device for a name that can't be part of a topic, or one of JSON's.
    """
    devices = load(payload)
    if not isinstance(devices, dict):
        raise PayloadError("not_a_map", f"expected a map of devices, got {type(devices).__name__}")
    if not devices:
        raise PayloadError("no_values", "a map of no devices")
    for name in devices:
        _check_device(name)
    return [(name, _reading(found, received)) for name, entries in devices.items() for found in maps(entries)]


def _reading(found: dict[str, Any], received: int) -> Reading:
    if "values" not in found:
        return reading(found, None, None, False, received)
    values = found["values"]
    if not isinstance(values, dict):
        raise PayloadError("not_a_map", f"values: expected a map, got {type(values).__name__}")
    return reading(values, found.get("ts"), None, False, received)


def _check_device(name: str) -> None:
    try:
        topics.parse(f"fleets/-/{name}/telemetry")
    except TopicError:
        raise PayloadError(
            "bad_device", f"device {name[:64]!r} can't be part of a topic: 1 to 64 of A-Z a-z 0-9 . _ : - are allowed"
        ) from None
