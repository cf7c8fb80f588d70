"""`fleetwire watch`, `command` and `verify`: what asks a node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from fleetwire.commands import options
from fleetwire.commands.run import run

__all__ = ["command", "verify", "watch"]


def watch(
    topic: Annotated[str, typer.Argument(help="Topic filter, like fleets/berlin/#.")] = "fleets/#",
    url: options.NodeUrl = ["ws://127.0.0.1:8000"],  # noqa: B006
    token: options.Token = None,
    interval: Annotated[int, typer.Option(min=0, max=60_000, help="Milliseconds between updates.")] = 200,
    raw: Annotated[bool, typer.Option("--raw", help="Every item as a line of JSON, to pipe.")] = False,
) -> None:
    """A live view of vehicles in the terminal.

    Examples:

        fleetwire watch

        fleetwire watch 'fleets/berlin/+/telemetry' --url ws://node-1:8000 --url ws://node-2:8000

        fleetwire watch 'fleets/#' --raw | jq .values.Speed
    """
    from fleetwire import watch as view

    run((view.raw if raw else view.watch)(url, topic, token, interval))


def command(
    topic: Annotated[str, typer.Argument(help="fleets/FLEET/VEHICLE/commands")],
    data: Annotated[str, typer.Argument(help="What to do: a map in JSON that the device understands.")],
    ttl: Annotated[
        float | None,
        typer.Option(min=0.001, max=86_400, help="Seconds in which it may be carried out.  [default: 60]"),
    ] = None,
    url: options.NodeUrl = ["ws://127.0.0.1:8000"],  # noqa: B006
    token: options.Token = None,
) -> None:
    """Send a command to a vehicle, and print each reply as a line of JSON.

    Exit status 0 when it has succeeded, 1 when it has failed or timed out.

    Examples:

        fleetwire command fleets/berlin/v1/commands '{"name":"stop"}'

        fleetwire command fleets/berlin/v1/commands '{"name":"ping"}' --ttl 3600 --url ws://node-1:8000
    """
    from fleetwire.command import command

    raise typer.Exit(0 if run(command(url, topic, data, ttl, token)) else 1)


def verify(
    manifest: Annotated[Path, typer.Option(help="What was sent: written by simulate --manifest.")],
    url: Annotated[str, typer.Option(envvar="FLEETWIRE_URL", help="Any node.")] = "ws://127.0.0.1:8000",
    token: options.Token = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Say what was lost or doubled between a simulator and the log. Exit status 1 when anything was.

    Example:

        fleetwire verify --manifest truth.json --url ws://127.0.0.1:8000
    """
    from fleetwire.verify import report
    from simulator.truth import Manifest

    outcome = run(report(Manifest.load(manifest), url, token))
    print(msgspec.json.encode(outcome.totals).decode() if json else outcome.text())
    raise typer.Exit(0 if outcome.good else 1)
