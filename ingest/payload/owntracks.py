"""OwnTracks: where a phone is, in JSON."""

from __future__ import annotations

from typing import Any

from ingest.payload.checks import milliseconds, reading
from ingest.payload.json import load
from wire.errors import PayloadError
from wire.reading import Reading

__all__ = ["decode_owntracks"]

# OwnTracks measures in VSS's own units: degrees, m, km/h.
_VSS = {
    "lat": "CurrentLocation.Latitude",
    "lon": "CurrentLocation.Longitude",
    "alt": "CurrentLocation.Altitude",
    "cog": "CurrentLocation.Heading",
    "vel": "Speed",
}


def decode_owntracks(payload: bytes, received: int) -> list[Reading]:
    """The reading in a message of `_type` location; none in the other types (transition, waypoint, lwt, card…).

    `tst` (epoch seconds) is its time. Position, altitude, course and speed get their VSS names; the others
    (acc and vac in m, batt in %, p in kPa, t, tid, conn…) keep theirs. Lists (the regions) are left out.

    Raises PayloadError; its reason is encrypted, or one of JSON's.
    """
    found = load(payload)
    if not isinstance(found, dict):
        raise PayloadError("not_a_map", f"expected a message of OwnTracks, got {type(found).__name__}")
    kind = found.get("_type")
    if kind == "encrypted":
        raise PayloadError("encrypted", "an encrypted message of OwnTracks: the bridge has no key")
    if not isinstance(kind, str):
        raise PayloadError("bad_value", "not a message of OwnTracks: it has no _type")
    return [_location(found, received)] if kind == "location" else []


def _location(found: dict[str, Any], received: int) -> Reading:
    for name in ("lat", "lon"):
        if name not in found:
            raise PayloadError("bad_value", f"a location without {name}")
    tst = found.get("tst")
    values = {}
    for name, value in found.items():
        if name in _VSS:
            if type(value) not in (int, float):
                raise PayloadError("bad_value", f"{name} must be a number")
            values[_VSS[name]] = value
        elif name != "tst" and not name.startswith("_") and not isinstance(value, list):
            values[name] = value
    return reading(values, None if tst is None else milliseconds(tst), None, False, received)
