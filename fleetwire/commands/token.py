"""`fleetwire token`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from wire.errors import SettingsError

__all__ = ["token"]


def token(
    subject: Annotated[str, typer.Option(help="Whom it is for.")],
    key: Annotated[
        str | None,
        typer.Option(
            "--jwt-key", envvar="FLEETWIRE_JWT_KEY", help="The nodes' secret (HS256), or the first of them."
        ),
    ] = None,
    private_key: Annotated[
        Path | None,
        typer.Option(
            envvar="FLEETWIRE_PRIVATE_KEY",
            metavar="FILE",
            help="A private key in PEM instead, whose public key the nodes have (RS256, ES256, EdDSA).",
        ),
    ] = None,
    key_id: Annotated[str | None, typer.Option(help="What the nodes' key set calls the private key (kid).")] = None,
    subscribe: Annotated[list[str] | None, typer.Option(help="Filter that may be subscribed to; repeatable.")] = None,
    publish: Annotated[list[str] | None, typer.Option(help="Filter that may be published to; repeatable.")] = None,
    signals: Annotated[
        list[str] | None,
        typer.Option("--signal", help="Pattern of signals that may be seen; repeatable; without any, all may be."),
    ] = None,
    connections: Annotated[int | None, typer.Option(min=1, help="Most connections of the subject to a node.")] = None,
    subscriptions: Annotated[int | None, typer.Option(min=1, help="Most subscriptions on one connection.")] = None,
    commands_s: Annotated[float | None, typer.Option(min=0.01, help="Commands a second on one connection.")] = None,
    audience: Annotated[str | None, typer.Option(help="Whom it is to be shown to (aud).")] = None,
    issuer: Annotated[str | None, typer.Option(help="Who makes it (iss).")] = None,
    hours: Annotated[float, typer.Option(min=0, help="How long it is good for.")] = 24.0,
) -> None:
    """Make a token (JWT) that lets a client subscribe and publish.

    Examples:

        fleetwire token --subject ops --subscribe 'fleets/berlin/#' --subscribe 'rooms/#' --publish 'rooms/+'

        fleetwire token --subject map --subscribe 'fleets/#' --signal Speed --signal 'CurrentLocation.*' --hours 1

        openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out public.pem

        fleetwire token --private-key key.pem --subject ops --subscribe 'fleets/#'
    """
    from stream.auth import claims, sign_with_secret
    from stream.settings import Settings

    asked = {"connections": connections, "subscriptions": subscriptions, "commands": commands_s}
    limits = {name: most for name, most in asked.items() if most is not None} or None
    found = claims(
        subject,
        subscribe or (),
        publish or (),
        hours * 3600,
        signals=signals,
        limits=limits,
        aud=audience,
        iss=issuer,
    )
    if private_key is not None:
        print(_signed(private_key, found, key_id))
    elif key is not None:
        Settings(jwt_key=key)
        print(sign_with_secret(key.split()[0], found))
    else:
        raise SettingsError("--jwt-key (FLEETWIRE_JWT_KEY) is needed to sign it, or --private-key")


def _signed(path: Path, claims: dict[str, Any], key_id: str | None) -> str:
    from stream.auth import sign_with

    try:
        return sign_with(path.read_bytes(), claims, key_id)
    except OSError as error:
        raise SettingsError.about("private-key", f"can't be read: {path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError.about("private-key", f"can't be used: {path}: {error}") from None
