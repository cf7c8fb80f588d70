"""Accepts connections, many at a time.

libuv, and so uvloop, accepts one connection in each turn of the loop. When a thousand clients come back at once,
turns get long: the last of them waited 20 s at the door, and 5 s since.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

__all__ = ["Acceptor"]

log = logging.getLogger("fleetwire.acceptor")

AT_ONCE = 16  # in a turn of the loop: those who are served already wait meanwhile
PAUSE_SECONDS = 1.0
HANDSHAKE_SECONDS = 10.0  # of TLS


class Acceptor:
    """Gives each connection of a listening socket to a protocol of its own, until it is closed; with `tls`, once its
    handshake is done. When more than `most` are at that, the oldest goes: whoever means it is quicker."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        backlog: int,
        tls: ssl.SSLContext | None = None,
        most: int = 2_048,
    ) -> None:
        listener.setblocking(False)
        listener.listen(backlog)
        self._listener = listener
        self._protocol = protocol
        self._tls = tls
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._tasks: dict[asyncio.Task[object], None] = {}
        self._listen()

    def close(self) -> None:
        """Accept no more."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptor is left: there may be one later
                log.error("no connection can be accepted: %s", error)
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(PAUSE_SECONDS, self._listen)
                return
            task = self._loop.create_task(self._begin(connection), name="accept")
            self._tasks[task] = None
            task.add_done_callback(self._tasks.pop)
            if len(self._tasks) > self._most:
                next(iter(self._tasks)).cancel()

    async def _begin(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                self._protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls else None,
            )
        except OSError:  # it has gone already, or its handshake did not succeed in time
            connection.close()
