"""Prepared frames on a real uvicorn and real sockets: what a client reads, and what one that does not read costs."""

from __future__ import annotations

import asyncio
import base64
import gc
import socket
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as Reference
from websockets.frames import Opcode

from stream import prepared as module
from stream.outbox import BINARY, TEXT, Frame
from stream.prepared import EXTENSION, PreparedOutbox, PreparedProtocol
from tests.programs import eventually, free_port

LIMIT = 65_536


@given(st.sampled_from([TEXT, BINARY]), st.integers(0, 300) | st.sampled_from([65_535, 65_536, 70_000]))
def test_a_prepared_frame_is_what_websockets_would_write(opcode: int, size: int) -> None:
    data = b"x" * size
    expected = Reference(Opcode(opcode), data).serialize(mask=False)
    assert Frame(data).prepared(opcode) == expected


def test_a_frame_is_prepared_once() -> None:
    frame = Frame(b"x")
    assert frame.prepared(TEXT) is frame.prepared(TEXT)


class Raw(NamedTuple):
    """A client that reads when it is told to, and the outbox at the other end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    outbox: PreparedOutbox

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, size = await self.reader.readexactly(2)
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return first & 0x0F, await self.reader.readexactly(size)

    async def until(self, payload: bytes) -> list[bytes]:
        """The payloads up to one."""
        found = [(await self.frame())[1]]
        while found[-1] != payload:
            found.append((await self.frame())[1])
        return found


class App:
    """Hands its outboxes to the test, and waits for the end of each client."""

    def __init__(self, drain_s: float) -> None:
        self.outboxes: asyncio.Queue[PreparedOutbox] = asyncio.Queue()
        self.ended: list[Any] = []
        self._drain_s = drain_s

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        protocol = scope["extensions"][EXTENSION]["protocol"]
        self.outboxes.put_nowait(PreparedOutbox(protocol, LIMIT, self._drain_s, text=True))
        while (message := await receive())["type"] != "websocket.disconnect":
            pass
        self.ended.append(message.get("code"))


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[int]:
    port = free_port()
    config = uvicorn.Config(
        app, port=port, ws=PreparedProtocol, ws_per_message_deflate=False, lifespan="off", log_config=None,
        access_log=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server._serve())
        await eventually(lambda: server.started)
        try:
            yield port
        finally:
            server.should_exit = True


@asynccontextmanager
async def connected(app: App, port: int) -> AsyncIterator[Raw]:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=4_096)
    key = base64.b64encode(bytes(16)).decode()
    writer.write(
        f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    try:
        yield Raw(reader, writer, await app.outboxes.get())
    finally:
        writer.transport.abort()


def fill(outbox: PreparedOutbox) -> int:
    """Offer until it refuses: how many frames it took."""
    for number in range(1_000):
        if not outbox.offer(Frame(b"%04d" % number + b"x" * 8_000)):
            return number
    raise AssertionError("it is never full")


@pytest.fixture
async def app() -> App:
    return App(drain_s=30)


async def test_frames_come_in_order_whatever_their_size(app: App) -> None:
    async with serving(app) as port, connected(app, port) as client:
        frames = [Frame(bytes([65 + n]) * size) for n, size in enumerate((0, 1, 125, 126, 65_535, 65_536, 200_000))]
        for frame in frames:
            client.outbox.put(frame)
        for frame in frames:
            assert await client.frame() == (TEXT, frame.data)


async def test_one_who_does_not_read_is_refused_and_told_once_when_it_has(app: App) -> None:
    async with serving(app) as port, connected(app, port) as client:
        drained: list[int] = []
        transport = client.outbox._protocol.transport
        client.outbox.on_drained = lambda: drained.append(transport.get_write_buffer_size())
        taken = fill(client.outbox)
        assert not client.outbox.offer(Frame(b"refused"))
        assert transport.get_write_buffer_size() <= LIMIT + 8_100
        assert not drained
        for number in range(taken):
            assert (await client.frame())[1].startswith(b"%04d" % number)
        await eventually(lambda: drained)
        assert drained == [0]
        assert client.outbox.offer(Frame(b"again"))
        assert (await client.frame())[1] == b"again"
        assert drained == [0]


async def test_replies_are_taken_from_one_who_is_full_and_room_waits(app: App) -> None:
    async with serving(app) as port, connected(app, port) as client:
        await client.outbox.room()
        fill(client.outbox)
        client.outbox.put(Frame(b"reply"))
        waiting = [asyncio.create_task(client.outbox.room()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # one who gives up takes nothing from the other
        await client.until(b"reply")
        await waiting[1]


async def test_one_who_takes_no_byte_is_closed_and_one_who_takes_some_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.1)
    app = App(drain_s=0.4)
    async with serving(app) as port, connected(app, port) as stalled, connected(app, port) as slow:
        fill(stalled.outbox)
        fill(slow.outbox)
        while stalled.outbox.close_code is None:
            await slow.reader.read(4_096)
            await asyncio.sleep(0.05)
        assert stalled.outbox.close_code == 4008
        assert slow.outbox.close_code is None
        await eventually(lambda: len(app.ended) == 1)


async def test_one_who_is_closed_while_it_reads_is_told_why(app: App) -> None:
    async with serving(app) as port, connected(app, port) as client:
        client.outbox.put(Frame(b"last"))
        client.outbox.close(1012)
        client.outbox.put(Frame(b"too late"))
        client.outbox.offer(Frame(b"too late"))
        assert await client.frame() == (TEXT, b"last")
        opcode, payload = await client.frame()
        assert opcode == Opcode.CLOSE
        assert int.from_bytes(payload[:2], "big") == 1012
        await eventually(lambda: app.ended)


async def test_frames_for_one_who_is_gone_go_nowhere(app: App) -> None:
    async with serving(app) as port, connected(app, port) as client:
        client.writer.transport.abort()
        for _ in range(20):
            client.outbox.put(Frame(b"x" * 8_000))
            client.outbox.offer(Frame(b"x" * 8_000))
            await asyncio.sleep(0)
        await eventually(lambda: app.ended)
        client.outbox.put(Frame(b"x"))
        client.outbox.close(1000)


async def test_nothing_of_one_who_is_gone_waits_for_the_garbage_collector(app: App) -> None:
    async with serving(app) as port:
        async with connected(app, port) as client:
            protocol = weakref.ref(client.outbox._protocol)
            client.writer.transport.abort()
            await eventually(lambda: app.ended)
            del client
        gc.disable()
        try:
            await eventually(lambda: protocol() is None, 2)
        finally:
            gc.enable()


async def test_fragments_of_nothing_without_end_take_no_room(app: App) -> None:
    async with serving(app) as port, connected(app, port) as client:
        fragment, ping = b"\x00\x80" + bytes(4), b"\x89\x80" + bytes(4)
        client.writer.write(b"\x01\x80" + bytes(4) + fragment * 10_000 + ping)
        assert await client.frame() == (Opcode.PONG, b"")
        assert client.outbox._protocol.frames == [b""]


async def test_pings_of_one_who_reads_no_pongs_are_left_with_it(app: App) -> None:
    async with serving(app) as port, connected(app, port) as client:
        protocol, pings = client.outbox._protocol, 10_000
        client.writer.write((b"\x89\xfd" + bytes(129)) * pings)
        await eventually(lambda: not protocol.transport.is_reading())
        assert protocol.transport.get_write_buffer_size() < LIMIT + 300_000  # which is read at once
        for _ in range(pings):
            assert await client.frame() == (Opcode.PONG, bytes(125))
        assert protocol.transport.is_reading()
