"""One who takes nothing is closed, and one who reads slowly is not, whatever buffers are on the way: those of uvloop
and of TLS, which nobody tells of."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn
import uvloop

from stream import prepared as module
from stream.outbox import Frame
from stream.prepared import PreparedOutbox, PreparedProtocol
from tests.authority import Authority, Issued
from tests.programs import eventually, free_port
from tests.stream.test_prepared import App

DRAIN_SECONDS = 0.8


class Reader(NamedTuple):
    """A client that takes from its socket only what it is told to, and the outbox at the other end."""

    connection: socket.socket
    outbox: PreparedOutbox

    async def read(self, size: int) -> bytes:
        return await asyncio.to_thread(self.connection.recv, size)


def fill(outbox: PreparedOutbox) -> None:
    """More than all the buffers on the way can take."""
    for _ in range(100):
        outbox.put(Frame(b"x" * 50_000))


@asynccontextmanager
async def serving(app: App, issued: Issued | None) -> AsyncIterator[int]:
    port = free_port()
    cert, key = issued or (None, None)
    config = uvicorn.Config(
        app, port=port, ws=PreparedProtocol, ws_per_message_deflate=False, lifespan="off", log_config=None,
        access_log=False, timeout_graceful_shutdown=1, ssl_certfile=cert, ssl_keyfile=key,
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
async def connected(app: App, port: int, tls: ssl.SSLContext | None) -> AsyncIterator[Reader]:
    def connect() -> socket.socket:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1_000)  # or loopback's fit into no window
        plain.settimeout(10)
        plain.connect(("127.0.0.1", port))
        found = plain if tls is None else tls.wrap_socket(plain, server_hostname="127.0.0.1")
        key = base64.b64encode(bytes(16)).decode()
        found.sendall(
            f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        said = b""
        while not said.endswith(b"\r\n\r\n"):
            said += found.recv(1)
        assert b" 101 " in said
        return found

    with await asyncio.to_thread(connect) as connection:
        yield Reader(connection, await app.outboxes.get())


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_one_who_takes_no_byte_is_closed_and_one_who_takes_some_is_not(
    tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.1)
    authority = Authority(tmp_path)
    issued, trusting = (authority.issue("127.0.0.1"), authority.trusting()) if tls else (None, None)
    # A record of TLS is read as a whole. Elsewhere less: the window must never be wide open.
    size = 16_384 if tls else 3_000

    async def main() -> None:
        app = App(drain_s=DRAIN_SECONDS)
        async with serving(app, issued) as port, connected(app, port, trusting) as stalled:
            async with connected(app, port, trusting) as slow:
                fill(stalled.outbox)
                fill(slow.outbox)
                for _ in range(12):
                    await slow.read(size)
                    await asyncio.sleep(DRAIN_SECONDS / 4)  # less than the loop keeps for itself
                await eventually(lambda: stalled.outbox.close_code == 4008)
                await eventually(lambda: len(app.ended) == 1)
                assert slow.outbox.close_code is None
                slow.connection.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
