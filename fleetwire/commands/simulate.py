"""`fleetwire simulate`, and the streets that its fleets drive on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from fleetwire.commands import options
from fleetwire.commands.run import run

__all__ = ["simulate", "streets"]


def simulate(
    mqtt_url: options.MqttUrl = "mqtt://127.0.0.1:1883",
    mqtt_version: Annotated[Literal["3.1.1", "5"], typer.Option(help="MQTT version of the devices.")] = "3.1.1",
    mqtt_ca: options.MqttCa = None,
    mqtt_cert: options.MqttCert = None,
    mqtt_key: options.MqttKey = None,
    fleet: Annotated[str, typer.Option(help="Name of the fleet; a city's name puts it there.")] = "berlin",
    vehicles: Annotated[
        int | None, typer.Option(help="Vehicles that drive through the city.  [default: 10, or 0 with tracks]")
    ] = None,
    hz: Annotated[float, typer.Option(help="Readings a second from each vehicle.")] = 1.0,
    seconds: Annotated[float | None, typer.Option(help="Stop after this time.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed and start give the same bytes.")] = 0,
    start_ms: Annotated[
        int | None, typer.Option(help="The fleet's time at its start, epoch ms; now by default.")
    ] = None,
    qos: Annotated[int, typer.Option(min=0, max=1, help="MQTT quality of service.")] = 1,
    gateway: Annotated[bool, typer.Option("--gateway", help="One connection for the whole fleet.")] = False,
    gpx: Annotated[list[Path] | None, typer.Option(help="Drive along a recorded GPX track; repeatable.")] = None,
    route: Annotated[
        list[Path] | None, typer.Option(help="Drive along a route of stages (JSON); repeatable.")
    ] = None,
    trace: Annotated[list[Path] | None, typer.Option(help="Replay an OpenXC trace (JSON lines); repeatable.")] = None,
    speedup: Annotated[float, typer.Option(help="How much faster than recorded tracks are driven.")] = 1.0,
    manifest: Annotated[Path | None, typer.Option(help="Write what was really sent to this file.")] = None,
    log_format: options.Logs = "text",
) -> None:
    """A simulated fleet that drives and publishes over MQTT.

    Examples:

        fleetwire simulate --vehicles 200 --hz 2

        fleetwire simulate --gpx track.gpx --speedup 10 --manifest truth.json

        fleetwire simulate --fleet tokyo --vehicles 1000 --gateway --seconds 60

        fleetwire simulate --gateway --mqtt-url mqtts://broker --mqtt-ca ca.crt --mqtt-cert gw.crt --mqtt-key gw.key
    """
    from fleetwire.logs import configure
    from fleetwire.simulation import drive
    from simulator.run import SimulatorSettings
    from store.tls import context

    tracks = (*(gpx or ()), *(route or ()), *(trace or ()))
    settings = SimulatorSettings(
        mqtt_url=mqtt_url,
        mqtt_version=mqtt_version,
        tls=context(mqtt_ca, mqtt_cert, mqtt_key) if mqtt_ca or mqtt_cert else None,
        fleet=fleet,
        vehicles=(0 if tracks else 10) if vehicles is None else vehicles,
        hz=hz,
        seconds=seconds,
        seed=seed,
        gateway=gateway,
        qos=qos,
        tracks=tracks,
        speedup=speedup,
        start_ms=start_ms,
    )
    configure(log_format)
    truth = run(drive(settings))
    if manifest is not None:
        truth.save(manifest)
    print(f"sent {truth.sent} readings on {len(truth.topics)} topics, dropped {truth.dropped}", file=sys.stderr)


def streets(
    fleet: Annotated[str, typer.Option(help="Name of the fleet; a city's name puts it there.")] = "berlin",
    seed: Annotated[int, typer.Option(help="The simulator's seed.")] = 0,
) -> None:
    """The streets of a simulated fleet as GeoJSON, for the map of a node.

    Example:

        fleetwire streets --fleet berlin --seed 1 > streets.geojson
    """
    from simulator.city import City

    print(msgspec.json.encode(City(fleet, seed).streets()).decode())
