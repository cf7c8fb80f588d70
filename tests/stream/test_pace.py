"""How fast a WebSocket is read: no faster than it may be, in pieces, and nothing of it is lost, on real sockets."""

from __future__ import annotations

import asyncio
from collections import Counter as Counted
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry, Counter
from websockets.frames import Frame, Opcode

from stream.outbox import Frame as Outgoing
from stream.pace import COMMANDS, Pace
from stream.prepared import EXTENSION, PreparedOutbox, PreparedProtocol
from stream.rate import Rate
from tests.programs import eventually, free_port

KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
LIMIT = 65_536


class App:
    """Takes down what it is sent, and what was in its protocol's hands at the most."""

    def __init__(self, rate: Rate) -> None:
        self.pace = Pace(rate, Counter("throttled", "", registry=CollectorRegistry()))
        self.texts: list[str] = []
        self.most = 0
        self.ended: list[Any] = []
        self.outbox: PreparedOutbox
        self.protocol: PreparedProtocol

    @property
    def throttles(self) -> float:
        return self.pace.throttled._value.get()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        self.protocol = scope["extensions"][EXTENSION]["protocol"]
        self.outbox = PreparedOutbox(self.protocol, LIMIT, 30, text=True)
        self.protocol.pace = self.pace
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            self.texts.append(message["text"])
            self.most = max(self.most, len(self.protocol.queue._items))  # type: ignore[attr-defined]
        self.ended.append(message)


@asynccontextmanager
async def connected(app: App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = free_port()
    config = uvicorn.Config(
        app, port=port, ws=PreparedProtocol, ws_per_message_deflate=False, lifespan="off", log_config=None,
        access_log=False, timeout_graceful_shutdown=1, ws_ping_interval=None,
    )  # fmt: skip
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server._serve())
        await eventually(lambda: server.started)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            server.should_exit = True


def text(data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


async def test_all_of_it_comes_in_order_however_fast_it_was_sent() -> None:
    app = App(Rate(200_000, 1_000))
    async with connected(app) as (_, writer):
        sent = [f"{n}" for n in range(300)] + ["x" * 60_000, "last"]
        writer.write(b"".join(text(one.encode()) for one in sent))
        await eventually(lambda: app.texts[-1:] == ["last"])
        assert app.texts == sent
        assert app.throttles > 0


async def test_only_a_piece_of_it_is_held_as_messages() -> None:
    app = App(Rate(1e12, 1e12))
    async with connected(app) as (_, writer):
        writer.write(text(b"") * 20_000 + text(b"last"))
        await eventually(lambda: app.texts[-1:] == ["last"])
        assert len(app.texts) == 20_001
        assert app.most < 200
        assert app.throttles == 0


async def test_frames_count_also_when_they_are_empty() -> None:
    app = App(Rate(1, 10_000))
    async with connected(app) as (reader, writer):
        writer.write(text(b"", Opcode.PING) * 10_000)
        await eventually(lambda: app.throttles)
        read = 0
        while app.protocol.transport.get_write_buffer_size() or not read:
            read += len(await reader.read(65_536))
        assert read < 2 * 1_000


async def test_one_who_does_not_read_is_not_read_either_and_goes_on_when_it_does() -> None:
    app = App(Rate(200_000, 1_000))
    async with connected(app) as (reader, writer):
        frames = 0
        while app.outbox.offer(Outgoing(b"x" * 60_000)):
            frames += 1
        sent = [f"{n}" for n in range(300)]
        writer.write(b"".join(text(one.encode()) for one in sent))
        held = app.protocol.transport.get_write_buffer_size()
        assert held > LIMIT
        for _ in range(frames):
            assert len(await reader.readexactly(60_000 + 4)) == 60_004
        await eventually(lambda: app.texts == sent)


async def test_one_who_leaves_while_it_is_held_back_is_gone() -> None:
    app = App(Rate(1, 1_000))
    async with connected(app) as (_, writer):
        writer.write(text(b"a") * 1_000)
        await eventually(lambda: app.throttles)
        app.outbox.close(4029)
        writer.transport.abort()
        await eventually(lambda: app.ended)


async def test_what_one_who_is_gone_has_left_is_not_looked_at() -> None:
    app = App(Rate(1_000_000, 1_000))
    async with connected(app) as (_, writer):
        writer.write(text(b"a") * 20_000)
        await eventually(lambda: app.texts)
        writer.transport.abort()
        await eventually(lambda: app.ended)
        assert len(app.texts) < 20_000


async def test_one_who_is_held_back_can_be_closed() -> None:
    app = App(Rate(1, 1_000))
    async with connected(app) as (reader, writer):
        writer.write(text(b"a") * 1_000)
        await eventually(lambda: app.throttles)
        app.outbox.close(4029)
        header = await reader.readexactly(4)
        assert int.from_bytes(header[2:], "big") == 4029
        await eventually(lambda: app.ended)


async def test_few_commands_are_carried_out_in_a_turn_and_in_their_order() -> None:
    pace = Pace(Rate(1, 1), Counter("throttled", "", registry=CollectorRegistry()))
    turn, done, gone = 0, [], asyncio.create_task(pace.turn())

    async def command(number: int) -> None:
        await pace.turn()
        done.append((turn, number))

    commands = [asyncio.create_task(command(number)) for number in range(40)]
    commands[30].cancel()
    while len(done) < 39:
        await asyncio.sleep(0)
        turn += 1
    await gone
    assert [number for _, number in done] == [number for number in range(40) if number != 30]
    assert max(Counted(at for at, _ in done).values()) <= COMMANDS


async def test_a_command_alone_does_not_wait() -> None:
    pace = Pace(Rate(1, 1), Counter("throttled", "", registry=CollectorRegistry()))
    for _ in range(20):
        turned = pace.turn()
        with pytest.raises(StopIteration):
            turned.send(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_pieces_have_a_turn_each() -> None:
    pace = Pace(Rate(1, 1), Counter("throttled", "", registry=CollectorRegistry()))
    done: list[int] = []
    for number in range(5):
        pace.queue(lambda number=number: done.append(number))  # type: ignore[misc]
    for number in range(5):
        await asyncio.sleep(0)
        assert done == list(range(number + 1))
