"""A WebSocket client that says just what it is told to, byte by byte (RFC 6455)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Raw",
    "Received",
    "dialled",
    "frame",
    "request",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80
MASK = b"\x37\xfa\x21\x3d"

HEADERS = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",  # of section 1.3
    "Sec-WebSocket-Version": "13",
}


class Received(NamedTuple):
    """A frame of the server, which must be whole, unmasked and no longer than it has to be."""

    opcode: int
    payload: bytes


class Raw:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def frame(self) -> Received:
        """The next frame."""
        first, size = await self.reader.readexactly(2)
        assert first & 0x70 == 0, "a reserved bit"
        assert first & FIN, "a fragment"
        assert not size & 0x80, "a mask"
        if size > 125:
            length = 2 if size == 126 else 8
            size = int.from_bytes(await self.reader.readexactly(length), "big")
            assert size > (125 if length == 2 else 65_535), "a length in a longer form than it needs"
        return Received(first & 0x0F, await self.reader.readexactly(size))

    async def response(self) -> tuple[int, dict[str, str]]:
        """Status and headers, with lower-case names, of an HTTP response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.rstrip().split("\r\n")
        headers = (line.partition(":") for line in lines)
        return int(status.split(" ")[1]), {name.lower(): value.strip() for name, _, value in headers}

    async def rest(self) -> bytes:
        """What comes until the end."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""


def request(changes: Mapping[str, str | None], method: str = "GET", path: str = "/v1/stream") -> bytes:
    """A handshake, with headers that are others, or none (None)."""
    headers = {name: value for name, value in {**HEADERS, **changes}.items() if value is not None}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes | None = MASK
) -> bytes:
    """A frame as clients send it (section 5.2). `reserved`: the three bits."""
    size, masked = len(payload), 0x80 if mask is not None else 0
    if size < 126:
        length = bytes((masked | size,))
    elif size < 1 << 16:
        length = struct.pack("!BH", masked | 126, size)
    else:
        length = struct.pack("!BQ", masked | 127, size)
    if mask is not None:
        payload = mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes(((FIN if fin else 0) | reserved << 4 | opcode,)) + length + payload


@asynccontextmanager
async def dialled(port: int, said: bytes | None = None) -> AsyncIterator[Raw]:
    """A connection on which something was said; without it the handshake, which has succeeded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    raw = Raw(reader, writer)
    try:
        writer.write(said if said is not None else request({}))
        if said is None:
            status, _ = await raw.response()
            assert status == 101
        yield raw
    finally:
        writer.transport.abort()
