"""A vehicle obeys the rules of the road and of physics, whatever the seed."""

from __future__ import annotations

from math import cos, hypot, radians

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.city import METRES_PER_DEGREE, City
from simulator.vehicle import Vehicle
from wire.reading import Value

CITY = City("berlin", 1)
SOC = "Powertrain.TractionBattery.StateOfCharge.Current"
TEMPERATURE = "Powertrain.TractionBattery.Temperature.Average"

seeds = st.integers(0, 2**32)
steps = st.floats(0.01, 3)


def number(vehicle: Vehicle, signal: str) -> float:
    value = vehicle.values()[signal]
    assert isinstance(value, int | float)
    return value


def place(vehicle: Vehicle) -> tuple[float, float]:
    """Metres east and north of the centre."""
    north = number(vehicle, "CurrentLocation.Latitude") - CITY.centre.latitude
    east = number(vehicle, "CurrentLocation.Longitude") - CITY.centre.longitude
    scale = METRES_PER_DEGREE * cos(radians(CITY.centre.latitude))
    return east * scale, north * METRES_PER_DEGREE


@settings(max_examples=40, deadline=None)
@given(seeds, st.lists(steps, min_size=50, max_size=150))
def test_it_drives_within_the_limits(seed: int, times: list[float]) -> None:
    vehicle = Vehicle("v1", CITY, seed)
    for dt in times:
        speed, odometer, before = number(vehicle, "Speed"), number(vehicle, "TraveledDistance"), place(vehicle)
        vehicle.step(dt)
        assert 0 <= number(vehicle, "Speed") <= vehicle.limit_kmh
        assert number(vehicle, "Speed") - speed <= 2.0 * 3.6 * dt + 0.2, "accelerates too hard"
        driven = number(vehicle, "TraveledDistance") - odometer
        assert -1e-9 <= driven <= 60 / 3600 * dt + 0.011
        after = place(vehicle)
        assert hypot(after[0] - before[0], after[1] - before[1]) <= 60 / 3.6 * dt + 2.5, "jumps"
        assert hypot(*after) < 3_000, "has left the city"
        assert 0 <= number(vehicle, "CurrentLocation.Heading") < 360
        assert 0 <= number(vehicle, SOC) <= 100
        assert 0 < number(vehicle, TEMPERATURE) < 60


def test_it_moves_and_stops_and_turns() -> None:
    vehicle = Vehicle("v1", CITY, 7)
    speeds, headings = [], set()
    for _ in range(600):
        vehicle.step(1)
        speeds.append(number(vehicle, "Speed"))
        headings.add(round(number(vehicle, "CurrentLocation.Heading") / 45))
    assert max(speeds) > 25
    assert speeds.count(0) > 10
    assert len(headings) > 3
    assert 15 < sum(speeds) / len(speeds) < 45


def test_an_empty_battery_is_charged_and_the_drive_goes_on() -> None:
    vehicle = Vehicle("v1", CITY, 7)
    lowest, charged, went_on = 100.0, False, False
    for _ in range(60 * 60 * 16):
        vehicle.step(1)
        lowest = min(lowest, number(vehicle, SOC))
        if vehicle.charging:
            charged = True
            assert number(vehicle, "Speed") == 0
        elif charged and number(vehicle, "Speed") > 20:
            went_on = True
            break
    assert 0 < lowest <= 8
    assert went_on
    assert number(vehicle, SOC) > 75


def test_long_steps_are_the_same_as_many_short_ones() -> None:
    one, many = Vehicle("v1", CITY, 3), Vehicle("v1", CITY, 3)
    for _ in range(30):
        one.step(2.0)
        for _ in range(10):
            many.step(0.2)
    assert abs(number(one, "TraveledDistance") - number(many, "TraveledDistance")) < 0.05


def test_name_and_seed_make_the_drive() -> None:
    def drive(name: str, seed: int) -> list[dict[str, Value]]:
        vehicle = Vehicle(name, CITY, seed)
        seen = []
        for _ in range(20):
            vehicle.step(1)
            seen.append(vehicle.values())
        return seen

    assert drive("v1", 1) == drive("v1", 1)
    assert drive("v1", 1) != drive("v1", 2)
    assert drive("v1", 1) != drive("v2", 1)
