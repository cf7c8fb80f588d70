"""What an operator can set about the bridge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from wire.errors import SettingsError, TopicError
from wire.store import Retention
from wire.topics import TopicLayout
from wire.urls import MqttAddress, check_redis, parse_mqtt

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Settings of one bridge. Raises SettingsError, which names the setting, when one can't be used.

    `group`: the shared subscription that bridges share the load in. `client_id`: one a bridge, and the same
    after a restart, since the broker keeps what is unacknowledged under it. `layout`: how the broker's topics
    map onto ours; none means that they are ours. `batch`: most messages in a batch; `linger_ms`: how long a
    batch may wait to fill. `inbox`: most messages waiting, QoS 1 ones unacknowledged included.
    """

    mqtt_url: str = "mqtt://127.0.0.1:1883"
    mqtt_version: Literal["3.1.1", "5"] = "5"
    redis_url: str = "redis://127.0.0.1:6379"
    group: str = "fleetwire"
    client_id: str = "fleetwire-ingest"
    layout: str | None = None
    batch: int = 500
    linger_ms: int = 5
    inbox: int = 10_000
    retention: Retention = field(default_factory=Retention)

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= 5_000:
            raise SettingsError.about("batch", "must be 1 to 5000 messages")
        if not 0 <= self.linger_ms <= 1_000:
            raise SettingsError.about("linger-ms", "must be 0 to 1000 ms")
        if not 100 <= self.inbox <= 65_535:
            raise SettingsError.about("inbox", "must be 100 to 65535 messages")
        if "/" in self.group or not self.group:
            raise SettingsError.about("group", "must be one word without '/'")
        try:
            parse_mqtt(self.mqtt_url)
        except SettingsError as error:
            raise SettingsError.about("mqtt-url", f"can't be used: {error}") from None
        try:
            check_redis(self.redis_url)
        except SettingsError as error:
            raise SettingsError.about("redis-url", f"can't be used: {error}") from None
        try:
            _ = self.topics
        except TopicError as error:
            raise SettingsError.about("layout", f"can't be used: {error}") from None

    @property
    def address(self) -> MqttAddress:
        """Where the broker is."""
        return parse_mqtt(self.mqtt_url)

    @property
    def topics(self) -> TopicLayout | None:
        """The layout of the broker's topics, if it isn't ours."""
        return TopicLayout(self.layout) if self.layout else None
