"""`fleetwire demo`."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from fleetwire.commands.run import run

__all__ = ["demo"]


def demo(
    vehicles: Annotated[int, typer.Option(help="Simulated vehicles.")] = 50,
    hz: Annotated[float, typer.Option(help="Readings a second from each vehicle.")] = 1.0,
    seconds: Annotated[float | None, typer.Option(help="Stop by itself after this time.")] = None,
    nodes: Annotated[int, typer.Option(help="Stream nodes, on consecutive ports.")] = 1,
    port: Annotated[int, typer.Option(envvar="FLEETWIRE_PORT", help="Port of the first node.")] = 8000,
    mqtt_port: Annotated[int | None, typer.Option(help="Port for MQTT 3.1.1; 1883, or any when taken.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another fleet.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Everything on one machine: broker, Valkey, bridge, nodes and a simulated fleet, checked while it runs.

    Exit status 1 when a reading was lost.

    Examples:

        fleetwire demo

        fleetwire demo --vehicles 500 --hz 2 --nodes 2

        fleetwire demo --seconds 15 --json
    """
    from fleetwire.demo import DemoSettings, demo

    settings = DemoSettings(vehicles, hz, seconds, nodes, port, mqtt_port, seed)
    summary = run(demo(settings, quiet=json))
    print(msgspec.json.encode(summary.as_dict()).decode() if json else "\n" + summary.text())
    raise typer.Exit(1 if summary.lost else 0)
