"""`fleetwire ingest`."""

from __future__ import annotations

import socket
from typing import Annotated, Literal

import typer

from fleetwire.commands import options

__all__ = ["ingest"]


def ingest(
    mqtt_url: options.MqttUrl = "mqtt://127.0.0.1:1883",
    redis_url: options.RedisUrl = "redis://127.0.0.1:6379",
    redis_ca: options.RedisCa = None,
    redis_cert: options.RedisCert = None,
    redis_key: options.RedisKey = None,
    mqtt_version: Annotated[
        Literal["3.1.1", "5"], typer.Option(envvar="FLEETWIRE_MQTT_VERSION", help="MQTT version of the broker.")
    ] = "5",
    mqtt_ca: options.MqttCa = None,
    mqtt_cert: options.MqttCert = None,
    mqtt_key: options.MqttKey = None,
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
    log_entries: options.LogEntries = 1_000,
    log_age_s: options.LogAge = 3_600,
    retention: options.Kinds = "",
    host: options.Host = "127.0.0.1",
    metrics_port: Annotated[
        int, typer.Option(envvar="FLEETWIRE_METRICS_PORT", help="Port for /healthz, /readyz and /metrics.")
    ] = 9464,
    log_format: options.Logs = "text",
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
