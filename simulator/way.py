"""Places on the globe, and the drive along them: what a moving device says on its way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from wire.reading import Value

__all__ = ["BadTrack", "Point", "Waypoint", "at_constant_speed", "waypoint", "with_times"]

_EARTH_M = 6_371_008.8  # mean radius
_STANDING_M = 0.5  # less says nothing about the heading
_WEEK_S = 7 * 86_400


class BadTrack(Exception):
    """Why a file is not a track."""


class Point(NamedTuple):
    """What was measured `offset_ms` after the track's start, by VSS signal."""

    offset_ms: int
    values: dict[str, Value]


class Waypoint(NamedTuple):
    """Degrees, WGS 84."""

    latitude: float
    longitude: float


def waypoint(latitude: float, longitude: float) -> Waypoint:
    """Raises BadTrack when there is no such place."""
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise BadTrack(f"no such place: latitude {latitude}, longitude {longitude}")
    return Waypoint(latitude, longitude)


def _step(start: Waypoint, end: Waypoint) -> tuple[float, float]:
    """East and north, in metres: exact enough between neighbouring points."""
    middle = math.radians((start.latitude + end.latitude) / 2)
    east = math.radians(_around(end.longitude - start.longitude)) * math.cos(middle)
    return east * _EARTH_M, math.radians(end.latitude - start.latitude) * _EARTH_M


def _around(degrees: float) -> float:
    """The same longitude within -180 to 180."""
    return (degrees + 180) % 360 - 180


def _between(start: Waypoint, end: Waypoint, share: float) -> Waypoint:
    north, east = end.latitude - start.latitude, _around(end.longitude - start.longitude)
    return Waypoint(start.latitude + north * share, _around(start.longitude + east * share))


def _values(place: Waypoint, heading: float, kmh: float, metres: float) -> dict[str, Value]:
    return {
        "Speed": round(kmh, 1),
        "CurrentLocation.Latitude": round(place.latitude, 6),
        "CurrentLocation.Longitude": round(place.longitude, 6),
        "CurrentLocation.Heading": round(heading, 1) % 360,
        "TraveledDistance": round(metres / 1_000, 3),
    }


def at_constant_speed(places: list[Waypoint], kmh: float) -> Iterator[Point]:
    """Along the places at a constant speed, a point every second and one at the end. Raises BadTrack when that takes
    more than a week."""
    second_m = kmh / 3.6
    travelled = mark = heading = 0.0
    for start, end in pairwise(places):
        east, north = _step(start, end)
        length = math.hypot(east, north)
        if length == 0:
            continue
        if travelled + length > _WEEK_S * second_m:
            raise BadTrack(f"it is a drive of more than a week at {kmh:g} km/h")
        heading = math.degrees(math.atan2(east, north))
        while mark < travelled + length:
            place = _between(start, end, (mark - travelled) / length)
            yield Point(round(mark / second_m * 1_000), _values(place, heading, kmh, mark))
            mark += second_m
        travelled += length
    if places:
        yield Point(round(travelled / second_m * 1_000), _values(places[-1], heading, 0.0, travelled))


def with_times(timed: list[tuple[int, Waypoint]]) -> Iterator[Point]:
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
