"""What the bridge counts, as Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["Metrics"]


class Metrics:
    """The bridge's metrics on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = self._counter("received", "MQTT messages received", "qos")
        self.stored = self._counter("stored", "Readings that Redis has confirmed")
        self.dead = self._counter("dead_letters", "Payloads that could not be read", "reason")
        self.surplus = self._counter(
            "surplus", "Messages and readings dropped: their device sends too fast", "reason"
        )
        self.ignored = self._counter("ignored", "Messages that are not the bridge's to store", "reason")
        self.redelivered = self._counter("redelivered", "Readings that the log had already, left out")
        self.clamped = self._counter("clamped", "Readings whose clock was too far in the future")
        self.dropped = self._counter("dropped", "QoS 0 messages dropped since the inbox was full")
        self.disconnects = self._counter("disconnects", "Connections lost or not made", "peer")
        self.connected = Gauge(
            "fleetwire_ingest_connected", "Whether the peer is connected", ["peer"], registry=self.registry
        )
        self.full = Gauge(
            "fleetwire_ingest_redis_full", "Whether Redis refuses to store, by its maxmemory", registry=self.registry
        )
        self.redis_used = Gauge(
            "fleetwire_ingest_redis_used_bytes", "Memory that Redis uses", ["server"], registry=self.registry
        )
        self.redis_most = Gauge(
            "fleetwire_ingest_redis_max_bytes", "Its maxmemory; 0 without one", ["server"], registry=self.registry
        )
        self.waiting = Gauge(
            "fleetwire_ingest_waiting_messages",
            "Messages received and not stored yet; those of QoS 1 are unacknowledged",
            registry=self.registry,
        )
        self.window = Gauge("fleetwire_ingest_window_messages", "How many may wait at most", registry=self.registry)
        self.oldest_seconds = Gauge(
            "fleetwire_ingest_oldest_waiting_seconds",
            "How long the oldest message that is being stored has waited",
            registry=self.registry,
        )
        self.commands_taken = self._counter("commands_taken", "Commands taken from the stream")
        self.commands_sent = self._counter("commands_sent", "Times that a command was sent, repeats included")
        self.commands_answered = self._counter("commands_answered", "Replies of devices to them", "status")
        self.commands_timed_out = self._counter(
            "commands_timed_out", "Commands that nothing came of in time", "reason"
        )
        self.commands_waiting = Gauge(
            "fleetwire_ingest_commands_waiting", "Commands that this bridge holds", registry=self.registry
        )
        self.batch = Histogram(
            "fleetwire_ingest_batch_messages",
            "Messages in a batch",
            registry=self.registry,
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
        )
        self.store_seconds = Histogram(
            "fleetwire_ingest_store_seconds",
            "Time for Redis to confirm a batch",
            registry=self.registry,
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30),
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"fleetwire_ingest_{name}", text, labels, registry=self.registry)
