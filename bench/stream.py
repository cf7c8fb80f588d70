"""`make bench-stream`: what it costs to push a whole fleet to many dashboards, compared in one run on this machine.

ours is `fleetwire ingest` and `fleetwire stream` with mosquitto and Redis, for each strategy, interval (ms) and
format. nats is nats-server with its MQTT and WebSocket listeners; mosquitto has a WebSocket listener of its own;
plain is aiomqtt, Redis pub/sub and Starlette as one would first write it. Each runs alone, on fresh servers, with
1,000 vehicles at QoS 0 on ten connections, about 200 bytes a reading, and dashboards that watch all of them. Latency
goes from just before the device's write to just after the dashboard's read. A reading that `latest` conflates is no
delivery.

Rows: bursts and spread, 2,000 readings a second to 100 dashboards, in bursts each 5 ms or 1 ms; many, 200 a second
to 500; most, the highest rate (in steps of a quarter) that reaches 100 dashboards with p99 ≤ 300 ms and nothing
missing; half, half of that, for those without an interval. Compare figures of one run: those of another, or of
another machine, say little.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import sys

import msgspec

from bench.deliveries import Run, goals, sustained, table
from bench.fanout import VEHICLES, Row, measure
from bench.ladder import highest, rate
from bench.programs import find
from bench.subjects import SUBJECTS, Subject, nats_server
from wire.errors import Unavailable

ROWS = {
    "bursts": Row("bursts", 2_000, every_ms=5, dashboards=100, counted=100),
    "spread": Row("spread", 2_000, every_ms=1, dashboards=100, counted=100),
    "many": Row("many", 200, every_ms=5, dashboards=500, counted=500),
}
MOST = Row("most", 0, every_ms=5, dashboards=100, counted=10)
HALF = MOST._replace(name="half")
NAMES = (*ROWS, "most", "half")
STEP_SECONDS = 4
FIRST_RUNGS = {"ours": 18, "nats": 14, "mqtt": 8, "plain": 2}  # by protocol: where the climb begins
LONGEST_SECONDS = 15  # later uvicorn wants its pings answered


async def bench(subjects: list[Subject], rows: list[str], seconds: float) -> tuple[list[Run], list[str]]:
    """All runs, one after the other, and in words what could not be run or was not right."""
    runs, problems = [], []
    for name in [name for name in ROWS if name in rows]:
        for subject in subjects:
            try:
                runs.append(await _run(subject, ROWS[name], seconds))
            except Unavailable as error:
                problems.append(f"{name}, {subject.name}: {error}")
    for subject in subjects if {"most", "half"} & set(rows) else ():
        if subject.strategy == "latest" and subject.interval:
            continue  # it conflates more and more: it has no most
        try:
            if (run := await _most(subject)) is None:
                problems.append(f"most, {subject.name}: no rate was sustained")
                continue
            runs.append(run)
            if "half" in rows and not subject.interval:
                runs.append(await _run(subject, HALF._replace(per_second=run.rate / 2), seconds))
        except Unavailable as error:
            problems.append(f"most, {subject.name}: {error}")
    problems += [f"{run.row}, {run.subject}: {run.wrong}" for run in runs if run.wrong]
    return runs, problems


async def _most(subject: Subject) -> Run | None:
    async def trial(rung: int) -> Run | None:
        run = await _run(subject, MOST._replace(per_second=rate(rung)), STEP_SECONDS)
        return run if sustained(run) else None

    return await highest(trial, FIRST_RUNGS[subject.protocol])


async def _run(subject: Subject, row: Row, seconds: float) -> Run:
    run = await measure(subject, row, seconds)
    wrong = f", {run.wrong}" if run.wrong else ""
    print(
        f"  {run.row:7}{run.subject:25}{run.rate:>8,.0f} readings/s{run.per_second:>12,.0f} deliveries/s"
        f"{run.delivered / run.expected:>7.1%}{run.cost():>7.2f} s of CPU a million"
        f", p99 {run.p99_ms or math.nan:,.0f} ms, load behind {run.late_s:.2f} s{wrong}",
        file=sys.stderr,
    )
    return run


def _installed(subjects: list[Subject]) -> None:
    """Raises Unavailable when a program is missing that some of them need."""
    for subject in subjects:
        if subject.protocol == "nats":
            nats_server()
        else:
            find("mosquitto", package="mosquitto")
        if subject.protocol in ("ours", "plain"):
            find("redis-server", package="redis-server")


def _subjects(text: str) -> list[Subject]:
    """Those whose names begin with one of these."""
    for word in (words := text.split(",")):
        if not any(subject.name.startswith(word) for subject in SUBJECTS):
            some = ", ".join(subject.name for subject in SUBJECTS)
            raise argparse.ArgumentTypeError(f"no subject {word}: some of {some}, or what they begin with")
    return [subject for subject in SUBJECTS if subject.name.startswith(tuple(words))]


def _rows(text: str) -> list[str]:
    if unknown := set(rows := text.split(",")) - set(NAMES):
        raise argparse.ArgumentTypeError(f"no row {', '.join(sorted(unknown))}: some of {', '.join(NAMES)}")
    return rows


def _seconds(text: str) -> float:
    if not 1 <= float(text) <= LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(f"from 1 to {LONGEST_SECONDS}")
    return float(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", type=_subjects, default=SUBJECTS, help="some subjects, or what their names begin with: ours,nats"
    )
    parser.add_argument("--rows", type=_rows, default=NAMES, help=f"some of {','.join(NAMES)}")
    parser.add_argument("--seconds", type=_seconds, default=8.0, help="of each run; a step to the most takes 4")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: whatever was started is stopped
    try:
        _installed(arguments.only)
        runs, problems = asyncio.run(bench(arguments.only, arguments.rows, arguments.seconds))
    except Unavailable as error:
        sys.exit(f"bench-stream: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if arguments.json:
        found = {"vehicles": VEHICLES, "seconds": arguments.seconds, "cores": os.cpu_count(), "runs": runs}
        print(msgspec.json.encode(found | {"goals": goals(runs), "problems": problems}).decode())
    else:
        print(
            f"{VEHICLES:,} vehicles, {arguments.seconds:g} s a run, {os.cpu_count()} cores; KB/s of one dashboard; "
            f"load and dashboards are not counted as serving\n\n{table(runs)}\n"
        )
        print("\n".join(problems or ["nothing wrong"]))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
