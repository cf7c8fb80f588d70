"""Places: whether a position is in a box or a polygon. Degrees everywhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from wire.reading import Value
from wire.shaping import BoundingBox, is_number

__all__ = ["Box", "Polygon", "position"]


class Box:
    """A bounding box, its edges included. With west > east it crosses the antimeridian, on which the longitudes 180
    and -180 are one."""

    def __init__(self, bounds: BoundingBox) -> None:
        self._bounds = bounds

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether a position is in it."""
        if not self._bounds.south <= latitude <= self._bounds.north:
            return False
        return self._spans(longitude) or (abs(longitude) == 180 and self._spans(-longitude))

    def _spans(self, longitude: float) -> bool:
        west, east = self._bounds.west, self._bounds.east
        if west <= east:
            return west <= longitude <= east
        return longitude >= west or longitude <= east


class Polygon:
    """A polygon in the plane of longitude and latitude: its edges are straight there, as GeoJSON has it (RFC 7946,
    section 3.1.1), and none crosses the antimeridian.

    Points are (longitude, latitude), closed or not. Where edges cross, what is enclosed twice is outside. A position
    on an edge counts as in or out; of two polygons that share the edge it is in one.
    """

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        longitudes, latitudes = zip(*points, strict=True)
        self._west, self._east = min(longitudes), max(longitudes)
        self._south, self._north = min(latitudes), max(latitudes)
        edges = pairwise([*points, points[0]])
        # From south to north, so that an edge is the same for the polygons on both sides of it.
        self._edges = [
            (south, west, north - south, east - west)
            for (south, west), (north, east) in (sorted((a[::-1], b[::-1])) for a, b in edges)
            if south < north
        ]

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether a position is in it: whether a ray to the east crosses the edges an odd number of times."""
        if not (self._south <= latitude <= self._north and self._west <= longitude <= self._east):
            return False
        inside = False
        for south, west, height, width in self._edges:
            rise = latitude - south
            if 0 <= rise < height and width * rise > (longitude - west) * height:
                inside = not inside
        return inside


def position(values: Mapping[str, Value]) -> tuple[float, float] | None:
    """Latitude and longitude of a reading; None when it has not both, as numbers on the globe."""
    latitude = values.get("CurrentLocation.Latitude")
    longitude = values.get("CurrentLocation.Longitude")
    if is_number(latitude) and is_number(longitude) and abs(latitude) <= 90 and abs(longitude) <= 180:
        return latitude, longitude
    return None
