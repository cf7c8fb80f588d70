"""The acceptor: many connections in a turn of the loop, and none while there are no file descriptors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fleetwire import acceptor as module
from fleetwire.acceptor import Acceptor
from fleetwire.tls import Certificate, Files
from tests.authority import Authority


class Echo(asyncio.Protocol):
    """Says how many came before."""

    count = 0

    def connection_made(self, transport: Any) -> None:
        transport.write(b"%d" % Echo.count)
        Echo.count += 1
        transport.close()


async def heard(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return int(await reader.read())
    finally:
        writer.close()


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_all_who_come_at_once_are_served(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        with closing(socket.socket()) as listener:
            listener.bind(("127.0.0.1", 0))
            with closing(Acceptor(listener, Echo, 100)):
                before = Echo.count
                numbers = await asyncio.gather(*(heard(listener.getsockname()[1]) for _ in range(50)))
                assert sorted(numbers) == list(range(before, before + 50))

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_those_who_begin_a_handshake_and_say_nothing_go_before_others(
    factory: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)

    async def main() -> None:
        context = Certificate(Files(*map(str, authority.issue("127.0.0.1")))).context
        with closing(socket.socket()) as listener:
            listener.bind(("127.0.0.1", 0))
            address = listener.getsockname()
            with closing(Acceptor(listener, Echo, 100, context, most=5)):
                silent = [await asyncio.open_connection(*address) for _ in range(10)]
                reader, writer = await asyncio.open_connection(*address, ssl=authority.trusting())
                assert int(await reader.read()) >= 0
                writer.close()
                with pytest.raises(ConnectionError):  # for the oldest the end has come
                    assert await silent[0][0].read() == b""
                    raise ConnectionResetError
                for _, each in silent:
                    each.close()
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


class Full(socket.socket):
    """A listener of a process that may have no more file descriptors, at first."""

    refused = 0

    def accept(self) -> tuple[socket.socket, object]:
        if not self.refused:
            self.refused += 1
            raise OSError(24, "Too many open files")
        return super().accept()


async def test_without_file_descriptors_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.05)
    with closing(Full()) as listener:
        listener.bind(("127.0.0.1", 0))
        with closing(Acceptor(listener, Echo, 100)):
            await heard(listener.getsockname()[1])
        assert listener.refused == 1
