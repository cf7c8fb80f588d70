"""Recorded tracks, played back as devices: GPX, street routes as stages, and OpenXC traces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from simulator.gpx import read_gpx
from simulator.way import BadTrack, Point, Waypoint, at_constant_speed, waypoint
from wire.errors import SettingsError
from wire.reading import Value

__all__ = ["Point", "Track", "load"]

_ROUTE_KMH = {"aggressive": 50.0}  # by the profile of a route
_NORMAL_KMH = 35.0

_OPENXC_TO_VSS = {
    "accelerator_pedal_position": "Chassis.Accelerator.PedalPosition",
    "engine_speed": "Powertrain.CombustionEngine.Speed",
    "fuel_consumed_since_restart": "Powertrain.FuelSystem.ConsumptionSinceStart",
    "fuel_level": "Powertrain.FuelSystem.RelativeLevel",
    "latitude": "CurrentLocation.Latitude",
    "longitude": "CurrentLocation.Longitude",
    "odometer": "TraveledDistance",
    "parking_brake_status": "Chassis.ParkingBrake.IsEngaged",
    "vehicle_speed": "Speed",
}


@dataclass(frozen=True)
class Track:
    """A recorded drive: points in time order, at least one, the first at offset 0."""

    name: str
    points: tuple[Point, ...]

    @property
    def duration_ms(self) -> int:
        """From the first point to the last."""
        return self.points[-1].offset_ms


def load(path: Path) -> Track:
    """The track in a file; the content says which of the three formats it is.

    GPX: points with time give Speed (km/h) from distance and time; a track in which some point has no time is
    driven at 36 km/h. A route (JSON with `stages` of `start` and `end`, each [longitude, latitude]) is driven at
    35 km/h, or 50 when its profile is "aggressive"; the distances are those of its points, as the kilometres in
    such files do not always agree with them. OpenXC (a line of JSON for each measurement): a point for each line.

    Raises SettingsError, which names the file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"track {path}: {error.strerror or error}") from None
    try:
        points = tuple(_read(content))
        if not points:
            raise BadTrack("it has no points")
    except BadTrack as error:
        raise SettingsError(f"track {path}: {error}") from None
    return Track(path.stem, points)


def _read(content: bytes) -> Iterable[Point]:
    text = content.removeprefix(b"\xef\xbb\xbf").strip()
    if not text:
        raise BadTrack("the file is empty")
    if text.startswith(b"<"):
        return read_gpx(text)
    if not text.startswith(b"{"):
        raise BadTrack("neither GPX, nor a route in JSON, nor an OpenXC trace")
    try:
        return _route(msgspec.json.decode(text, type=_Route))
    except msgspec.ValidationError as error:
        if b'"stages"' in text:
            raise BadTrack(f"not a route: {error}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise BadTrack(f"not JSON: {error}") from None
    except msgspec.DecodeError:
        pass  # more than one JSON value: a trace
    return _openxc(text)


class _Stage(msgspec.Struct):
    start: tuple[float, float]
    end: tuple[float, float]


class _Route(msgspec.Struct):
    stages: list[_Stage]
    profile: str = "normal"


def _route(route: _Route) -> Iterator[Point]:
    places: list[Waypoint] = []
    for stage in route.stages:
        for longitude, latitude in (stage.start, stage.end):
            place = waypoint(latitude, longitude)
            if not places or places[-1] != place:
                places.append(place)
    return at_constant_speed(places, _ROUTE_KMH.get(route.profile, _NORMAL_KMH))


class _Measurement(msgspec.Struct):
    name: str
    value: Value
    timestamp: Annotated[float, msgspec.Meta(ge=0, le=1e11)]  # seconds


def _openxc(text: bytes) -> Iterator[Point]:
    decode: Callable[[bytes], _Measurement] = msgspec.json.Decoder(_Measurement).decode
    measured: list[_Measurement] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            measured.append(decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadTrack(f"line {number}: not an OpenXC measurement: {error}") from None
    measured.sort(key=lambda one: one.timestamp)
    start = measured[0].timestamp
    for one in measured:
        name = _OPENXC_TO_VSS.get(one.name, one.name)
        yield Point(round((one.timestamp - start) * 1_000), {name: one.value})
