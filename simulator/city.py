"""A seeded street network around the centre of a real city.

Distances are metres; inside the network a point is (east, north) of the centre, in metres.
"""

from __future__ import annotations

import math
import random
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

__all__ = ["CENTRES", "City", "Lane", "Place", "Position", "Street"]

METRES_PER_DEGREE = 111_320.0  # of latitude

_JUNCTIONS = 15  # along each side
_SPACING = 190.0
_JITTER = 32.0
_SWAY = 90.0  # how far the whole grid is bent
_MISSING = 0.22  # share of the streets left out, where a detour remains
_AVENUE_EVERY = 4


class Place(NamedTuple):
    """Degrees, WGS 84."""

    latitude: float
    longitude: float


class Position(NamedTuple):
    """Metres east and north of the centre, and the heading in degrees (0 north, 90 east)."""

    east: float
    north: float
    heading: float


CENTRES = {
    "berlin": Place(52.5200, 13.4050),
    "paris": Place(48.8566, 2.3522),
    "london": Place(51.5074, -0.1278),
    "madrid": Place(40.4168, -3.7038),
    "vienna": Place(48.2082, 16.3738),
    "newyork": Place(40.7549, -73.9840),
    "saopaulo": Place(-23.5505, -46.6333),
    "nairobi": Place(-1.2864, 36.8172),
    "singapore": Place(1.2900, 103.8519),
    "tokyo": Place(35.6812, 139.7671),
    "sydney": Place(-33.8688, 151.2093),
}


@dataclass(frozen=True)
class Street:
    """A street between two junctions, as the line that it follows."""

    ends: tuple[int, int]
    line: tuple[tuple[float, float], ...]
    limit_kmh: float

    @property
    def length_m(self) -> float:
        """Along the line."""
        return sum(math.dist(a, b) for a, b in pairwise(self.line))


class Lane:
    """One direction of a street."""

    def __init__(self, street: Street, forward: bool) -> None:
        self.street = street
        self.start, self.end = street.ends if forward else street.ends[::-1]
        self._line = street.line if forward else street.line[::-1]
        self._marks = list(accumulate((math.dist(a, b) for a, b in pairwise(self._line)), initial=0.0))
        self._headings = [_heading(a, b) for a, b in pairwise(self._line)]
        self.length_m = self._marks[-1]
        self.limit_mps = street.limit_kmh / 3.6

    @property
    def first_heading(self) -> float:
        """Degrees, where the lane begins."""
        return self._headings[0]

    @property
    def last_heading(self) -> float:
        """Degrees, where the lane ends."""
        return self._headings[-1]

    def position(self, along_m: float) -> Position:
        """Where one is after so many metres, 0 to `length_m`."""
        piece = min(bisect_right(self._marks, along_m), len(self._headings)) - 1
        start, end = self._line[piece], self._line[piece + 1]
        share = (along_m - self._marks[piece]) / (self._marks[piece + 1] - self._marks[piece])
        return Position(
            start[0] + (end[0] - start[0]) * share,
            start[1] + (end[1] - start[1]) * share,
            self._headings[piece],
        )


class City:
    """Junctions and streets; every junction can be reached from every other.

    The name chooses the centre: a name of `CENTRES`, any other always gets the same one of them. Name and seed
    choose the streets.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.centre = _centre(name)
        rng = random.Random(f"city/{seed}/{name}")
        self.junctions = _junctions(rng)
        edges = _thinned(_grid(), len(self.junctions), rng)
        self.roads = tuple(_street(edge, self.junctions, rng) for edge in edges)
        exits: list[list[Lane]] = [[] for _ in self.junctions]
        for street in self.roads:
            for lane in (Lane(street, forward=True), Lane(street, forward=False)):
                exits[lane.start].append(lane)
        self.exits = tuple(tuple(lanes) for lanes in exits)

    def place(self, east: float, north: float) -> Place:
        """Degrees of a point of the network."""
        scale = METRES_PER_DEGREE * math.cos(math.radians(self.centre.latitude))
        return Place(self.centre.latitude + north / METRES_PER_DEGREE, self.centre.longitude + east / scale)

    def streets(self) -> dict[str, Any]:
        """The streets for a map: a GeoJSON FeatureCollection of line strings, with `limit_kmh` and `length_m`."""
        return {"type": "FeatureCollection", "features": [self._feature(street) for street in self.roads]}

    def _feature(self, street: Street) -> dict[str, Any]:
        places = (self.place(*point) for point in street.line)
        return {
            "type": "Feature",
            "properties": {"limit_kmh": street.limit_kmh, "length_m": round(street.length_m, 1)},
            "geometry": {
                "type": "LineString",
                "coordinates": [[round(at.longitude, 6), round(at.latitude, 6)] for at in places],
            },
        }


def _centre(name: str) -> Place:
    known = CENTRES.get(name.lower())
    return known or list(CENTRES.values())[zlib.crc32(name.encode()) % len(CENTRES)]


def _junctions(rng: random.Random) -> list[tuple[float, float]]:
    turn, bend = rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.4)
    half = (_JUNCTIONS - 1) / 2
    points = []
    for row in range(_JUNCTIONS):
        for column in range(_JUNCTIONS):
            x, y = column - half, row - half
            east = x * _SPACING + _SWAY * math.sin(y / half * bend * math.pi) + rng.uniform(-_JITTER, _JITTER)
            north = y * _SPACING + _SWAY * math.cos(x / half * bend * math.pi) + rng.uniform(-_JITTER, _JITTER)
            points.append(
                (
                    east * math.cos(turn) - north * math.sin(turn),
                    east * math.sin(turn) + north * math.cos(turn),
                )
            )
    return points


class _Edge(NamedTuple):
    start: int
    end: int
    limit_kmh: float


def _grid() -> Iterator[_Edge]:
    """Streets along rows and columns, every fourth of them an avenue, a ring around, and two diagonals."""
    last = _JUNCTIONS - 1
    for line in range(_JUNCTIONS):
        limit = 60.0 if line in (0, last) else 50.0 if line % _AVENUE_EVERY == 2 else 30.0
        for step in range(last):
            yield _Edge(line * _JUNCTIONS + step, line * _JUNCTIONS + step + 1, limit)
            yield _Edge(step * _JUNCTIONS + line, (step + 1) * _JUNCTIONS + line, limit)
    for step in range(2, last - 2):
        yield _Edge(step * _JUNCTIONS + step, (step + 1) * _JUNCTIONS + step + 1, 50.0)
        yield _Edge(step * _JUNCTIONS + last - step, (step + 1) * _JUNCTIONS + last - step - 1, 50.0)


def _thinned(edges: Iterator[_Edge], junctions: int, rng: random.Random) -> list[_Edge]:
    """The edges without some of the small streets; all stays connected, and no street becomes a dead end."""
    shuffled = list(edges)
    rng.shuffle(shuffled)
    degree = [0] * junctions
    for edge in shuffled:
        degree[edge.start] += 1
        degree[edge.end] += 1
    root = list(range(junctions))

    def find(junction: int) -> int:
        while root[junction] != junction:
            root[junction] = root[root[junction]]
            junction = root[junction]
        return junction

    kept = []
    for edge in shuffled:
        joins = find(edge.start) != find(edge.end)
        root[find(edge.start)] = find(edge.end)
        needed = joins or edge.limit_kmh > 30 or min(degree[edge.start], degree[edge.end]) <= 2
        if needed or rng.random() >= _MISSING:
            kept.append(edge)
        else:
            degree[edge.start] -= 1
            degree[edge.end] -= 1
    return kept


def _street(edge: _Edge, junctions: list[tuple[float, float]], rng: random.Random) -> Street:
    """A gentle bow from junction to junction."""
    (x0, y0), (x1, y1) = junctions[edge.start], junctions[edge.end]
    bow = rng.gauss(0, 0.05)
    middle = ((x0 + x1) / 2 - (y1 - y0) * bow, (y0 + y1) / 2 + (x1 - x0) * bow)
    line = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        a, b, c = (1 - share) ** 2, 2 * share * (1 - share), share**2
        line.append((a * x0 + b * middle[0] + c * x1, a * y0 + b * middle[1] + c * y1))
    return Street((edge.start, edge.end), tuple(line), edge.limit_kmh)


def _heading(start: tuple[float, float], end: tuple[float, float]) -> float:
    return math.degrees(math.atan2(end[0] - start[0], end[1] - start[1])) % 360
