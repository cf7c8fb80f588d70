"""Recorded tracks, played back as devices: GPX, street routes as stages, and OpenXC traces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple
from xml.etree import ElementTree

import msgspec

from wire.errors import SettingsError
from wire.reading import Value

__all__ = ["Point", "Track", "load"]

_EARTH_M = 6_371_008.8  # mean radius
_UNTIMED_KMH = 36.0  # a GPX track without times
_ROUTE_KMH = {"aggressive": 50.0}  # by the profile of a route
_NORMAL_KMH = 35.0
_STANDING_M = 0.5  # less says nothing about the heading

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


class Point(NamedTuple):
    """What was measured `offset_ms` after the track's start, by VSS signal."""

    offset_ms: int
    values: dict[str, Value]


@dataclass(frozen=True)
class Track:
    """A recorded drive: points in time order, at least one, the first at offset 0."""

    name: str
    points: tuple[Point, ...]

    @property
    def duration_ms(self) -> int:
        """From the first point to the last."""
        return self.points[-1].offset_ms


class _BadTrack(Exception):
    """Why a file is not a track."""


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
            raise _BadTrack("it has no points")
    except _BadTrack as error:
        raise SettingsError(f"track {path}: {error}") from None
    return Track(path.stem, points)


def _read(content: bytes) -> Iterable[Point]:
    text = content.removeprefix(b"\xef\xbb\xbf").strip()
    if not text:
        raise _BadTrack("the file is empty")
    if text.startswith(b"<"):
        return _gpx(text)
    if not text.startswith(b"{"):
        raise _BadTrack("neither GPX, nor a route in JSON, nor an OpenXC trace")
    try:
        return _route(msgspec.json.decode(text, type=_Route))
    except msgspec.ValidationError as error:
        if b'"stages"' in text:
            raise _BadTrack(f"not a route: {error}") from None
    except msgspec.DecodeError:
        pass  # more than one JSON value: a trace
    return _openxc(text)


# --- places ---------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    latitude: float
    longitude: float


def _place(latitude: float, longitude: float) -> _Place:
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise _BadTrack(f"no such place: latitude {latitude}, longitude {longitude}")
    return _Place(latitude, longitude)


def _step(start: _Place, end: _Place) -> tuple[float, float]:
    """East and north, in metres: exact enough between neighbouring points."""
    middle = math.radians((start.latitude + end.latitude) / 2)
    east = math.radians((end.longitude - start.longitude + 180) % 360 - 180) * math.cos(middle)
    return east * _EARTH_M, math.radians(end.latitude - start.latitude) * _EARTH_M


def _values(place: _Place, heading: float, kmh: float, metres: float) -> dict[str, Value]:
    return {
        "Speed": round(kmh, 1),
        "CurrentLocation.Latitude": round(place.latitude, 6),
        "CurrentLocation.Longitude": round(place.longitude, 6),
        "CurrentLocation.Heading": round(heading, 1) % 360,
        "TraveledDistance": round(metres / 1_000, 3),
    }


def _drive(places: list[_Place], kmh: float) -> Iterator[Point]:
    """Along the places at a constant speed, a point every second and one at the end."""
    second_m = kmh / 3.6
    travelled = mark = heading = 0.0
    for start, end in pairwise(places):
        east, north = _step(start, end)
        length = math.hypot(east, north)
        if length == 0:
            continue
        heading = math.degrees(math.atan2(east, north))
        while mark < travelled + length:
            share = (mark - travelled) / length
            place = _Place(
                start.latitude + (end.latitude - start.latitude) * share,
                start.longitude + (end.longitude - start.longitude) * share,
            )
            yield Point(round(mark / second_m * 1_000), _values(place, heading, kmh, mark))
            mark += second_m
        travelled += length
    if places:
        yield Point(round(travelled / second_m * 1_000), _values(places[-1], heading, 0.0, travelled))


# --- GPX ------------------------------------------------------------------------------------------------------


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses a DTD, and with it every entity of a document's own."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise _BadTrack("a document type is not allowed in GPX")


def _gpx(text: bytes) -> Iterable[Point]:
    parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 (no DTD, so no entities)
    try:
        parser.feed(text)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter two: its encoding
        raise _BadTrack(f"not XML: {error}") from None
    if _local(root) != "gpx":
        raise _BadTrack("XML, but not GPX")
    elements = [element for element in root.iter() if _local(element) in ("trkpt", "rtept")]
    places = [_gpx_place(element) for element in elements]
    times = [_gpx_time(element) for element in elements]
    timed = [(time, place) for time, place in zip(times, places, strict=True) if time is not None]
    if len(timed) < len(places):
        return _drive(places, _UNTIMED_KMH)
    return _measured(sorted(timed))


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _gpx_place(element: ElementTree.Element) -> _Place:
    try:
        return _place(float(element.attrib["lat"]), float(element.attrib["lon"]))
    except (KeyError, ValueError):
        raise _BadTrack("a point without numbers for lat and lon") from None


def _gpx_time(element: ElementTree.Element) -> int | None:
    """Epoch milliseconds."""
    text = next((child.text for child in element if _local(child) == "time"), None)
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise _BadTrack(f"not a time: {text.strip()[:40]!r}") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1_000)


def _measured(timed: list[tuple[int, _Place]]) -> Iterator[Point]:
    """Speed and heading of each point from the way to it; the first stands still and looks ahead."""
    metres = kmh = heading = 0.0
    if len(timed) > 1:
        east, north = _step(timed[0][1], timed[1][1])
        heading = math.degrees(math.atan2(east, north))
    previous = None
    for time, place in timed:
        if previous is not None:
            east, north = _step(previous[1], place)
            length = math.hypot(east, north)
            metres += length
            if time > previous[0]:
                kmh = length / (time - previous[0]) * 3_600
            if length > _STANDING_M:
                heading = math.degrees(math.atan2(east, north))
        yield Point(time - timed[0][0], _values(place, heading, kmh, metres))
        previous = (time, place)


# --- routes ---------------------------------------------------------------------------------------------------


class _Stage(msgspec.Struct):
    start: tuple[float, float]
    end: tuple[float, float]


class _Route(msgspec.Struct):
    stages: list[_Stage]
    profile: str = "normal"


def _route(route: _Route) -> Iterator[Point]:
    places: list[_Place] = []
    for stage in route.stages:
        for longitude, latitude in (stage.start, stage.end):
            place = _place(latitude, longitude)
            if not places or places[-1] != place:
                places.append(place)
    return _drive(places, _ROUTE_KMH.get(route.profile, _NORMAL_KMH))


# --- OpenXC ---------------------------------------------------------------------------------------------------


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
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _BadTrack(f"line {number}: not an OpenXC measurement: {error}") from None
    measured.sort(key=lambda one: one.timestamp)
    start = measured[0].timestamp
    for one in measured:
        name = _OPENXC_TO_VSS.get(one.name, one.name)
        yield Point(round((one.timestamp - start) * 1_000), {name: one.value})
