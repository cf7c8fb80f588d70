"""`make bench-ingest`: the sink's packet walker, the ratios, and one short run of everything that needs no Node."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.bridges.sink import walk
from bench.report import Run, medians, ratios, table
from tests.programs import find

ROOT = Path(__file__).parents[2]
READINGS = 2_000


def packet(first: int, body: bytes) -> bytes:
    size, length = len(body), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes((first, *length, size)) + body


def published(topic: str, id: int, payload: bytes) -> bytes:
    """A PUBLISH as MQTT 5 writes it, QoS 1 when it has an id."""
    name = len(topic.encode()).to_bytes(2, "big") + topic.encode()
    return packet(0x32 if id else 0x30, name + (id.to_bytes(2, "big") if id else b"") + b"\x00" + payload)


def acknowledged(id: int) -> bytes:
    return b"\x40\x02" + id.to_bytes(2, "big")


messages = st.tuples(
    st.text(min_size=1, max_size=200).filter(lambda topic: topic.isprintable()),
    st.integers(0, 65_535),
    st.one_of(st.binary(max_size=300), st.just(bytes(20_000))),
)


@given(st.lists(messages, max_size=8), st.data())
def test_counts_and_acknowledges_publishes_however_the_stream_is_cut(
    sent: list[tuple[str, int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(published(*message) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    count, acks, rest = 0, b"", b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        rest += stream[start:end]
        walked = walk(rest)
        count, acks, rest = count + walked.publishes, acks + walked.acks, rest[walked.size :]
    assert (count, rest) == (len(sent), b"")
    assert acks == b"".join(acknowledged(id) for _, id, _ in sent if id)


def test_sees_the_subscription_among_other_packets() -> None:
    connack, suback, pingresp = packet(0x20, b"\x00\x00\x00"), packet(0x90, b"\x00\x01\x00\x01"), packet(0xD0, b"")
    assert not walk(connack + pingresp).subscribed
    walked = walk(connack + suback + published("a", 7, b"x") + pingresp)
    assert (walked.publishes, walked.acks, walked.subscribed) == (1, acknowledged(7), True)


def run(subject: str, *, arrived: int = 100, per_second: float = 10.0, bridge_us: float = 1.0) -> Run:
    return Run(subject, 1, 100, arrived, per_second, 10.0, bridge_us, 5.0, 20.0)


def test_ratios_are_of_medians() -> None:
    runs = [run("ours", bridge_us=cost, per_second=30) for cost in (9.0, 10.0, 90.0)]
    middle = medians([*runs, run("node", bridge_us=40), run("sink", per_second=60)])
    found = {ratio.name: ratio.value for ratio in ratios(middle)}
    assert found == {
        "ours / node, CPU a reading": 0.25,
        "ours / sink, readings/s": 0.5,
        "Redis with ours, µs a reading": 5.0,
    }


def test_the_table_shows_the_fewest_that_arrived() -> None:
    shown = table(medians([run("ours"), run("ours", arrived=98), run("ours")]))
    assert "98 of 100" in shown
    assert "goal ≤ 6" in shown


async def test_every_reading_arrives() -> None:
    find("mosquitto", package="mosquitto")
    find("redis-server", package="redis-server")
    options = ("--readings", str(READINGS), "--repeat", "1", "--only", "ours,naive,sink")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.ingest", *options),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, err.decode()
    rows = [line for line in out.decode().splitlines() if " of " in line and line.startswith("QoS 1")]
    assert [row.split()[2] for row in rows] == ["ours", "naive", "sink"]
    arrived = [row.split("  ")[-1].strip() for row in rows]
    assert arrived == ["2,000 of 2,000", "250 of 250", "2,000 of 2,000"], out.decode()
    assert "ours / sink, readings/s" in out.decode()


async def test_says_what_can_not_be_compared(capfd: pytest.CaptureFixture[str]) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.ingest", "--only", "theirs", cwd=ROOT)
    assert await process.wait() == 2
    assert "no subject theirs: some of ours, node, node-tuned, naive, sink" in capfd.readouterr().err
