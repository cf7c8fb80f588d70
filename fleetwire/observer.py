"""An observer: a dashboard that counts what it gets, so that nothing can be lost unseen."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from fleetwire.client import subscribe
from fleetwire.verify import Finding, check
from simulator.truth import Manifest
from wire.clock import now_ms

__all__ = ["Observer", "percentile"]


class Observer:
    """Subscribes to a whole fleet with `batch` and remembers each sequence number and each latency in ms."""

    def __init__(self, url: str, fleet: str) -> None:
        self.url = url
        self.topic = f"fleets/{fleet}/+/telemetry"
        self.delivered = 0
        self.gaps = 0
        self.latencies: list[int] = []
        self.connected = asyncio.Event()
        self._wanted = 0
        self._reached = asyncio.Event()
        self._seqs: defaultdict[str, list[int]] = defaultdict(list)

    async def run(self) -> None:
        """Until cancelled. Raises Unavailable when the node can't be reached at first."""
        events = subscribe(
            [self.url],
            self.topic,
            strategy="batch",
            interval=0,
            snapshot=False,
            meta=True,
            on_state=lambda state: self.connected.set(),
        )
        async for event in events:
            now = now_ms()
            self.gaps += event["action"] == "gap"
            for item in event.get("data", ()):
                self.delivered += 1
                self._seqs[item["topic"]].append(item.get("seq", 0))
                self.latencies.append(now - item["ts"])

            if self.delivered >= self._wanted:
                self._reached.set()

    async def has(self, count: int) -> None:
        """Wait until so many readings have come."""
        self._wanted = count
        if self.delivered < count:
            self._reached.clear()
            await self._reached.wait()

    def findings(self, manifest: Manifest) -> list[Finding]:
        """What is wrong with what came, topic by topic."""
        return [check(topic, truth, self._seqs[topic], trimmed=False) for topic, truth in manifest.topics.items()]


def percentile(values: Iterable[int], share: float) -> int | None:
    """The value that this share of them does not exceed (nearest rank); None when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
