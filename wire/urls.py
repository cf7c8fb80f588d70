"""Addresses of brokers and Redis servers, as URLs."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from wire.errors import SettingsError
from wire.partition import MOST_PARTITIONS

__all__ = ["MqttAddress", "RedisAddress", "parse_mqtt", "parse_redis", "shown"]

DEFAULT_PARTITIONS = 16

_UNREADABLE = "can't be read: the port is a number, and a password has %2F %3F %23 %5B %5D for / ? # [ ]"


def shown(url: str) -> str:
    """A URL without what may be a secret: fit for a log or an error. What is before an @, in a query or behind a # is
    left out."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    location = rest.rpartition("@")[2].partition("?")[0].partition("#")[0]
    return f"{scheme.rpartition('@')[2]}{separator}{location}"


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
        raise SettingsError(f"MQTT URL {_UNREADABLE}") from None
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


class RedisAddress(NamedTuple):
    """Where Redis is. `hosts`: some of the Sentinels, or of the cluster's nodes, of whom the others are learnt.
    `service`: what the Sentinels call it. `partitions`: of a cluster, else 0. `url` is as redis-py takes it, for a
    server at the first of the hosts."""

    url: str
    hosts: tuple[tuple[str, int], ...] = ()
    service: str | None = None
    partitions: int = 0

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken there."""
        return self.url.startswith("rediss://")


def parse_redis(url: str) -> RedisAddress:
    """The address in `redis://[user:password@]host[:port][/db]`, `rediss://` (TLS), `unix://PATH`,
    `redis+sentinel://[user:password@]host:port,host:port/SERVICE[/db]`, or
    `redis+cluster://[user:password@]host:port,host:port[?partitions=16]` (`rediss+…` for TLS).

    Raises SettingsError when it is none; the text never repeats a password.
    """
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    if kind not in ("", "sentinel", "cluster") or (kind and base not in ("redis", "rediss")):
        raise SettingsError(_REDIS_FORMS)
    if not kind:
        return RedisAddress(_check_redis(url))
    location, _, query = rest.partition("?")
    authority, _, path = location.partition("/")
    credentials, _, names = authority.rpartition("@")
    hosts = tuple(_host(name, 26379 if kind == "sentinel" else 6379) for name in names.split(","))
    user = f"{credentials}@" if credentials else ""
    first = f"{base}://{user}{_bracketed(hosts[0][0])}:{hosts[0][1]}"
    if kind == "cluster":
        if path.strip("/"):
            raise SettingsError("a Redis Cluster has no numbered databases")
        return RedisAddress(_check_redis(first), hosts, None, _partitions(query))
    service, _, database = path.partition("/")
    if not service or "@" in service or query:
        raise SettingsError(f"Sentinels are asked for a service: {_REDIS_FORMS}")
    return RedisAddress(_check_redis(f"{first}/{database}" if database else first), hosts, service)


_REDIS_FORMS = (
    "Redis URL must look like redis://host:6379, rediss://:password@host, unix:///path, "
    "redis+sentinel://host:26379,host:26379/service or redis+cluster://host:6379,host:6379"
)


_OPTIONS = ("db", "client_name", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")


def _host(name: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{name}")
        found = parts.hostname, parts.port or port
    except ValueError:  # its text may hold a piece of the password
        raise SettingsError(f"Redis URL {_UNREADABLE}") from None
    if not found[0] or parts.netloc != name:
        raise SettingsError(_REDIS_FORMS)
    return found[0], found[1]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _partitions(query: str) -> int:
    if not query:
        return DEFAULT_PARTITIONS
    name, _, value = query.partition("=")
    known = name == "partitions" and value.isascii() and value.isdecimal() and len(value) < 10
    if not known or not 2 <= int(value) <= MOST_PARTITIONS:
        raise SettingsError(f"of a Redis Cluster, only partitions=2 to {MOST_PARTITIONS} can be said after the ?")
    return int(value)


def _check_redis(url: str) -> str:
    """The URL itself, when it is one of Redis: `redis://`, `rediss://` (TLS) or `unix://`.

    Raises SettingsError when it is not; the text never repeats a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SettingsError(f"Redis URL {_UNREADABLE}") from None
    local = parts.scheme == "unix"
    located = parts.path if local else parts.hostname
    if parts.scheme not in ("redis", "rediss", "unix") or not located:
        raise SettingsError(_REDIS_FORMS)
    if any(name not in _OPTIONS for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise SettingsError(f"Redis URL: after the ? may be {', '.join(_OPTIONS)}")
    # What is behind a / ? or # of a password is no database, and no option.
    beyond = not local and (parts.path.strip("/0123456789") or "@" in parts.query)
    if beyond or parts.fragment:
        raise SettingsError(f"Redis URL {_UNREADABLE}")
    return url
