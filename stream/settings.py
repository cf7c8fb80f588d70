"""What an operator can set about a node."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field

from store.tls import Files
from stream.keys import FileKeys, FixedKeys, Key, Keys, UrlKeys, is_url
from stream.layer import read_layer
from stream.limits import Limits
from stream.peer import is_loopback
from wire.errors import SettingsError
from wire.store import Retention
from wire.urls import parse_redis, shown

__all__ = ["Settings"]

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.*-]+(:[0-9]{1,5})?")  # as a Content-Security-Policy takes it
LEAST_SECRET = 32  # characters, as many as bytes in what HS256 makes (RFC 7518, section 3.2)


@dataclass(frozen=True)
class Settings:
    """Settings of one node. Raises SettingsError, which names the setting, when one can't be used.

    `redis_ca`, `redis_cert`, `redis_key`: files of PEM for `rediss://` (`store.tls`). `host`: the address that it
    listens on. `map_layer`: a file of GeoJSON. `map_origins`: where else than at
    the node a style of the map may load from. `node_name`: what it calls itself.
    `jwt_key`: secrets of tokens (HS256), with spaces between them; `jwt_keys`: a file or URL of public keys. Without
    either everyone may do everything, and the node serves loopback only, unless `anonymous` says otherwise.
    `jwt_audience`, `jwt_issuer`: whom tokens must be for and from. `subscriptions`: most for one connection.
    `frame_bytes`: largest frame that a client may send. `outbox_bytes`: most that waits for a client before it counts
    as behind. `drain_s`: how long a client may take no byte before it is closed (4008). `limits`: what else clients
    may ask of it.
    """

    redis_url: str = field(default="redis://127.0.0.1:6379", repr=False)
    redis_ca: str | None = None
    redis_cert: str | None = None
    redis_key: str | None = None
    map_layer: str | None = None
    map_origins: tuple[str, ...] = ()
    node_name: str = field(default_factory=socket.gethostname)
    host: str = "127.0.0.1"
    jwt_key: str | None = field(default=None, repr=False)
    jwt_keys: str | None = None
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    anonymous: bool = False
    subscriptions: int = 1_000
    frame_bytes: int = 65_536
    outbox_bytes: int = 262_144
    drain_s: float = 30.0
    retention: Retention = field(default_factory=Retention)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        try:
            redis = parse_redis(self.redis_url)
        except SettingsError as error:
            raise SettingsError.about("redis-url", f"can't be used: {error}") from None
        self.redis_files.check("redis", "rediss", redis.tls)
        if self.map_layer is not None:
            read_layer(self.map_layer)
        for origin in self.map_origins:
            if not _ORIGIN.fullmatch(origin):
                raise SettingsError.about("map-origin", f"must look like https://tiles.example.com, not {origin!r}")
        if not 1 <= len(self.node_name) <= 128:
            raise SettingsError.about("node-name", "must have 1 to 128 characters")
        if self.local and not is_loopback(self.host):
            raise SettingsError.about(
                "host",
                f"can't be {self.host}: without a key of tokens a node serves this machine only. Set"
                " FLEETWIRE_JWT_KEY or FLEETWIRE_JWT_KEYS, or FLEETWIRE_ANONYMOUS=true to let everyone in",
            )
        if self.subscriptions < 1:
            raise SettingsError.about("subscriptions", "must be at least 1")
        if not 1_024 <= self.frame_bytes <= 1 << 24:
            raise SettingsError.about("frame-bytes", "must be 1024 to 16777216")
        if self.outbox_bytes < 1_024:
            raise SettingsError.about("outbox-bytes", "must be at least 1024")
        if self.drain_s <= 0:
            raise SettingsError.about("drain-s", "must be more than 0")

    @property
    def local(self) -> bool:
        """Whether it serves this machine only, since it has no keys."""
        return not self.keys() and not self.anonymous

    @property
    def redis_files(self) -> Files:
        """What TLS with Redis needs."""
        return Files(self.redis_ca, self.redis_cert, self.redis_key)

    def keys(self) -> list[Keys]:
        """Where the keys of tokens are. Raises SettingsError for those that can't be used."""
        found: list[Keys] = []
        if self.jwt_key is not None:
            secrets = self.jwt_key.split()
            if not secrets or min(map(len, secrets)) < LEAST_SECRET:
                problem = f"must have at least {LEAST_SECRET} characters; spaces part one secret from the next"
                raise SettingsError.about("jwt-key", problem)
            found.append(FixedKeys([Key("HS256", secret.encode()) for secret in secrets]))
        if self.jwt_keys is not None:
            try:
                found.append(UrlKeys(self.jwt_keys) if is_url(self.jwt_keys) else FileKeys(self.jwt_keys))
            except OSError as error:
                raise SettingsError.about("jwt-keys", f"can't be read: {self.jwt_keys}: {error.strerror}") from None
            except ValueError as error:
                raise SettingsError.about("jwt-keys", f"can't be used: {shown(self.jwt_keys)}: {error}") from None
        return found
