"""Heads of requests, over raw sockets to a node: those that don't come, drip, don't end, or are garbage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.programs import eventually, fleetwire, free_port

HALF_OPEN = 20
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
UPGRADE = b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


class Door:
    """A node that waits half a second for a head."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def refusals(self, reason: str) -> float:
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{self.port}/metrics")).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "fleetwire_stream_refusals_total" and sample.labels == {"reason": reason}:
                    return sample.value
        raise LookupError(reason)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def answer(self, data: bytes) -> bytes:
        """All that it says to this, until it closes the connection."""
        async with self.connection() as (reader, writer):
            writer.write(data)
            return await everything(reader)


async def everything(reader: asyncio.StreamReader) -> bytes:
    found = b""
    with suppress(ConnectionResetError):
        while some := await reader.read(65_536):
            found += some
    return found


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, drop: bytes) -> bytes:
    """Write a drop now and then until the node has had enough: what it said."""
    ended = asyncio.create_task(everything(reader))
    with suppress(ConnectionError):
        while not ended.done():
            writer.write(drop)
            await writer.drain()
            await asyncio.wait({ended}, timeout=0.02)
    return await ended


@pytest.fixture(scope="module")
def serving(session_valkey: str) -> Iterator[Door]:
    port = free_port()
    options = ("--head-s", "0.5", "--head-bytes", "4096", "--half-open", str(HALF_OPEN))
    with fleetwire("stream", "--redis-url", session_valkey, "--port", str(port), *options) as program:
        yield Door(port)
        program.stop()
        assert "Traceback" not in program.output
        assert "Invalid HTTP" not in program.output


@pytest.fixture
async def door(serving: Door) -> Door:
    async def up() -> bool:
        try:
            return await serving.refusals("head_late") >= 0
        except httpx.TransportError:
            return False

    await eventually(up)
    return serving


async def test_who_says_nothing_is_dropped(door: Door) -> None:
    before = await door.refusals("head_late")
    assert await door.answer(b"") == b""
    assert await door.refusals("head_late") == before + 1


@pytest.mark.parametrize("begin", [b"GET /", REQUEST + b"A: ", UPGRADE], ids=["nothing", "request", "upgrade"])
async def test_who_drips_is_dropped(door: Door, begin: bytes) -> None:
    async with door.connection() as (reader, writer):
        writer.write(begin)
        assert await drip(reader, writer, b"a") == b""


@pytest.mark.parametrize("drop", [b"\r\n", b"G"])
async def test_who_drips_after_an_answer_is_dropped(door: Door, drop: bytes) -> None:
    async with door.connection() as (reader, writer):
        writer.write(REQUEST + b"\r\n")
        assert b"200" in await reader.readline()
        assert b'"ok"' in await drip(reader, writer, drop)


async def test_who_drips_a_body_that_nobody_wants_is_dropped(door: Door) -> None:
    async with door.connection() as (reader, writer):
        writer.write(REQUEST + b"Content-Length: 1000000\r\n\r\n")
        assert b'"ok"' in await drip(reader, writer, b"a")


async def test_who_drips_a_message_is_told(door: Door) -> None:
    async with door.connection() as (reader, writer):
        writer.write(b"POST /v1/publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: 1000000\r\n\r\n")
        assert b"bad_request" in await drip(reader, writer, b"a")


async def test_the_oldest_make_room(door: Door) -> None:
    before = await door.refusals("half_open")
    connections = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(HALF_OPEN + 5)]
    for reader, _ in connections[:5]:
        assert await everything(reader) == b""
    for _, writer in connections:
        writer.close()
    assert await door.refusals("half_open") >= before + 5


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n", b"414", "head_big"),
        (b"GET /" + b"a" * 7_000 + b" HTTP/1.1\r\n", b"431", "head_big"),
        (REQUEST + b"A: " + b"a" * 9_000 + b"\r\n", b"431", "head_big"),
        (REQUEST + b"A: " + b"a" * 9_000, b"431", "head_big"),
        (REQUEST + b"a" * 9_000, b"431", "head_big"),
        (REQUEST + b"A: b\r\n" * 101 + b"\r\n", b"431", "head_big"),
        (UPGRADE + b"A: b\r\n" * 101 + b"\r\n", b"431", "head_big"),
        (UPGRADE + b"A: " + b"a" * 5_000 + b"\r\n\r\n", b"431", "head_big"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400", "head_bad"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400", "head_bad"),
        (b"\x00" * 100, b"400", "head_bad"),
    ],
)
async def test_what_is_too_big_or_garbage_is_refused(door: Door, data: bytes, status: bytes, reason: str) -> None:
    before = await door.refusals(reason)
    said = await door.answer(data)
    assert said == b"" or said.split()[1] == status  # what comes behind our answer may tear it away
    assert await door.refusals(reason) == before + 1


async def test_who_asks_without_waiting_for_answers_is_cut_off(door: Door) -> None:
    said = await door.answer((REQUEST + b"\r\n") * 1_000)
    assert said.count(b"HTTP/1.1 200") < 1_000


async def test_those_who_are_quick_are_served_beside_them(door: Door) -> None:
    connections = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(2 * HALF_OPEN)]
    async with httpx.AsyncClient() as http:
        for _ in range(5):
            assert (await http.get(f"http://127.0.0.1:{door.port}/healthz")).status_code == 200
            assert (await http.get(f"http://127.0.0.1:{door.port}/healthz", headers={"Upgrade": "h2c"})).is_success
    for _, writer in connections:
        writer.close()
