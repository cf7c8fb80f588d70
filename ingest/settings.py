"""What an operator can set about the bridge."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Literal

from ingest.payload import MAX_PAYLOAD_BYTES, MAX_SIGNALS
from ingest.routes import overlap, parse_layouts
from store.tls import Files, context
from wire.errors import SettingsError, TopicError
from wire.store import Retention
from wire.urls import MqttAddress, parse_mqtt, parse_redis

__all__ = ["Settings"]

REPLIES = "fleets/+/+/replies"


@dataclass(frozen=True)
class Settings:
    """Settings of one bridge. Raises SettingsError, which names the setting, when one can't be used.

    `mqtt_ca`, `mqtt_cert`, `mqtt_key`, `redis_ca`, `redis_cert`, `redis_key`: files of PEM for `mqtts://` and `rediss://`
    (`store.tls`).
    `group`: the shared subscription that bridges share the load in; empty for a bridge that is alone. `client_id`:
    one a bridge, and the same after a restart, since the broker keeps what is unacknowledged under it. `layout`:
    how the broker's topics map onto ours, and which format comes on them (`ingest.routes`); none means that they
    are ours, in JSON. `batch`: most messages in a batch; `linger_ms`: how long messages gather between two reads.
    `inbox`: most messages waiting, QoS 1 ones unacknowledged included. `max_ahead_ms`: how far in the future a
    device's clock may be.
    `devices`: a file that says who is let in (`ingest.devices`); none means everybody. `device_rate`: most readings a
    second on each topic of a device, 0 for any number; `device_burst_s` and `device_backlog_s`: how many seconds of
    that may come at once, and of what was kept back (`ingest.bucket`). `device_signals`: most different signals of a
    topic's state; `reading_signals`: most in a reading. `payload_bytes`: the largest payload that is read.
    `replicas`: how many replicas of Redis must have a reading before it counts as stored, so that a failover loses
    nothing that was acknowledged.
    `command_properties`: whether commands carry properties of MQTT 5; a broker that can't give such a message to a
    device of MQTT 3.1.1 (rumqttd) needs them left out.
    """

    mqtt_url: str = field(default="mqtt://127.0.0.1:1883", repr=False)
    mqtt_version: Literal["3.1.1", "5"] = "5"
    mqtt_ca: str | None = None
    mqtt_cert: str | None = None
    mqtt_key: str | None = None
    redis_url: str = field(default="redis://127.0.0.1:6379", repr=False)
    redis_ca: str | None = None
    redis_cert: str | None = None
    redis_key: str | None = None
    group: str = "fleetwire"
    client_id: str = "fleetwire-ingest"
    layout: str | None = None
    batch: int = 1_000
    linger_ms: int = 10
    inbox: int = 10_000
    max_ahead_ms: int = 300_000
    devices: str | None = None
    device_rate: float = 100.0
    device_burst_s: float = 10.0
    device_backlog_s: float = 3_600.0
    device_signals: int = 2_000
    reading_signals: int = MAX_SIGNALS
    payload_bytes: int = MAX_PAYLOAD_BYTES
    command_properties: bool = True
    replicas: int = 0
    retention: Retention = field(default_factory=Retention)

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= 5_000:
            raise SettingsError.about("batch", "must be 1 to 5000 messages")
        if not 0 <= self.linger_ms <= 1_000:
            raise SettingsError.about("linger-ms", "must be 0 to 1000 ms")
        if not 100 <= self.inbox <= 65_535:
            raise SettingsError.about("inbox", "must be 100 to 65535 messages")
        if not 0 <= self.replicas <= 5:
            raise SettingsError.about("replicas", "must be 0 to 5")
        if self.max_ahead_ms < 0:
            raise SettingsError.about("max-ahead-s", "must not be negative")
        if not 0 <= self.device_rate <= 1_000_000:
            raise SettingsError.about("device-rate", "must be 0 to 1000000 readings/s")
        if not 0 <= self.device_burst_s <= self.device_backlog_s <= 1e9:
            raise SettingsError.about("device-burst-s", "must be 0 s or more, and at most --device-backlog-s")
        if not 1 <= self.reading_signals <= MAX_SIGNALS:
            raise SettingsError.about("reading-signals", f"must be 1 to {MAX_SIGNALS}")
        if not self.reading_signals <= self.device_signals <= 1_000_000:
            raise SettingsError.about("device-signals", "must be --reading-signals to 1000000")
        if not 1_024 <= self.payload_bytes <= MAX_PAYLOAD_BYTES:
            raise SettingsError.about("payload-bytes", f"must be 1024 to {MAX_PAYLOAD_BYTES}")
        if not set(self.group).isdisjoint("/+#"):
            raise SettingsError.about("group", "must be one word without '/', '+' and '#'")
        try:
            parse_mqtt(self.mqtt_url)
        except SettingsError as error:
            raise SettingsError.about("mqtt-url", f"can't be used: {error}") from None
        self._mqtt_files.check("mqtt", "mqtts://", self.address.tls)
        try:
            redis = parse_redis(self.redis_url)
        except SettingsError as error:
            raise SettingsError.about("redis-url", f"can't be used: {error}") from None
        self.redis_files.check("redis", "rediss", redis.tls)
        try:
            parse_layouts(self.layout)
        except TopicError as error:
            raise SettingsError.about("layout", f"can't be used: {error}") from None

    @property
    def address(self) -> MqttAddress:
        """Where the broker is."""
        return parse_mqtt(self.mqtt_url)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How to speak TLS with the broker, by the files as they are now; None without TLS. Raises Unavailable."""
        return context(*self._mqtt_files) if self.address.tls else None

    @property
    def redis_files(self) -> Files:
        """What TLS with Redis needs."""
        return Files(self.redis_ca, self.redis_cert, self.redis_key)

    @property
    def _mqtt_files(self) -> Files:
        return Files(self.mqtt_ca, self.mqtt_cert, self.mqtt_key)

    @property
    def subscriptions(self) -> list[str]:
        """What the bridge subscribes to: what the layouts match, and all replies to commands, or a share of it."""
        filters = [layout.filter for layout in parse_layouts(self.layout)]
        if not any(overlap(filter, REPLIES) for filter in filters):
            filters.append(REPLIES)
        return [f"$share/{self.group}/{filter}" for filter in filters] if self.group else filters
