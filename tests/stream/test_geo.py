"""Places, held against other ways of asking the same: winding numbers, half planes, shifted maps."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stream.geo import Box, Polygon, position
from wire.reading import Value
from wire.shaping import BoundingBox

Spot = tuple[float, float]  # longitude, latitude

# Eighths of a degree: products of them are exact, so that the oracles are.
degrees = st.integers(-40, 40).map(lambda number: number / 8)
spots = st.tuples(degrees, degrees)
polygons = st.lists(spots, min_size=3, max_size=9)
latitudes = st.integers(-90, 90)
longitudes = st.integers(-180, 180)


def side(a: Spot, b: Spot, spot: Spot) -> float:
    """Above 0 where the spot is to the left of the way from a to b, 0 on the line."""
    return (b[0] - a[0]) * (spot[1] - a[1]) - (spot[0] - a[0]) * (b[1] - a[1])


def on_edge(points: list[Spot], spot: Spot) -> bool:
    return any(
        side(a, b, spot) == 0
        and min(a[0], b[0]) <= spot[0] <= max(a[0], b[0])
        and min(a[1], b[1]) <= spot[1] <= max(a[1], b[1])
        for a, b in pairwise([*points, points[0]])
    )


def winding(points: list[Spot], spot: Spot) -> int:
    """How often the polygon goes around a spot that is on no edge."""
    turns = 0
    for a, b in pairwise([*points, points[0]]):
        if a[1] <= spot[1] < b[1] and side(a, b, spot) > 0:
            turns += 1
        elif b[1] <= spot[1] < a[1] and side(a, b, spot) < 0:
            turns -= 1
    return turns


def hull(points: list[Spot]) -> list[Spot]:
    """The convex hull, counterclockwise (gift wrapping)."""
    found = [min(points)]
    while True:
        ahead = found[-1]
        for spot in points:
            turn = side(found[-1], ahead, spot)
            if ahead == found[-1] or turn < 0 or (turn == 0 and far(found[-1], spot) > far(found[-1], ahead)):
                ahead = spot
        if ahead == found[0]:
            return found
        found.append(ahead)


def far(a: Spot, b: Spot) -> float:
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2


@given(polygons, spots)
def test_a_polygon_contains_what_it_goes_around_an_odd_number_of_times(points: list[Spot], spot: Spot) -> None:
    assume(not on_edge(points, spot))
    assert Polygon(points).contains(spot[1], spot[0]) == (winding(points, spot) % 2 == 1)


@given(st.lists(spots, min_size=3, max_size=9), spots)
def test_a_convex_polygon_contains_what_is_to_the_left_of_every_edge(points: list[Spot], spot: Spot) -> None:
    corners = hull(points)
    assume(len(corners) >= 3)
    sides = [side(a, b, spot) for a, b in pairwise([*corners, corners[0]])]
    assume(not on_edge(corners, spot))
    assert Polygon(corners).contains(spot[1], spot[0]) == all(found > 0 for found in sides)


@given(polygons, st.data(), spots)
def test_of_two_polygons_that_share_an_edge_one_contains_it(
    points: list[Spot], data: st.DataObject, spot: Spot
) -> None:
    assume(len(points) > 3)
    start = data.draw(st.integers(0, len(points) - 3))
    end = data.draw(st.integers(start + 2, len(points) - 1))
    assume(end - start < len(points) - 1)
    one, other = points[start : end + 1], points[: start + 1] + points[end:]
    halves = [Polygon(part).contains(spot[1], spot[0]) for part in (one, other)]
    assert Polygon(points).contains(spot[1], spot[0]) == (halves[0] != halves[1])


@given(polygons, st.integers(0, 8), spots)
def test_closed_reversed_or_begun_elsewhere_it_is_the_same(points: list[Spot], start: int, spot: Spot) -> None:
    turned = points[start % len(points) :] + points[: start % len(points)]
    expected = Polygon(points).contains(spot[1], spot[0])
    for same in ([*points, points[0]], points[::-1], turned):
        assert Polygon(same).contains(spot[1], spot[0]) == expected


def test_a_polygon_with_a_bay() -> None:
    # A U, open to the north.
    shape = Polygon([(0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1), (1, 3), (0, 3)])
    assert shape.contains(2, 0.5)
    assert shape.contains(2, 2.5)
    assert shape.contains(0.5, 1.5)
    assert not shape.contains(2, 1.5)
    assert not shape.contains(-0.5, 1.5)
    assert not shape.contains(2, 3.5)


def test_a_line_contains_nothing() -> None:
    assert not Polygon([(0, 0), (1, 1), (2, 2)]).contains(1, 1)
    assert not Polygon([(0, 1), (1, 1), (2, 1)]).contains(1, 1)


@given(longitudes, longitudes, latitudes, latitudes, latitudes, longitudes)
def test_a_box_spans_from_west_to_east(west: int, east: int, a: int, b: int, latitude: int, longitude: int) -> None:
    south, north = sorted((a, b))
    box = Box(BoundingBox(west, south, east, north))
    # Go east from the west edge, over the antimeridian where need be: is the place on the way?
    width = east - west if west <= east else east - west + 360
    ahead = (longitude - west) % 360
    spanned = ahead <= width or (abs(longitude) == 180 and width == 360)
    assert box.contains(latitude, longitude) == (spanned and south <= latitude <= north)


def test_a_box_over_the_antimeridian() -> None:
    fiji = Box(BoundingBox(177, -20, -178, -16))
    assert fiji.contains(-18, 178)
    assert fiji.contains(-18, -179)
    assert fiji.contains(-18, 180)
    assert fiji.contains(-18, -180)
    assert not fiji.contains(-18, 0)
    assert not fiji.contains(-15, 178)
    assert Box(BoundingBox(170, 0, 180, 1)).contains(0, -180)


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        (52.5, 13.25, (52.5, 13.25)),
        (90, -180, (90, -180)),
        (90.1, 0, None),
        (0, 180.1, None),
        (float("nan"), 13, None),
        (52, float("inf"), None),
        (True, 13, None),
        ("52", 13, None),
        (None, 13, None),
    ],
)
def test_a_position_is_two_numbers_on_the_globe(latitude: Value, longitude: Value, expected: Spot | None) -> None:
    values = {"CurrentLocation.Latitude": latitude, "CurrentLocation.Longitude": longitude, "Speed": 3.0}
    assert position(values) == expected


def test_half_a_position_is_none() -> None:
    assert position({}) is None
    assert position({"CurrentLocation.Latitude": 52.0}) is None
    assert position({"CurrentLocation.Longitude": 13.0}) is None
