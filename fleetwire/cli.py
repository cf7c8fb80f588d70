"""The command line: `fleetwire demo | ingest | stream | simulate | streets | watch | command | verify | token |
device`."""

from __future__ import annotations

import signal
import sys

import typer

from fleetwire.commands.clients import command, verify, watch
from fleetwire.commands.demo import demo
from fleetwire.commands.device import device
from fleetwire.commands.ingest import ingest
from fleetwire.commands.simulate import simulate, streets
from fleetwire.commands.stream import stream
from fleetwire.commands.token import token
from fleetwire.environment import load_environment
from wire.errors import FleetwireError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Live telemetry from fleets of devices to dashboards: MQTT to Redis to WebSocket.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for one in (demo, ingest, stream, simulate, streets, watch, command, verify, token):
    app.command()(one)
app.add_typer(device, name="device")


def main() -> None:
    """The entry point. What is wrong is said in one line: exit status 2; Ctrl-C is 130."""
    try:
        load_environment()
        app()
    except FleetwireError as error:
        print(f"fleetwire: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
