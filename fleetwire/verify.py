"""Compare what a simulator really sent with what the log holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from fleetwire.client import Connection, open_connection
from simulator.truth import Manifest, TopicCount

__all__ = ["Finding", "check", "verify"]

PAGE = 10_000


@dataclass(frozen=True)
class Finding:
    """What is wrong with one topic: sequence numbers lost, readings doubled, invented ones, and how many of the
    sent ones the log no longer keeps, so that nothing can be said about them."""

    topic: str
    sent: int
    lost: int
    duplicates: int
    invented: int
    trimmed: int

    @property
    def good(self) -> bool:
        """Whether each reading is there just once."""
        return not (self.lost or self.duplicates or self.invented or self.trimmed)


def check(topic: str, truth: TopicCount, stored: Iterable[int], *, trimmed: bool) -> Finding:
    """Compare the sequence numbers that were sent with those that are stored.

    `trimmed`: the log may have lost its oldest entries to its cap. Readings that the simulator dropped itself, or
    never saw confirmed, are not counted as lost. Pure.
    """
    counts = Counter(stored)
    expected = range(truth.first, truth.last + 1) if truth.sent else range(0)
    missing = [seq for seq in expected if seq not in counts]
    oldest = min(counts, default=truth.last + 1)
    beyond = sum(seq < oldest for seq in missing) if trimmed else 0
    return Finding(
        topic=topic,
        sent=truth.sent,
        lost=max(0, len(missing) - beyond - truth.dropped),
        duplicates=sum(count - 1 for count in counts.values()),
        invented=max(0, sum(seq not in expected for seq in counts) - truth.dropped),
        trimmed=beyond,
    )


async def verify(manifest: Manifest, url: str, token: str | None = None) -> AsyncIterator[Finding]:
    """A finding for each topic of a manifest, from the logs behind a node.

    Raises Unavailable when no node answers, CommandError when it refuses.
    """
    async with open_connection(url, token=token) as connection:
        for topic, truth in manifest.topics.items():
            stored, trimmed = await _stored(connection, topic, manifest.started)
            yield check(topic, truth, stored, trimmed=trimmed)


async def _stored(connection: Connection, topic: str, started: int) -> tuple[list[int], bool]:
    """Sequence numbers in a topic's log from the simulator's start on, and whether older entries are gone."""
    found: list[int] = []
    trimmed = False
    page: dict[str, str] = {}
    while True:
        reply = await connection.request("history", topic=topic, limit=PAGE, meta=True, **page)
        found += [item["seq"] for item in reply["data"] if item["ts"] >= started and "seq" in item]
        trimmed |= "trimmed" in reply
        if "cursor" not in reply:
            return found, trimmed
        page = {"after": reply["cursor"]}


@dataclass(frozen=True)
class Report:
    """Findings on all topics."""

    findings: list[Finding]

    @property
    def good(self) -> bool:
        """Whether each reading of each topic is there just once."""
        return all(finding.good for finding in self.findings)

    @property
    def totals(self) -> dict[str, int]:
        """Sums over all topics, by what was counted."""
        names = ("sent", "lost", "duplicates", "invented", "trimmed")
        sums = {name: sum(getattr(finding, name) for finding in self.findings) for name in names}
        return {"topics": len(self.findings), **sums}

    def text(self) -> str:
        """For people: the totals, and the topics with something wrong."""
        lines = [", ".join(f"{name} {count}" for name, count in self.totals.items())]
        lines += [
            f"  {finding.topic}: sent {finding.sent}, lost {finding.lost}, duplicates {finding.duplicates}, "
            f"invented {finding.invented}, no longer kept by the log {finding.trimmed}"
            for finding in self.findings
            if not finding.good
        ]
        return "\n".join(lines)


async def report(manifest: Manifest, url: str, token: str | None = None) -> Report:
    """All findings."""
    return Report([finding async for finding in verify(manifest, url, token)])
