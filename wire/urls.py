"""Addresses of brokers, read from a URL."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from wire.errors import SettingsError

__all__ = ["MqttAddress", "parse_mqtt"]


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
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}{self.host}:{self.port}"


def parse_mqtt(url: str) -> MqttAddress:
    """The address in `mqtt://[user[:password]@]host[:port]`, or `mqtts://` for TLS (port 1883, or 8883).

    Raises SettingsError when it is not such a URL; the text never repeats a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"MQTT URL can't be read: {error}") from None
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path not in ("", "/"):
        raise SettingsError("MQTT URL must look like mqtt://host:1883 or mqtts://user:password@host:8883")
    tls = parts.scheme == "mqtts"
    return MqttAddress(
        host=parts.hostname,
        port=port or (8883 if tls else 1883),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
    )
