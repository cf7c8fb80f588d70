"""`fleetwire stream`."""

from __future__ import annotations

import logging
import socket
from typing import Annotated

import typer

from fleetwire.commands import limits, options
from fleetwire.commands.run import run

__all__ = ["stream"]

log = logging.getLogger("fleetwire")


def stream(
    redis_url: options.RedisUrl = "redis://127.0.0.1:6379",
    redis_ca: options.RedisCa = None,
    redis_cert: options.RedisCert = None,
    redis_key: options.RedisKey = None,
    host: options.Host = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="FLEETWIRE_PORT", help="Port to listen on.")] = 8000,
    workers: Annotated[
        int,
        typer.Option(
            envvar="FLEETWIRE_WORKERS", min=1, max=256, help="Processes that serve the port, each a node; one a core."
        ),
    ] = 1,
    node_name: Annotated[
        str | None,
        typer.Option(
            envvar="FLEETWIRE_NODE_NAME",
            help="What the node calls itself in replies to ping; each of several workers adds its number."
            "  [default: HOSTNAME:PORT]",
        ),
    ] = None,
    map_layer: Annotated[
        str | None,
        typer.Option(
            envvar="FLEETWIRE_MAP_LAYER",
            metavar="FILE",
            help="GeoJSON of your own that the dashboard's map shows under the vehicles: streets, sites, zones.",
        ),
    ] = None,
    map_origin: Annotated[
        list[str] | None,
        typer.Option(
            envvar="FLEETWIRE_MAP_ORIGIN",
            help="Where a map's style of your own (/?style=…) may load from, like https://tiles.example.com;"
            " repeatable. Browsers refuse the rest.",
        ),
    ] = None,
    jwt_key: Annotated[
        str | None,
        typer.Option(
            envvar="FLEETWIRE_JWT_KEY",
            help="Secret of tokens (HS256), 32 characters or more; several, with spaces between them, to change it.",
        ),
    ] = None,
    jwt_keys: Annotated[
        str | None,
        typer.Option(
            envvar="FLEETWIRE_JWT_KEYS",
            metavar="FILE|URL",
            help="Public keys of tokens (RS256, ES256, EdDSA): a JSON Web Key Set (read again by itself), or PEM.",
        ),
    ] = None,
    jwt_audience: Annotated[
        str | None, typer.Option(envvar="FLEETWIRE_JWT_AUDIENCE", help="Whom tokens must be for (aud).")
    ] = None,
    jwt_issuer: Annotated[
        str | None, typer.Option(envvar="FLEETWIRE_JWT_ISSUER", help="Who must have made tokens (iss).")
    ] = None,
    anonymous: Annotated[
        bool,
        typer.Option(
            "--anonymous",
            envvar="FLEETWIRE_ANONYMOUS",
            help="Without a key of tokens: serve others than this machine, and let everyone do everything.",
        ),
    ] = False,
    tls_cert: Annotated[
        str | None,
        typer.Option(
            envvar="FLEETWIRE_TLS_CERT",
            metavar="FILE",
            help="Certificate (PEM, with its chain): the port then speaks HTTPS and WSS only. Read anew at SIGHUP.",
        ),
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option(envvar="FLEETWIRE_TLS_KEY", metavar="FILE", help="Its private key (PEM).")
    ] = None,
    subscriptions: Annotated[
        int, typer.Option(envvar="FLEETWIRE_SUBSCRIPTIONS", help="Most subscriptions on one connection.")
    ] = 1_000,
    frame_bytes: Annotated[
        int, typer.Option(envvar="FLEETWIRE_FRAME_BYTES", help="Largest frame that a client may send.")
    ] = 65_536,
    outbox_bytes: Annotated[
        int, typer.Option(envvar="FLEETWIRE_OUTBOX_BYTES", help="Most that waits for a client before it is behind.")
    ] = 262_144,
    drain_s: Annotated[
        float, typer.Option(envvar="FLEETWIRE_DRAIN_S", help="Seconds that a client may take nothing (then 4008).")
    ] = 30.0,
    connections: limits.Connections = 20_000,
    subject_connections: limits.SubjectConnections = 1_000,
    address_connections: limits.AddressConnections = 1_000,
    trusted_proxies: limits.TrustedProxies = None,
    origin: limits.Origins = None,
    wide_subscriptions: limits.WideSubscriptions = 100,
    commands_s: limits.CommandsS = 50.0,
    commands_burst: limits.CommandsBurst = 1_000,
    bytes_s: limits.BytesS = 262_144,
    bytes_burst: limits.BytesBurst = 1_048_576,
    authorize_s: limits.AuthorizeS = 10.0,
    head_s: limits.HeadS = 10.0,
    head_bytes: limits.HeadBytes = 16_384,
    half_open: limits.HalfOpen = 2_048,
    history_s: limits.HistoryS = 604_800,
    history_topics: limits.HistoryTopics = 10_000,
    histories: limits.Histories = 8,
    waiting_commands: limits.WaitingCommands = 100_000,
    log_entries: options.LogEntries = 1_000,
    log_age_s: options.LogAge = 3_600,
    retention: options.Kinds = "",
    log_format: options.Logs = "text",
) -> None:
    """A node: pushes readings to dashboards over WebSocket and Server-Sent Events. Run as many as you need.

    Examples:

        fleetwire stream --redis-url redis://redis:6379 --host 0.0.0.0 --jwt-keys https://id.example/jwks.json

        fleetwire stream --workers 4

        fleetwire stream --retention 'commands=10000:86400 rooms=500:604800'

        fleetwire streets > streets.geojson && fleetwire stream --map-layer streets.geojson

        fleetwire stream --host 0.0.0.0 --port 8443 --tls-cert node.pem --tls-key node.key

        FLEETWIRE_JWT_KEY=… fleetwire stream
    """
    from fleetwire import tls
    from fleetwire.logs import configure
    from stream.limits import Limits
    from stream.settings import Settings
    from wire.retention import parse_retention

    most = Limits(
        connections=connections,
        subject_connections=subject_connections,
        address_connections=address_connections,
        trusted_proxies=tuple(trusted_proxies or ()),
        origins=tuple(origin or ()),
        wide_subscriptions=wide_subscriptions,
        commands_s=commands_s,
        commands_burst=commands_burst,
        bytes_s=bytes_s,
        bytes_burst=bytes_burst,
        authorize_s=authorize_s,
        head_s=head_s,
        head_bytes=head_bytes,
        half_open=half_open,
        history_s=history_s,
        history_topics=history_topics,
        histories=histories,
        waiting_commands=waiting_commands,
    )

    settings = Settings(
        redis_url=redis_url,
        redis_ca=redis_ca,
        redis_cert=redis_cert,
        redis_key=redis_key,
        node_name=node_name or f"{socket.gethostname()}:{port}",
        map_layer=map_layer,
        map_origins=tuple(map_origin or ()),
        host=host,
        jwt_key=jwt_key or None,
        jwt_keys=jwt_keys or None,
        jwt_audience=jwt_audience or None,
        jwt_issuer=jwt_issuer or None,
        anonymous=anonymous,
        subscriptions=subscriptions,
        frame_bytes=frame_bytes,
        outbox_bytes=outbox_bytes,
        drain_s=drain_s,
        retention=parse_retention(retention, log_entries, log_age_s),
        limits=most,
    )
    files = tls.files(tls_cert, tls_key)
    certificate = tls.Certificate(files) if files else None
    configure(log_format)
    if not settings.keys():
        log.warning("no key of tokens is set: whoever reaches %s:%d may read and say everything", host, port)
    if workers == 1:
        from fleetwire.head import Head
        from fleetwire.serve import serve
        from stream.app import create_app
        from stream.prepared import PreparedProtocol

        head = Head(most.head_s, most.head_bytes, most.half_open)
        app = create_app(settings)
        serve(app, host, port, frame_bytes=frame_bytes, ws=PreparedProtocol, head=head, tls=certificate)
    else:
        from fleetwire.workers import serve_workers

        run(serve_workers(workers, host, port, settings, log_format, files))
