"""What an operator can set about a node."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from stream.layer import read_layer
from stream.limits import Limits
from wire.errors import SettingsError
from wire.store import Retention
from wire.urls import parse_redis

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Settings of one node. Raises SettingsError, which names the setting, when one can't be used.

    `map_layer`: a file of GeoJSON. `node_name`: what it calls itself. `jwt_key`: without it everyone may do
    everything. `subscriptions`: most for one connection. `frame_bytes`: largest frame that a client may send.
    `outbox_bytes`: most that waits for a client before it counts as behind. `drain_s`: how long a client may take no
    byte before it is closed (4008). `limits`: what else clients may ask of it.
    """

    redis_url: str = "redis://127.0.0.1:6379"
    map_layer: str | None = None
    node_name: str = field(default_factory=socket.gethostname)
    jwt_key: str | None = None
    subscriptions: int = 1_000
    frame_bytes: int = 65_536
    outbox_bytes: int = 262_144
    drain_s: float = 30.0
    retention: Retention = field(default_factory=Retention)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        try:
            parse_redis(self.redis_url)
        except SettingsError as error:
            raise SettingsError.about("redis-url", f"can't be used: {error}") from None
        if self.map_layer is not None:
            read_layer(self.map_layer)
        if not 1 <= len(self.node_name) <= 128:
            raise SettingsError.about("node-name", "must have 1 to 128 characters")
        if self.jwt_key is not None and len(self.jwt_key) < 32:
            raise SettingsError.about("jwt-key", "must have at least 32 characters")
        if self.subscriptions < 1:
            raise SettingsError.about("subscriptions", "must be at least 1")
        if not 1_024 <= self.frame_bytes <= 1 << 24:
            raise SettingsError.about("frame-bytes", "must be 1024 to 16777216")
        if self.outbox_bytes < 1_024:
            raise SettingsError.about("outbox-bytes", "must be at least 1024")
        if self.drain_s <= 0:
            raise SettingsError.about("drain-s", "must be more than 0")
