"""What each device may send: which bucket a message is charged to, and by which clock."""

from __future__ import annotations

from collections.abc import Callable

from ingest.bucket import Bucket, Rate
from ingest.recent import Recent
from wire.errors import TopicError

__all__ = ["Limits"]

TOPICS = 100_000  # whose buckets are kept at least: 0.3 KB each
STEP_MS = 60_000  # a clock that goes back by more was set


class Limits:
    """The buckets of those who send: one for each topic, so that a flood of telemetry costs nobody's status.
    `of_name` has them by MQTT topic, `of_topic` by ours; those who are not known have `unknown`.

    `topic(name)`: our topic of an MQTT topic; None when its payloads say whose they are, or are not stored; raises
    TopicError. `let_in(topic)`: whether its device is known; raises TopicError.
    """

    def __init__(self, rate: Rate, topic: Callable[[str], str | None], let_in: Callable[[str], bool]) -> None:
        self.rate = rate
        self._topic = topic
        self._let_in = let_in
        self._now = 0
        self._set_back = 0
        # One for all who are not known, and one for all topics that are none: many names are no way around.
        self.unknown, nowhere = strays = Bucket(rate), Bucket(rate)
        self._nowhere = nowhere
        self.of_name: Recent[str, Bucket] = Recent(TOPICS, self._find, strays)
        self.of_topic: Recent[str, Bucket] = Recent(TOPICS, self._make, strays)

    def now(self, received: int) -> int:
        """The time of an arrival, epoch ms, for buckets: it goes on when the machine's clock is set back."""
        now = received + self._set_back
        if now < self._now:
            if now < self._now - STEP_MS:
                self._set_back = self._now - received
            return self._now
        self._now = now
        return now

    def forget(self) -> None:
        """Who is known may have changed. Everybody has a full burst again."""
        self.of_name.clear()
        self.of_topic.clear()

    def _find(self, name: str) -> Bucket:
        try:
            topic = name if name.endswith("/replies") else self._topic(name)
        except TopicError:
            return self._nowhere
        return Bucket(self.rate) if topic is None else self.of_topic[topic]

    def _make(self, topic: str) -> Bucket:
        try:
            known = self._let_in(topic)
        except TopicError:
            return self._nowhere
        return Bucket(self.rate) if known else self.unknown
