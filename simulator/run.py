"""Drive a fleet against a broker, from settings to manifest."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Literal

from simulator.devices import Connection, Uplink, connections
from simulator.fleet import Fleet
from simulator.pace import Clock
from simulator.track import load
from simulator.truth import Ledger, Manifest
from wire.errors import SettingsError, TopicError, Unavailable
from wire.topics import parse
from wire.urls import MqttAddress, parse_mqtt

__all__ = ["Progress", "SimulatorSettings", "simulate"]

_OPENING = 50  # connections that are made at once


@dataclass(frozen=True)
class SimulatorSettings:
    """What to drive, and where to.

    `seconds`: None is until stopped. `start_ms`: the fleet's time at its start, epoch milliseconds; None is the
    real time. `tls`: how to speak with a broker at mqtts://, if not as the system does. `gateway`: one connection for
    the whole fleet. `wait_s`: how long to wait for a broker that can't be reached at the start. With tracks and
    without vehicles the run ends when the tracks have.
    """

    mqtt_url: str = "mqtt://127.0.0.1:1883"
    mqtt_version: Literal["3.1.1", "5"] = "3.1.1"
    tls: ssl.SSLContext | None = None
    fleet: str = "berlin"
    vehicles: int = 10
    hz: float = 1.0
    seconds: float | None = None
    seed: int = 0
    gateway: bool = False
    qos: int = 1
    tracks: tuple[Path, ...] = ()
    speedup: float = 1.0
    start_ms: int | None = None
    wait_s: float = 5.0

    def check(self) -> MqttAddress:
        """The broker's address. Raises SettingsError, which names the setting, when one can't be used."""
        _check("vehicles", self.vehicles, 0 <= self.vehicles <= 1_000_000, "must be 0 to 1,000,000")
        if not self.vehicles and not self.tracks:
            raise SettingsError("vehicles: 0 vehicles and no track: nothing would drive")
        _check("hz", self.hz, 0 < self.hz <= 1_000, "must be above 0, at most 1,000")
        _check("seconds", self.seconds, self.seconds is None or 0 < self.seconds < inf, "must be above 0")
        _check("qos", self.qos, self.qos in (0, 1), "must be 0 or 1")
        _check("speedup", self.speedup, isfinite(self.speedup) and self.speedup > 0, "must be above 0")
        _check("start_ms", self.start_ms, (self.start_ms or 0) >= 0, "must not be negative")
        try:
            parse(f"fleets/{self.fleet}/v1/telemetry")
        except TopicError as error:
            raise SettingsError(f"fleet: {error}") from None
        return parse_mqtt(self.mqtt_url)


@dataclass(frozen=True)
class Progress:
    """How far a run is: connections that are up and that there are, readings sent and dropped, seconds driven."""

    connected: int
    connections: int
    sent: int
    dropped: int
    elapsed_s: float


async def simulate(
    settings: SimulatorSettings,
    on_progress: Callable[[Progress], None] | None = None,
    stop: asyncio.Event | None = None,
) -> Manifest:
    """Connect the whole fleet, drive it, and say what was really sent.

    `on_progress` is called about once a second, and at the end. Setting `stop` ends the run cleanly: what is in
    flight is confirmed and every device says OFFLINE. When the broker goes away in the meantime the fleet drives
    on and reconnects; a stop waits some seconds for it.

    Raises SettingsError for settings or tracks that can't be used, and Unavailable when the broker can't be
    reached at the start.
    """
    address = settings.check()
    fleet = Fleet(
        settings.fleet,
        vehicles=settings.vehicles,
        hz=settings.hz,
        seed=settings.seed,
        tracks=[load(path) for path in settings.tracks],
        speedup=settings.speedup,
    )
    clock = Clock(settings.start_ms, stop or asyncio.Event())
    ledger = Ledger()
    uplink = Uplink(
        address=address,
        qos=settings.qos,
        clock=clock,
        ledger=ledger,
        opening=asyncio.Semaphore(_OPENING),
        tls=(settings.tls or ssl.create_default_context()) if address.tls else None,
        mqtt_version=settings.mqtt_version,
        end_ms=inf if settings.seconds is None else settings.seconds * 1_000,
        patience_s=settings.wait_s,
    )
    links = connections(fleet, uplink, gateway=settings.gateway)

    def report() -> None:
        if on_progress is not None:
            connected = sum(link.connected for link in links)
            on_progress(Progress(connected, len(links), ledger.sent, ledger.dropped, clock.elapsed_ms / 1_000))

    await _drive(links, clock, report)
    report()
    return Manifest(
        fleet=fleet.name,
        seed=settings.seed,
        qos=settings.qos,
        started=clock.start_ms,
        ended=clock.time_ms,
        topics=ledger.topics,
    )


async def _drive(links: Sequence[Connection], clock: Clock, report: Callable[[], None]) -> None:
    unavailable: list[BaseException] = []
    try:
        async with asyncio.TaskGroup() as group:
            reports = group.create_task(_every_second(report), name="progress")
            async with asyncio.TaskGroup() as running:
                for link in links:
                    running.create_task(link.run(), name=f"device {link.name}")
                for link in links:
                    await link.opened.wait()
                clock.start()
            reports.cancel()
    except* Unavailable as errors:
        unavailable.append(errors)
    if unavailable:
        raise Unavailable(_text(unavailable[0]))


async def _every_second(report: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(1)
        report()


def _check(name: str, value: object, good: bool, rule: str) -> None:
    if not good:
        raise SettingsError(f"{name}: {value} {rule}")


def _text(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
