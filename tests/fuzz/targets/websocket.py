"""The target of the WebSocket protocol: bytes of a client, after the handshake and in its place."""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from stream.outbox import BINARY, TEXT, Frame
from stream.prepared import EXTENSION, PreparedProtocol
from tests.fuzz.mutation import chunked, chunks, of_bytes
from tests.fuzz.target import Run, Target

__all__ = ["TARGETS"]

HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MOST_BYTES = 1_000
CODES = {1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, *range(3_000, 5_000)}


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closing = False

    def write(self, data: Any) -> None:
        if not self.closing:
            self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends back what comes, in prepared frames."""
    await receive()
    await send({"type": "websocket.accept"})
    protocol = scope["extensions"][EXTENSION]["protocol"]
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        frame = Frame(message["bytes"] if text is None else text.encode())
        protocol.write(frame.prepared(BINARY if text is None else TEXT))


def _websocket() -> Run:
    """Chunks: of kind 0 frames, masked here, with the first byte as theirs; of kind 1 bytes as they are; of kind 2
    what stands in place of the handshake."""
    config = Config(echo, ws=PreparedProtocol, ws_max_size=MOST_BYTES, ws_per_message_deflate=False, log_config=None)
    config.load()
    loop = asyncio.new_event_loop()

    def turn() -> None:
        loop.call_soon(loop.stop)
        loop.run_forever()

    def talk(pieces: list[bytes]) -> bytes:
        transport, state = Transport(), ServerState()
        protocol = PreparedProtocol(config, state, {}, loop)
        protocol.connection_made(transport)
        for piece in pieces:
            protocol.data_received(piece)
            turn()
            assert sum(map(len, protocol.frames)) <= MOST_BYTES
            assert len(protocol.frames) <= MOST_BYTES
            if transport.closing:
                break
        turn()
        closed = transport.closing
        protocol.connection_lost(None)
        while state.tasks:
            turn()
        assert not state.connections
        return bytes(transport.written) + (b"end" if closed else b"")

    def run(data: bytes) -> None:
        log = logging.getLogger("uvicorn.error")
        log.disabled = True
        try:
            check(data)
        finally:
            log.disabled = False

    def check(data: bytes) -> None:
        found = chunks(data)
        begin = b"".join(piece for kind, piece in found if kind % 3 == 2) or HANDSHAKE
        pieces = [_frame(piece) if kind % 3 == 0 else piece for kind, piece in found if kind % 3 != 2]
        said = talk([begin, *pieces])
        if begin == HANDSHAKE:
            _check(said.partition(b"\r\n\r\n")[2])

    return run


def _frame(piece: bytes) -> bytes:
    """A frame with this first byte and payload; its mask is all zeros, which is one, too."""
    first, payload = piece[:1], piece[1:]
    size = len(payload)
    head = bytes((0x80 | size,)) if size < 126 else struct.pack("!BH", 0xFE, size) if size < 1 << 16 else b"\xff"
    return first + head + bytes(4) + payload


def _check(said: bytes) -> None:
    """Whole frames, unmasked, with one close at most, as the last of them."""
    ended = said.endswith(b"end")
    said = said.removesuffix(b"end")
    closed = False
    while said:
        assert not closed, "after a close frame"
        first, size = said[:2]
        assert first & 0x70 == 0
        assert first & 0x0F in (1, 2, 8, 9, 10)
        place = 2
        if size > 125:
            place = 4 if size == 126 else 10
            size = int.from_bytes(said[2:place], "big")
        assert len(said) >= place + size, "a frame that is cut off"
        if first & 0x0F == 8:
            closed = True
            assert size == 0 or int.from_bytes(said[place : place + 2], "big") in CODES
        said = said[place + size :]
    assert closed is ended


FRAMES = [
    *(b"\x81", b"\x01", b"\x80", b"\x00", b"\x82", b"\x88\x03\xe8", b"\x89", b"\x8a", b"\xc1", b"\x83"),
    *(b"\xed\xa0\x80", b"\xf4\x90", b"\xfe"),
]

TARGETS = [Target("websocket", "stream.prepared.PreparedProtocol", _websocket(), chunked(of_bytes(FRAMES), 3))]
