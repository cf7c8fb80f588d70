"""What a node counts, as Prometheus metrics."""

from __future__ import annotations

import os
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["Metrics"]

SAMPLE_MS = 50
HOP_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
REFUSALS = (
    *("connections", "subject", "address", "host", "origin", "authorize"),
    *("commands", "flood", "history_s", "history_topics", "histories"),
    *("half_open", "head_late", "head_big", "head_bad"),
)


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
        self.refusals = self._counter("refusals", "What was refused because of a limit", "reason")
        for reason in REFUSALS:
            self.refusals.labels(reason)
        self.throttled = self._counter("throttled", "Times that a client sent too fast and was read more slowly")
        self.feed_breaks = self._counter("feed_breaks", "Times that the feed from Redis was lost")
        self.feed_gaps = self._counter(
            "feed_gaps", "Times that the feed said by itself that something did not arrive"
        )
        self.clients = self._gauge("clients", "Connected clients", "door")
        self.groups = self._gauge("groups", "Groups of subscriptions that ask for the same")
        self.histories = self._gauge("histories", "Requests for history or states that are being answered", "kind")
        self.replays = self._gauge("replays", "Subscriptions that play the log")
        self.topics = self._gauge("topics", "Topics in the table")
        self.patterns = self._gauge("patterns", "Patterns subscribed in Redis")
        self.live = self._gauge("feed_live", "Whether the feed from Redis is live", mode="livemin")
        self._gauge("workers", "Processes that serve").set(1)
        hops = Histogram(
            "fleetwire_stream_hop_seconds",
            "Time that a sample of readings took from one place to the next",
            ["hop"],
            registry=self.registry,
            buckets=HOP_BUCKETS,
        )
        self._due = {"feed": 0.0, "flush": 0.0}  # when the next sample is to be taken, epoch ms
        self._device, self._ingest, self._store, self._node = map(hops.labels, ("device", "ingest", "store", "node"))

    def samples(self, place: Literal["feed", "flush"], now: float) -> bool:
        """Whether a sample is due: one each SAMPLE_MS, so that many groups or chunks cost no more."""
        if now < self._due[place]:
            return False
        self._due[place] = now + SAMPLE_MS
        return True

    def observe_hops(self, ts: float | None, received: float | None, stored: float, read: float) -> None:
        """Where a reading was on its way here; all times are epoch ms.

        `device`: from `ts`, by the device's clock (None where it sent none), to `received`, the arrival at the bridge
        (None for what no bridge brought). `ingest`: from there until it is `stored`, which its id says. `store`:
        from there until this node has `read` it. Four clocks take part; what they make negative counts as 0.

        For a sample, one live reading (no `historical` one) of each chunk that is read: it takes 5 to 8 µs, and 9 to
        15 where several workers count.
        """
        if received is not None:
            if ts is not None:
                self._device.observe(max(0.0, received - ts) / 1000)
            self._ingest.observe(max(0.0, stored - received) / 1000)
        self._store.observe(max(0.0, read - stored) / 1000)

    def observe_node(self, read: float, handed: float) -> None:
        """The hop `node`: from `read` until a client's socket was `handed` it, in ms of one clock. The interval that
        the client has chosen is part of it. For a sample, one frame of each flush: 2 to 3 µs, and 3 to 5."""
        self._node.observe(max(0.0, handed - read) / 1000)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format: of all workers together, when there are several."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"fleetwire_stream_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str, mode: Literal["livesum", "livemin"] = "livesum") -> Gauge:
        """`mode`: how those of several workers are put together."""
        return Gauge(f"fleetwire_stream_{name}", text, labels, registry=self.registry, multiprocess_mode=mode)
