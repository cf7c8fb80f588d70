"""An electric car that drives through a city: pure dynamics, seeded, without a clock."""

from __future__ import annotations

import math
import random

from simulator.city import City, Lane
from wire.reading import Value

__all__ = ["Orders", "Vehicle"]

_STEP_S = 0.2  # the longest step of the dynamics
_ACCELERATION = 2.0  # m/s²
_COMFORT_BRAKE = 1.8  # m/s², what the driver plans with
_HARDEST_BRAKE = 6.0  # m/s²
_TURN_MPS = 4.5  # through a right angle
_STOP_SHARE = 0.3  # of the junctions
_ARRIVED_M = 1.5  # a stop line is reached within this

_MASS_KG = 1_900.0
_BATTERY_J = 60 * 3.6e6  # 60 kWh
_AUXILIARY_W = 600.0
_CHARGER_W = 120_000.0
_REGENERATION = 0.6
_EMPTY, _CHARGED = 8.0, 80.0  # %, when charging begins and ends
_LOSS = 0.05  # of what flows; it warms the battery
_HEAT_CAPACITY = 350_000.0  # J/°C
_COOLING_S = 1_800.0


class Orders:
    """What a car was told to do. `stand`: to stop where it is, and stay there."""

    def __init__(self) -> None:
        self.stand = False


class Vehicle:
    """One car. Its name, the seed and the city decide everything that it does, and its orders."""

    def __init__(self, name: str, city: City, seed: int, orders: Orders | None = None) -> None:
        self._orders = orders or Orders()
        self._rng = random.Random(f"vehicle/{seed}/{city.name}/{name}")
        self._city = city
        lanes = [lane for lanes in city.exits for lane in lanes]
        self._lane = self._rng.choice(lanes)
        self._along_m = self._rng.uniform(0.1, 0.6) * self._lane.length_m
        self._mps = 0.0
        self._wait_s = 0.0
        self._charging = False
        self._driver = self._rng.uniform(0.86, 1.0)  # the share of the limit that this driver uses
        self._soc = self._rng.uniform(18, 92)
        self._km = self._rng.uniform(500, 60_000)
        self._ambient = self._rng.uniform(8, 24)
        self._battery_c = self._ambient + self._rng.uniform(2, 10)
        self._look_ahead()

    @property
    def limit_kmh(self) -> float:
        """The speed limit where it is."""
        return self._lane.street.limit_kmh

    @property
    def charging(self) -> bool:
        """Whether it stands at a charger."""
        return self._charging

    def step(self, dt: float) -> None:
        """Live through `dt` seconds."""
        while dt > 0:
            h = min(dt, _STEP_S)
            self._step(h)
            dt -= h

    def values(self) -> dict[str, Value]:
        """What its sensors say now: VSS signals, in their VSS units."""
        at = self._lane.position(self._along_m)
        place = self._city.place(at.east, at.north)
        return {
            "Speed": round(self._mps * 3.6, 1),
            "CurrentLocation.Latitude": round(place.latitude, 6),
            "CurrentLocation.Longitude": round(place.longitude, 6),
            "CurrentLocation.Heading": round(at.heading, 1) % 360,
            "TraveledDistance": round(self._km, 2),
            "Powertrain.TractionBattery.StateOfCharge.Current": round(self._soc, 2),
            "Powertrain.TractionBattery.Temperature.Average": round(self._battery_c, 1),
        }

    def _step(self, h: float) -> None:
        if self._charging:
            self._charge(h)
        elif self._wait_s > 0:
            self._wait(h)
        else:
            self._drive(h)

    def _wait(self, h: float) -> None:
        self._wait_s -= h
        self._flow(_AUXILIARY_W * h, h)
        if self._wait_s <= 0:
            self._enter(self._next)

    def _drive(self, h: float) -> None:
        wanted = 0.0 if self._orders.stand else self._lane.limit_mps * self._driver
        left = max(0.0, self._lane.length_m - self._along_m - self._mps * h)
        wanted = min(wanted, math.sqrt(self._exit_mps**2 + 2 * _COMFORT_BRAKE * left))
        change = max(-_HARDEST_BRAKE * h, min(_ACCELERATION * h, wanted - self._mps))
        before, self._mps = self._mps, max(0.0, self._mps + change)
        self._use(before, h)
        metres = self._mps * h
        self._km += metres / 1_000
        self._along_m += metres
        left = self._lane.length_m - self._along_m
        if self._exit_mps == 0 and left < _ARRIVED_M:
            self._halt()
        elif left <= 0:
            self._enter(self._next, -left)

    def _halt(self) -> None:
        self._mps = 0.0
        self._along_m = min(self._along_m, self._lane.length_m)
        if self._soc <= _EMPTY:
            self._charging = True
        else:
            self._wait_s = self._rng.uniform(2, 20)

    def _enter(self, lane: Lane, along_m: float = 0.0) -> None:
        self._mps = min(self._mps, self._exit_mps)
        self._lane = lane
        self._along_m = along_m
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Choose the next street, and how fast to leave this one: 0 is a stop at its end."""
        exits = self._city.exits[self._lane.end]
        onward = [lane for lane in exits if lane.end != self._lane.start] or list(exits)
        self._next = self._rng.choice(onward)
        if self._soc <= _EMPTY or self._rng.random() < _STOP_SHARE:
            self._exit_mps = 0.0
            return
        turn = abs((self._next.first_heading - self._lane.last_heading + 180) % 360 - 180)
        through = min(self._lane.limit_mps, self._next.limit_mps) * self._driver
        self._exit_mps = max(2.0, through - (through - _TURN_MPS) * min(1.0, turn / 90))

    def _use(self, before_mps: float, h: float) -> None:
        """What moving took from the battery, or braking gave back to it."""
        v = self._mps
        kinetic = 0.5 * _MASS_KG * (v * v - before_mps * before_mps)
        resistance = (0.012 * _MASS_KG * 9.81 + 0.4 * v * v) * v * h
        joules = kinetic + resistance
        joules *= 1.1 if joules > 0 else _REGENERATION
        self._flow(joules + _AUXILIARY_W * h, h)

    def _charge(self, h: float) -> None:
        self._flow(-_CHARGER_W * h, h)
        if self._soc >= _CHARGED:
            self._charging = False
            self._enter(self._next)

    def _flow(self, joules: float, h: float) -> None:
        """Energy out of the battery (below zero: into it), and the warmth of it."""
        self._soc = max(0.0, min(100.0, self._soc - 100 * joules / _BATTERY_J))
        self._battery_c += _LOSS * abs(joules) / _HEAT_CAPACITY
        self._battery_c += (self._ambient - self._battery_c) * h / _COOLING_S
