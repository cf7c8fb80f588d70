"""`fleetwire device init | add | remove`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wire.errors import SettingsError

__all__ = ["device"]


device = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)

Certs = Annotated[Path, typer.Option("--folder", help="Where the credentials are.")]
Days = Annotated[int, typer.Option(min=1, max=3_650, help="How long the certificate is good for.")]
Renew = Annotated[bool, typer.Option("--renew", help="Replace what is there.")]


@device.callback()
def devices() -> None:
    """Make and revoke what devices and bridges show to the broker of mosquitto/production.conf.

    Examples:

        fleetwire device init --broker broker.example

        fleetwire device add berlin/v1
    """


@device.command()
def init(
    broker: Annotated[list[str], typer.Option(help="Name or IP address that the broker is reached by; repeatable.")],
    days: Days = 825,
    renew: Annotated[bool, typer.Option("--renew", help="Only a new certificate for the broker.")] = False,
    folder: Certs = Path("certs"),
) -> None:
    """Make a certificate authority of your own, and a certificate for the broker.

    FOLDER/broker is what the broker reads. Keep FOLDER/authority somewhere else: who has it can be any device.

    Examples:

        fleetwire device init --broker broker.example --broker 192.0.2.7

        fleetwire device init --renew --broker broker.example
    """
    from fleetwire.device import Folder

    credentials = Folder(folder)
    print(*(credentials.renew if renew else credentials.begin)(broker, days), sep="\n")


@device.command()
def add(
    name: Annotated[str, typer.Argument(help="FLEET/VEHICLE; or one word, for a bridge or a program.")],
    password: Annotated[
        bool, typer.Option("--password", help="A user with a password instead of a certificate.")
    ] = False,
    bridge: Annotated[bool, typer.Option("--bridge", help="A bridge's: it reads all, and sends commands.")] = False,
    days: Days = 825,
    renew: Renew = False,
    folder: Certs = Path("certs"),
) -> None:
    """Make a certificate, or a user with a password, for a device, a program or a bridge.

    A device publishes under its own name and reads its own commands, nothing else. What a program may do has to be
    written into mosquitto/devices.acl. A password is printed, and is nowhere else. Say HUP to the broker when a
    password was made, or something renewed: what is replaced counts from then on no more.

    Examples:

        fleetwire device add berlin/v1

        PASSWORD=$(fleetwire device add berlin/v2 --password)

        fleetwire device add bridge --bridge

        fleetwire device add berlin/v1 --renew --days 90
    """
    from fleetwire.authority import expiry
    from fleetwire.device import Folder

    if bridge and password:
        raise SettingsError("--bridge and --password do not go together: bridges show a certificate")
    credentials = Folder(folder)
    if password:
        print(credentials.add_password(name, renew=renew), flush=True)
    else:
        certificate, key = credentials.add(name, days, bridge=bridge, renew=renew)
        print(f"{certificate}  (good until {expiry(certificate.read_bytes()):%Y-%m-%d})\n{key}")
    print(f"\nUse it like this:\n{credentials.example(name, bridge=bridge, password=password)}", file=sys.stderr)


@device.command()
def remove(
    name: Annotated[str, typer.Argument(help="FLEET/VEHICLE, or the one word that it was added by.")],
    folder: Certs = Path("certs"),
) -> None:
    """Revoke the certificate and the password of a device, a program or a bridge.

    Say HUP to the broker then. Who is connected with a certificate stays so until the connection ends.

    Example:

        fleetwire device remove berlin/v1
    """
    from fleetwire.device import Folder

    print(*Folder(folder).remove(name), sep="\n")
