"""What the runs of `make bench-stream` come to: what each delivery cost, the goals, and a table of both."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

__all__ = ["Goal", "Run", "goals", "sustained", "table"]

PARTS = ("broker", "bridge", "redis", "node")
RIVALS = ("nats", "mosquitto", "plain")
FORMATS = ("json", "msgpack")
GIVEN = ("bursts", "spread", "many")  # rows whose rate is given
NEARLY_ALL = 0.995
EVEN, EXACT = 0.97, 0.999  # frames of one size; of many sizes
P99_MS, LATE_S = 300, 0.25


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What one subject made of one load. `rate`: readings a second. `least`: the share of the readings that came to
    the dashboard with the fewest; `even`: the fewest bytes of one that does not count, by the bytes of one that does.
    `seconds`: from the first burst to the last arrival. `late_s`: how far the load was behind. Bytes are those of one
    dashboard. CPU in seconds; load and dashboards do not count as serving."""

    subject: str
    row: str
    rate: float
    dashboards: int
    expected: int
    delivered: int
    least: float
    even: float
    seconds: float
    cpu_s: dict[str, float]
    p50_ms: float | None
    p99_ms: float | None
    samples: int
    bytes_per_second: float
    late_s: float
    load_cpu_s: float
    dashboards_cpu_s: float
    closed: int
    wrong: str

    @property
    def per_second(self) -> float:
        """Deliveries a second."""
        return self.delivered / self.seconds if self.seconds > 0 else 0.0

    def cost(self, part: str | None = None) -> float:
        """CPU seconds of a part, or of all that serve, for a million deliveries."""
        used = self.cpu_s.get(part, 0.0) if part else sum(self.cpu_s.values())
        return used / self.delivered * 1e6 if self.delivered else float("inf")


class Goal(msgspec.Struct, frozen=True):
    """A figure that matters, its goal in words, and whether it was reached."""

    name: str
    value: float
    unit: str
    goal: str
    reached: bool


def sustained(run: Run) -> bool:
    """Whether a subject held a rate: the load could publish, and it all came (`batch`: really all), in time."""
    exact = run.subject.startswith("ours-batch")
    whole = run.least >= 1 and run.even >= EXACT if exact else run.delivered >= NEARLY_ALL * run.expected
    in_time = run.late_s <= LATE_S and run.p99_ms is not None and run.p99_ms <= P99_MS
    return whole and in_time and run.even >= EVEN and not run.closed and not run.wrong


def goals(runs: list[Run]) -> list[Goal]:
    """Those of which everything was run."""
    by = {(run.row, run.subject): run for run in runs if run.delivered}
    found = []
    for row in GIVEN:
        rivals = [by[row, name] for name in RIVALS if (row, name) in by]
        if rivals:
            best = min(rivals, key=Run.cost)
            found += [goal for format in FORMATS for goal in _against(best, by, row, format)]
    for interval in (100, 0):
        for format in FORMATS:
            if run := by.get(("most", f"ours-batch-{interval}-{format}")):
                value = run.per_second / 1e6
                found.append(Goal(f"most, {run.subject}", value, "M deliveries/s", "≥ 5", value >= 5))
    for format in FORMATS:
        if run := by.get(("half", f"ours-latest-0-{format}")):
            value = run.p99_ms or float("inf")
            found.append(Goal(f"half of the most, {run.subject}, p99", value, "ms", "≤ 20", value <= 20))
    return found


def _against(best: Run, by: dict[tuple[str, str], Run], row: str, format: str) -> Iterator[Goal]:
    """Ours beside the best rival of a row."""
    if run := by.get((row, f"ours-latest-100-{format}")):
        value = best.cost() / run.cost()
        yield Goal(f"{row}, CPU a delivery, {best.subject} / {run.subject}", value, "times", "≥ 5", value >= 5)
    if run := by.get((row, f"ours-latest-0-{format}")):
        value = run.cost() / best.cost()
        yield Goal(f"{row}, CPU a delivery, {run.subject} / {best.subject}", value, "times", "≤ 1", value <= 1)
        if run.p99_ms and best.p99_ms:
            value = run.p99_ms / best.p99_ms
            yield Goal(f"{row}, p99, {run.subject} / {best.subject}", value, "times", "≤ 1", value <= 1)


def table(runs: list[Run]) -> str:
    """For people: the runs, and then the goals."""
    head = (
        f"{'':9}{'':25}{'readings/s':>11}{'deliveries/s':>13}{'arrived':>9}  CPU s a million:"
        + "".join(f"{name:>8}" for name in ("all", *PARTS))
        + f"{'p50 ms':>10}{'p99 ms':>9}{'KB/s':>8}  CPU s:{'load':>6}{'dashb.':>8}"
    )
    lines = [
        f"{goal.name:64}{goal.value:>9.2f} {goal.unit:16}goal {goal.goal:6}{'' if goal.reached else 'missed'}"
        for goal in goals(runs)
    ]
    return "\n".join([head, *map(_line, runs), "", *lines])


def _line(run: Run) -> str:
    costs = "".join(f"{run.cost(part):>8.2f}" if part in run.cpu_s else f"{'':8}" for part in PARTS)
    return (
        f"{run.row:9}{run.subject:25}{f'{run.rate:,.0f} × {run.dashboards}':>11}{run.per_second:>13,.0f}"
        f"{run.delivered / run.expected:>9.1%}{'':18}{run.cost():>8.2f}{costs}"
        f"{_ms(run.p50_ms):>10}{_ms(run.p99_ms):>9}"
        f"{run.bytes_per_second / 1000:>8,.0f}{'':8}{run.load_cpu_s:>6.2f}{run.dashboards_cpu_s:>8.2f}"
        f"{f'  {run.closed} closed' if run.closed else ''}{f'  {run.wrong}' if run.wrong else ''}"
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
