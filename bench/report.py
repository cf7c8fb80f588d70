"""What the runs of bridges come to: medians, the ratios that matter with their goals, and a table of both."""

from __future__ import annotations

from statistics import median

import msgspec

__all__ = ["Ratio", "Run", "medians", "ratios", "table"]


class Run(msgspec.Struct, frozen=True):
    """What one load took. CPU in µs a reading; `offered`: readings a second that the broker took from the load."""

    subject: str
    qos: int
    sent: int
    arrived: int
    per_second: float
    offered: float
    bridge_us: float
    redis_us: float
    broker_us: float

    @property
    def complete(self) -> bool:
        """Whether everything that was sent has arrived."""
        return self.arrived >= self.sent


class Ratio(msgspec.Struct, frozen=True):
    """A figure that matters, and its goal in words."""

    name: str
    qos: int
    value: float
    goal: str


def medians(runs: list[Run]) -> list[Run]:
    """One run for each subject and QoS, in their order: the median of each figure, and the fewest arrivals."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.subject, run.qos), []).append(run)
    return [
        Run(
            subject, qos, of[0].sent, min(run.arrived for run in of),
            median(run.per_second for run in of), median(run.offered for run in of),
            median(run.bridge_us for run in of), median(run.redis_us for run in of),
            median(run.broker_us for run in of),
        )
        for (subject, qos), of in groups.items()
    ]  # fmt: skip


def ratios(medians: list[Run]) -> list[Ratio]:
    """Those of which both sides were run. A side that was too short to be measured gives no ratio."""
    found = []
    by = {(run.subject, run.qos): run for run in medians}
    for qos in sorted({run.qos for run in medians}):
        ours, sink = by.get(("ours", qos)), by.get(("sink", qos))
        for other, goal in (("node", "≤ 0.33"), ("node-tuned", "≤ 0.33"), ("naive", "")):
            if ours and (run := by.get((other, qos))) and run.bridge_us:
                found.append(Ratio(f"ours / {other}, CPU a reading", qos, ours.bridge_us / run.bridge_us, goal))
        if ours and sink and sink.per_second:
            found.append(Ratio("ours / sink, readings/s", qos, ours.per_second / sink.per_second, "≥ 0.60"))
        if ours:
            found.append(Ratio("Redis with ours, µs a reading", qos, ours.redis_us, "≤ 6"))
    return found


def table(medians: list[Run]) -> str:
    """For people."""
    head = f"{'':18}{'readings/s':>11}   CPU µs a reading:{'bridge':>8}{'redis':>8}{'broker':>8}{'arrived':>23}"
    rows = [
        f"QoS {run.qos}  {run.subject:11}{run.per_second:>11,.0f}{'':20}{run.bridge_us:>8.1f}"
        f"{format(run.redis_us, '.1f'):>8}{run.broker_us:>8.1f}"
        f"{f'{run.arrived:,} of {run.sent:,}':>23}"
        for run in medians
    ]
    lines = [
        f"QoS {ratio.qos}  {ratio.name:32}{ratio.value:>8.2f}{f'   goal {ratio.goal}' if ratio.goal else ''}"
        for ratio in ratios(medians)
    ]
    return "\n".join([head, *rows, "", *lines])
