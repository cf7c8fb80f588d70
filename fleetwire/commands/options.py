"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

__all__ = [
    "Host",
    "Kinds",
    "LogAge",
    "LogEntries",
    "Logs",
    "MqttCa",
    "MqttCert",
    "MqttKey",
    "MqttUrl",
    "NodeUrl",
    "RedisCa",
    "RedisCert",
    "RedisKey",
    "RedisUrl",
    "Token",
]


def _file(name: str, text: str) -> Any:
    return typer.Option(f"--{name}", envvar=f"FLEETWIRE_{name.upper().replace('-', '_')}", metavar="FILE", help=text)


MqttUrl = Annotated[
    str,
    typer.Option(envvar="FLEETWIRE_MQTT_URL", help="Broker: mqtt://[user:password@]host[:port], mqtts:// for TLS."),
]
MqttCa = Annotated[
    str | None,
    _file("mqtt-ca", "Authority (PEM) that the broker's certificate has to be of; without it, those of the system."),
]
MqttCert = Annotated[str | None, _file("mqtt-cert", "Certificate (PEM) to show to the broker.")]
MqttKey = Annotated[str | None, _file("mqtt-key", "Private key (PEM) of the certificate.")]
RedisUrl = Annotated[
    str,
    typer.Option(
        envvar="FLEETWIRE_REDIS_URL",
        help="Redis or Valkey: redis://[user:password@]host[:port], rediss:// (TLS), unix://PATH;"
        " redis+sentinel://host:26379,host:26379/SERVICE asks Sentinels for the master;"
        " redis+cluster://host:6379,host:6379 is a cluster.",
    ),
]
RedisCa = Annotated[
    str | None,
    _file("redis-ca", "Authority (PEM) that Redis's certificate has to be of; without it, those of the system."),
]
RedisCert = Annotated[str | None, _file("redis-cert", "Certificate (PEM) to show to Redis.")]
RedisKey = Annotated[str | None, _file("redis-key", "Private key (PEM) of the certificate.")]
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
