"""What a node counts, as Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["Metrics"]


class Metrics:
    """The node's metrics on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = self._counter("received", "Items that the feed brought")
        self.malformed = self._counter("malformed", "Feed messages that could not be read")
        self.delivered = self._counter("delivered", "Items sent to members of groups")
        self.conflated = self._counter("conflated", "Readings that newer ones overtook before they were sent")
        self.lagging = self._counter("lagging", "Times that a client fell behind")
        self.gaps = self._counter("gaps", "Gaps announced to clients")
        self.commands = self._counter("commands", "Commands carried out", "action")
        self.errors = self._counter("errors", "Error replies", "reason")
        self.feed_breaks = self._counter("feed_breaks", "Times that the feed from Redis was lost")
        self.clients = self._gauge("clients", "Connected clients", "door")
        self.groups = self._gauge("groups", "Groups of subscriptions that ask for the same")
        self.topics = self._gauge("topics", "Topics in the table")
        self.patterns = self._gauge("patterns", "Patterns subscribed in Redis")
        self.live = self._gauge("feed_live", "Whether the feed from Redis is live")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"fleetwire_stream_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"fleetwire_stream_{name}", text, labels, registry=self.registry)
