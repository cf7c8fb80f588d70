"""What is dropped of those who send too fast: counted, named in the log, and a sample of it kept."""

from __future__ import annotations

import logging
from collections import Counter

from ingest.bucket import Bucket
from ingest.metrics import Metrics
from ingest.writer import DeadLetter

__all__ = ["Surplus"]

log = logging.getLogger("fleetwire.ingest.surplus")

SAMPLE_MS = 60_000  # from one sample of a bucket's surplus to the next
REPORT_MS = 10_000  # from the first that is dropped to the line in the log that names the worst
NAMED = 1_000  # topics that are counted by name for one line
WORST = 3


class Surplus:
    """Of one batch after another; times are epoch ms. `limit` says what it is more than."""

    def __init__(self, limit: str, metrics: Metrics) -> None:
        self._limit = limit
        self._counter = metrics.surplus
        self._reasons: Counter[str] = Counter()
        self._topics: Counter[str] = Counter()
        self._report_at = 0

    def drop(self, bucket: Bucket, topic: str, payload: bytes, now: int) -> DeadLetter | None:
        """One is dropped (0.5 us): the sample that is to be kept of it, if one is due."""
        self._reasons[bucket.why] += 1
        if topic in self._topics or len(self._topics) < NAMED:
            self._topics[topic] += 1
        if now < bucket.sample_at:
            return None
        bucket.sample_at = now + SAMPLE_MS
        return DeadLetter(topic, "surplus", f"{self._limit}: what is more is dropped, this for one", payload)

    def settle(self, now: int) -> None:
        """A batch is at its end: count what was dropped, and name the worst when it is time."""
        if self._reasons:
            for reason, count in self._reasons.items():
                self._counter.labels(reason).inc(count)
            self._reasons.clear()
            self._report_at = self._report_at or now + REPORT_MS
        if self._report_at and now >= self._report_at:
            worst = ", ".join(f"{topic[:140]} ({count})" for topic, count in self._topics.most_common(WORST))
            many = f"{len(self._topics)}{' or more' if len(self._topics) == NAMED else ''}"
            text = "dropped %d of %s topics with %s; the worst: %s"
            log.warning(text, self._topics.total(), many, self._limit, worst)
            self._topics.clear()
            self._report_at = 0
