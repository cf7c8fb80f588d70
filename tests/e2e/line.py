"""A line between clients and a server that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["Line", "line"]


class Line:
    """Carries bytes both ways. Use `line`."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.cuts = 0
        self._to = port
        self._ends: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Break all connections, as a lost network does."""
        for end in list(self._ends):
            end.transport.abort()
        self.cuts += bool(self._ends)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            ends = {writer, far_writer}
            self._ends |= ends
            try:
                await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))
            finally:
                self._ends -= ends
                for end in ends:
                    end.transport.abort()
        writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError  # the other way ends too


@asynccontextmanager
async def line(port: int) -> AsyncIterator[Line]:
    """A line to a port of loopback; its own port is `port`."""
    carrying = Line(port)
    server = await asyncio.start_server(carrying.carry, "127.0.0.1", 0)
    carrying.port = server.sockets[0].getsockname()[1]
    try:
        yield carrying
    finally:
        server.close()
        carrying.cut()
        await server.wait_closed()
