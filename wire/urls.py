"""Addresses of brokers and Redis servers, as URLs."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from wire.errors import SettingsError

__all__ = ["MqttAddress", "check_redis", "parse_mqtt"]


class MqttAddress(NamedTuple):
    """Where an MQTT broker listens, and as whom to talk to it."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False

    def __str__(self) -> str:
        """The URL without the password: fit for a log."""
        user = f"{self.username}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}{host}:{self.port}"


def parse_mqtt(url: str) -> MqttAddress:
    """The address in `mqtt://[user[:password]@]host[:port]`, or `mqtts://` for TLS (port 1883, or 8883).

    Raises SettingsError when it is not such a URL; the text never repeats a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text may hold a piece of the password
        raise SettingsError(
            "MQTT URL can't be read: the port is a number, and a password has %2F %3F %23 %5B %5D for / ? # [ ]"
        ) from None
    beyond = parts.path not in ("", "/") or parts.query or parts.fragment
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or beyond:
        raise SettingsError("MQTT URL must look like mqtt://host:1883 or mqtts://user:password@host:8883")
    tls = parts.scheme == "mqtts"
    return MqttAddress(
        host=parts.hostname,
        port=port or (8883 if tls else 1883),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
    )


def check_redis(url: str) -> str:
    """The URL itself, when it is one of Redis: `redis://`, `rediss://` (TLS) or `unix://`.

    Raises SettingsError when it is not; the text never repeats a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise SettingsError(f"Redis URL can't be read: {error}") from None
    located = parts.path if parts.scheme == "unix" else parts.hostname
    if parts.scheme not in ("redis", "rediss", "unix") or not located:
        raise SettingsError("Redis URL must look like redis://host:6379, rediss://:password@host or unix:///path")
    return url
