"""The command line: `fleetwire demo | ingest | stream | simulate | streets | watch | command | verify | token |
device`."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import typer

from fleetwire import options
from fleetwire.environment import load_environment
from wire.errors import FleetwireError, SettingsError

__all__ = ["main"]

T = TypeVar("T")

log = logging.getLogger("fleetwire")

app = typer.Typer(
    help="Live telemetry from fleets of devices to dashboards: MQTT to Redis to WebSocket.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
device = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)
app.add_typer(device, name="device")


MqttUrl = Annotated[
    str,
    typer.Option(envvar="FLEETWIRE_MQTT_URL", help="Broker: mqtt://[user:password@]host[:port], mqtts:// for TLS."),
]
MqttCa = Annotated[
    str | None,
    typer.Option(
        envvar="FLEETWIRE_MQTT_CA",
        metavar="FILE",
        help="Authority (PEM) that the broker's certificate has to be of; without it, those of the system.",
    ),
]
MqttCert = Annotated[
    str | None,
    typer.Option(envvar="FLEETWIRE_MQTT_CERT", metavar="FILE", help="Certificate (PEM) to show to the broker."),
]
MqttKey = Annotated[
    str | None,
    typer.Option(envvar="FLEETWIRE_MQTT_KEY", metavar="FILE", help="Private key (PEM) of the certificate."),
]
RedisUrl = Annotated[
    str,
    typer.Option(
        envvar="FLEETWIRE_REDIS_URL",
        help="Redis or Valkey: redis://[user:password@]host[:port], rediss:// (TLS), unix://PATH;"
        " redis+sentinel://host:26379,host:26379/SERVICE asks Sentinels for the master;"
        " redis+cluster://host:6379,host:6379 is a cluster.",
    ),
]
Host = Annotated[str, typer.Option(envvar="FLEETWIRE_HOST", help="Address to listen on.")]
Logs = Annotated[
    Literal["text", "json"], typer.Option("--log-format", envvar="FLEETWIRE_LOG_FORMAT", help="One line an event.")
]
NodeUrl = Annotated[
    list[str], typer.Option("--url", envvar="FLEETWIRE_URL", help="Node; repeat it for more to fall back on.")
]
Token = Annotated[str | None, typer.Option(envvar="FLEETWIRE_TOKEN", help="JWT to show to the node.")]
LogEntries = Annotated[
    int, typer.Option(envvar="FLEETWIRE_LOG_ENTRIES", help="Readings that each topic's log keeps.")
]
LogAge = Annotated[int, typer.Option(envvar="FLEETWIRE_LOG_AGE_S", help="Seconds that each topic's log keeps.")]
Kinds = Annotated[
    str,
    typer.Option(
        "--retention",
        envvar="FLEETWIRE_RETENTION",
        help="What logs of some kinds keep instead, KIND=ENTRIES:SECONDS, separated by spaces. Kinds: telemetry,"
        " status, alerts, commands, replies, rooms. The same for bridges and nodes: these write commands and rooms.",
    ),
]


@app.command()
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
    summary = _run(demo(settings, quiet=json))
    print(msgspec.json.encode(summary.as_dict()).decode() if json else "\n" + summary.text())
    raise typer.Exit(1 if summary.lost else 0)


@app.command()
def ingest(
    mqtt_url: MqttUrl = "mqtt://127.0.0.1:1883",
    redis_url: RedisUrl = "redis://127.0.0.1:6379",
    redis_ca: options.RedisCa = None,
    redis_cert: options.RedisCert = None,
    redis_key: options.RedisKey = None,
    mqtt_version: Annotated[
        Literal["3.1.1", "5"], typer.Option(envvar="FLEETWIRE_MQTT_VERSION", help="MQTT version of the broker.")
    ] = "5",
    mqtt_ca: MqttCa = None,
    mqtt_cert: MqttCert = None,
    mqtt_key: MqttKey = None,
    group: Annotated[
        str,
        typer.Option(
            envvar="FLEETWIRE_GROUP",
            help="Shared subscription: bridges in one group share the load. Empty: an ordinary subscription, for a"
            " bridge that is alone; mosquitto keeps it over a crash of its own, which it does not with shared ones.",
        ),
    ] = "fleetwire",
    client_id: Annotated[
        str | None,
        typer.Option(
            envvar="FLEETWIRE_CLIENT_ID", help="MQTT client id, one for each bridge; by default by host and port."
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            envvar="FLEETWIRE_LAYOUT",
            help="The broker's own topics and their formats, TEMPLATE[=FORMAT], separated by spaces, like"
            " vehicles/{vehicle}/{fleet}/data=msgpack. Formats: json, msgpack, thingsboard, thingsboard-gateway,"
            " senml, senml-cbor, owntracks, sparkplug.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(envvar="FLEETWIRE_BATCH", help="Most messages in one batch.")] = 1_000,
    linger_ms: Annotated[
        int, typer.Option(envvar="FLEETWIRE_LINGER_MS", help="How long messages may gather between two reads, in ms.")
    ] = 10,
    inbox: Annotated[
        int, typer.Option(envvar="FLEETWIRE_INBOX", help="Most messages that wait, unacknowledged ones included.")
    ] = 10_000,
    max_ahead_s: Annotated[
        int,
        typer.Option(
            envvar="FLEETWIRE_MAX_AHEAD_S",
            help="How far in the future a device's clock may be, in s; beyond it the arrival counts.",
        ),
    ] = 300,
    devices: Annotated[
        str | None,
        typer.Option(
            envvar="FLEETWIRE_DEVICES",
            metavar="FILE",
            help="Who is let in: FLEET/VEHICLE, or FLEET/+ for a whole fleet, one a line, # for comments; read again"
            " when it changes. What others send becomes a dead letter. Without it everybody is let in.",
        ),
    ] = None,
    device_rate: Annotated[
        float,
        typer.Option(
            envvar="FLEETWIRE_DEVICE_RATE",
            help="Most readings/s on each topic of a device, for each bridge (0: any); more is dropped and counted.",
        ),
    ] = 100.0,
    device_burst_s: Annotated[
        float,
        typer.Option(envvar="FLEETWIRE_DEVICE_BURST_S", help="How many seconds of that may come at once, in s."),
    ] = 10.0,
    device_backlog_s: Annotated[
        float,
        typer.Option(
            envvar="FLEETWIRE_DEVICE_BACKLOG_S",
            help="The same for what was kept back, by the device or the broker: readings whose own time says so, or"
            " of QoS 1 without one. In s.",
        ),
    ] = 3_600.0,
    device_signals: Annotated[
        int, typer.Option(envvar="FLEETWIRE_DEVICE_SIGNALS", help="Most different signals on each topic of a device.")
    ] = 2_000,
    reading_signals: Annotated[
        int, typer.Option(envvar="FLEETWIRE_READING_SIGNALS", help="Most signals in a reading, up to 512.")
    ] = 512,
    payload_bytes: Annotated[
        int, typer.Option(envvar="FLEETWIRE_PAYLOAD_BYTES", help="Largest payload that is read, up to 262144 bytes.")
    ] = 262_144,
    command_properties: Annotated[
        bool,
        typer.Option(
            envvar="FLEETWIRE_COMMAND_PROPERTIES",
            help="Send commands with MQTT 5 properties; not to rumqttd, which can't give them to devices of 3.1.1.",
        ),
    ] = True,
    replicas: Annotated[
        int,
        typer.Option(
            envvar="FLEETWIRE_REPLICAS",
            help="Replicas of Redis that must have a reading before it is acknowledged, so that a failover loses"
            " none. Costs a round trip to them for each batch; while fewer are there, nothing is acknowledged.",
        ),
    ] = 0,
    log_entries: LogEntries = 1_000,
    log_age_s: LogAge = 3_600,
    retention: Kinds = "",
    host: Host = "127.0.0.1",
    metrics_port: Annotated[
        int, typer.Option(envvar="FLEETWIRE_METRICS_PORT", help="Port for /healthz, /readyz and /metrics.")
    ] = 9464,
    log_format: Logs = "text",
) -> None:
    """The bridge: takes readings from MQTT into Redis. Run as many as you need; they share the load.

    Examples:

        fleetwire ingest --mqtt-url mqtt://broker:1883 --redis-url redis://redis:6379

        FLEETWIRE_MQTT_URL=mqtts://user:secret@broker fleetwire ingest --client-id bridge-2

        fleetwire ingest --mqtt-url mqtts://broker:8885 --mqtt-ca ca.crt --mqtt-cert bridge.crt --mqtt-key bridge.key

        fleetwire ingest --layout 'owntracks/{fleet}/{vehicle}=owntracks spBv1.0=sparkplug'

        fleetwire ingest --devices devices.txt --device-rate 20

        fleetwire ingest --retention 'status=10000:86400 alerts=10000:604800' --replicas 1

        fleetwire ingest --redis-url redis+sentinel://sentinel-1,sentinel-2,sentinel-3/fleetwire
    """
    from fleetwire.logs import configure
    from fleetwire.serve import serve
    from ingest.app import create_app
    from ingest.settings import Settings
    from wire.retention import parse_retention

    settings = Settings(
        mqtt_url=mqtt_url,
        mqtt_version=mqtt_version,
        mqtt_ca=mqtt_ca,
        mqtt_cert=mqtt_cert,
        mqtt_key=mqtt_key,
        redis_url=redis_url,
        redis_ca=redis_ca,
        redis_cert=redis_cert,
        redis_key=redis_key,
        group=group,
        # The port tells bridges on one host apart, and stays the same over a restart.
        client_id=client_id or f"fleetwire-ingest-{socket.gethostname()}-{metrics_port}",
        layout=layout,
        batch=batch,
        linger_ms=linger_ms,
        inbox=inbox,
        max_ahead_ms=max_ahead_s * 1000,
        devices=devices or None,
        device_rate=device_rate,
        device_burst_s=device_burst_s,
        device_backlog_s=device_backlog_s,
        device_signals=device_signals,
        reading_signals=reading_signals,
        payload_bytes=payload_bytes,
        command_properties=command_properties,
        replicas=replicas,
        retention=parse_retention(retention, log_entries, log_age_s),
    )
    configure(log_format)
    serve(create_app(settings), host, metrics_port)


@app.command()
def stream(
    redis_url: RedisUrl = "redis://127.0.0.1:6379",
    redis_ca: options.RedisCa = None,
    redis_cert: options.RedisCert = None,
    redis_key: options.RedisKey = None,
    host: Host = "127.0.0.1",
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
    connections: options.Connections = 20_000,
    subject_connections: options.SubjectConnections = 1_000,
    address_connections: options.AddressConnections = 1_000,
    trusted_proxies: options.TrustedProxies = None,
    origin: options.Origins = None,
    wide_subscriptions: options.WideSubscriptions = 100,
    commands_s: options.CommandsS = 50.0,
    commands_burst: options.CommandsBurst = 1_000,
    bytes_s: options.BytesS = 262_144,
    bytes_burst: options.BytesBurst = 1_048_576,
    authorize_s: options.AuthorizeS = 10.0,
    head_s: options.HeadS = 10.0,
    head_bytes: options.HeadBytes = 16_384,
    half_open: options.HalfOpen = 2_048,
    history_s: options.HistoryS = 604_800,
    history_topics: options.HistoryTopics = 10_000,
    histories: options.Histories = 8,
    waiting_commands: options.WaitingCommands = 100_000,
    log_entries: LogEntries = 1_000,
    log_age_s: LogAge = 3_600,
    retention: Kinds = "",
    log_format: Logs = "text",
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

    limits = Limits(
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
        limits=limits,
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

        head = Head(limits.head_s, limits.head_bytes, limits.half_open)
        app = create_app(settings)
        serve(app, host, port, frame_bytes=frame_bytes, ws=PreparedProtocol, head=head, tls=certificate)
    else:
        from fleetwire.workers import serve_workers

        _run(serve_workers(workers, host, port, settings, log_format, files))


@app.command()
def simulate(
    mqtt_url: MqttUrl = "mqtt://127.0.0.1:1883",
    mqtt_version: Annotated[Literal["3.1.1", "5"], typer.Option(help="MQTT version of the devices.")] = "3.1.1",
    mqtt_ca: MqttCa = None,
    mqtt_cert: MqttCert = None,
    mqtt_key: MqttKey = None,
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
    log_format: Logs = "text",
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
    truth = _run(drive(settings))
    if manifest is not None:
        truth.save(manifest)
    print(f"sent {truth.sent} readings on {len(truth.topics)} topics, dropped {truth.dropped}", file=sys.stderr)


@app.command()
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


@app.command()
def watch(
    topic: Annotated[str, typer.Argument(help="Topic filter, like fleets/berlin/#.")] = "fleets/#",
    url: NodeUrl = ["ws://127.0.0.1:8000"],  # noqa: B006
    token: Token = None,
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

    _run((view.raw if raw else view.watch)(url, topic, token, interval))


@app.command()
def command(
    topic: Annotated[str, typer.Argument(help="fleets/FLEET/VEHICLE/commands")],
    data: Annotated[str, typer.Argument(help="What to do: a map in JSON that the device understands.")],
    ttl: Annotated[
        float | None,
        typer.Option(min=0.001, max=86_400, help="Seconds in which it may be carried out.  [default: 60]"),
    ] = None,
    url: NodeUrl = ["ws://127.0.0.1:8000"],  # noqa: B006
    token: Token = None,
) -> None:
    """Send a command to a vehicle, and print each reply as a line of JSON.

    Exit status 0 when it has succeeded, 1 when it has failed or timed out.

    Examples:

        fleetwire command fleets/berlin/v1/commands '{"name":"stop"}'

        fleetwire command fleets/berlin/v1/commands '{"name":"ping"}' --ttl 3600 --url ws://node-1:8000
    """
    from fleetwire.command import command

    raise typer.Exit(0 if _run(command(url, topic, data, ttl, token)) else 1)


@app.command()
def verify(
    manifest: Annotated[Path, typer.Option(help="What was sent: written by simulate --manifest.")],
    url: Annotated[str, typer.Option(envvar="FLEETWIRE_URL", help="Any node.")] = "ws://127.0.0.1:8000",
    token: Token = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Say what was lost or doubled between a simulator and the log. Exit status 1 when anything was.

    Example:

        fleetwire verify --manifest truth.json --url ws://127.0.0.1:8000
    """
    from fleetwire.verify import report
    from simulator.truth import Manifest

    outcome = _run(report(Manifest.load(manifest), url, token))
    print(msgspec.json.encode(outcome.totals).decode() if json else outcome.text())
    raise typer.Exit(0 if outcome.good else 1)


@app.command()
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
    from wire.errors import SettingsError

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


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run it; of several errors at once, raise the first that is ours."""
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        ours = group.subgroup(FleetwireError)
        raise (_first(ours) if ours else group) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


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
