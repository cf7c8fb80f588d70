"""One measurement of `make bench-stream`: a subject, a load and dashboards, for some seconds, on fresh servers."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from bench.child import Child, child
from bench.dashboards import Outcome, Plan, State
from bench.deliveries import Run
from bench.programs import tree_seconds
from bench.steady import Published
from bench.subjects import Running, Subject, running
from wire.errors import Unavailable

__all__ = ["VEHICLES", "Row", "measure"]

T = TypeVar("T")

FLEET = "bench"
VEHICLES = 1_000
SAMPLES = 20_000  # latencies that are taken in a run, about
READING_BYTES = 250
WARM_SECONDS, WARM_RATE = 1.0, 1_000
QUIET_SECONDS = 0.5
PATIENCE_SECONDS = 1.0  # after the load
POLL_SECONDS = 0.05


class Row(NamedTuple):
    """A load and its audience: readings a second, in bursts each `every_ms`, to so many dashboards, of which
    `counted` count what they get."""

    name: str
    per_second: float
    every_ms: float
    dashboards: int
    counted: int


async def measure(subject: Subject, row: Row, seconds: float) -> Run:
    """One run. Raises Unavailable when something can't be started, or ends in the middle."""
    with tempfile.TemporaryDirectory(prefix="fleetwire-bench-") as folder:
        async with running(subject, Path(folder)) as up:
            plan = _plan(subject, row, seconds, up.websocket)
            async with child("bench.dashboards", msgspec.json.encode(plan).decode()) as dashboards:
                await dashboards.answer()
                await _warm(subject, row, up, dashboards)
                return await _run(subject, row, seconds, up, dashboards)


def _plan(subject: Subject, row: Row, seconds: float, port: int) -> Plan:
    every = int(row.per_second * seconds * row.counted * READING_BYTES / SAMPLES)
    return Plan(
        protocol=subject.protocol,
        port=port,
        topic=f"fleets/{FLEET}/+/telemetry",
        dashboards=row.dashboards,
        counted=row.counted,
        every=max(every, 1),
        format=subject.format,
        strategy=subject.strategy,
        interval=subject.interval,
    )


def _load(row: Row, port: int, seconds: float) -> AbstractAsyncContextManager[Child]:
    return child("bench.steady", port, FLEET, VEHICLES, row.per_second, seconds, row.every_ms)


async def _ask(dashboards: Child, command: str, kind: type[T]) -> T:
    return msgspec.convert(await dashboards.ask(command), kind)


async def _warm(subject: Subject, row: Row, up: Running, dashboards: Child) -> None:
    """Some readings, no more than a rival takes; then wait until nothing more comes."""
    async with _load(row._replace(per_second=min(row.per_second, WARM_RATE)), up.mqtt, WARM_SECONDS) as load:
        await load.answer()
    rest = quiet = QUIET_SECONDS + subject.interval / 1000
    while rest > 0:
        await asyncio.sleep(rest)
        rest = (await _ask(dashboards, "state", State)).last_at + quiet - time.monotonic()


async def _run(subject: Subject, row: Row, seconds: float, up: Running, dashboards: Child) -> Run:
    began = await _ask(dashboards, "begin", State)
    before, trouble = _cpu(up), ""
    published = Published(readings=0, started=time.monotonic(), late_s=math.inf, cpu_s=0)
    async with _load(row, up.mqtt, seconds) as load:
        try:
            published = msgspec.convert(await load.answer(), Published)
        except Unavailable as error:
            trouble = str(error)
    each = round(row.per_second * seconds)
    state = await _settled(dashboards, each * row.counted, PATIENCE_SECONDS + subject.interval / 1000)
    cpu = {name: after - before[name] for name, after in _cpu(up).items()}
    outcome = await _ask(dashboards, "end", Outcome)
    even = 1.0
    if outcome.fewest_bytes is not None:
        even = outcome.fewest_bytes / max(state.counted_bytes / row.counted, 1)
    return Run(
        subject=subject.name,
        row=row.name,
        rate=row.per_second,
        dashboards=row.dashboards,
        expected=each * row.dashboards,
        delivered=round(state.deliveries * state.bytes / max(state.counted_bytes, 1)),
        least=outcome.fewest / each,
        even=even,
        seconds=state.last_at - published.started,
        cpu_s=cpu,
        p50_ms=outcome.p50_ms,
        p99_ms=outcome.p99_ms,
        samples=outcome.samples,
        bytes_per_second=state.bytes / row.dashboards / seconds,
        late_s=published.late_s,
        load_cpu_s=published.cpu_s,
        dashboards_cpu_s=state.cpu_s - began.cpu_s,
        closed=state.closed,
        wrong=trouble or outcome.wrong,
    )


async def _settled(dashboards: Child, expected: int, patience: float) -> State:
    """What has come when all has come, or patience has ended."""
    deadline = time.monotonic() + patience
    while True:
        state = await _ask(dashboards, "state", State)
        if state.deliveries >= expected or time.monotonic() > deadline:
            return state
        await asyncio.sleep(POLL_SECONDS)


def _cpu(up: Running) -> dict[str, float]:
    """CPU seconds by part. Raises Unavailable when one has ended."""
    for part in up.parts.values():
        if part.process.returncode is not None:
            raise Unavailable(f"{part.name} ended in the middle: {part.last_words()}")
    return {name: tree_seconds(part.process.pid) for name, part in up.parts.items()}
