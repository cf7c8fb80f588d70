"""Connections to a node by the thousand: as many sockets, opened with a few connects under way at a time."""

from __future__ import annotations

import resource
import select
import socket
from contextlib import suppress

from bench.websocket import upgrade
from wire.errors import Unavailable

__all__ = ["allow_files", "connect", "open_all"]

IN_FLIGHT = 500  # connects under way: far below the backlog (2,048), so that the kernel drops none
PER_ADDRESS = 20_000  # connections from one address, so that its ports (28,000) don't run short
SPARE_FILES = 200
SILENCE_SECONDS = 10
READ_BYTES = 4_096


def allow_files(connections: int) -> None:
    """Let this process, and those that it starts from now on, have so many connections open. Raises Unavailable when
    the hard limit of the machine is lower."""
    wanted = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Unavailable(
            f"{connections:,} connections want {wanted:,} open files, and the hard limit is {hard:,} (ulimit -Hn): "
            "raise it, or ask for fewer connections"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def open_all(port: int, count: int, receive_bytes: int = 0) -> list[socket.socket]:
    """Non-blocking WebSocket connections, upgraded. `receive_bytes`: the kernel's buffer for what a client has not
    read yet; 0: as the kernel likes.

    Raises Unavailable when the node does not take them."""
    opened: list[socket.socket] = []
    under_way: dict[int, tuple[socket.socket, bytes]] = {}
    started = 0
    with select.epoll() as poll:
        while len(opened) < count:
            while started < count and len(under_way) < IN_FLIGHT:
                connection = connect(port, f"127.0.0.{1 + started // PER_ADDRESS}", receive_bytes)
                poll.register(connection, select.EPOLLIN)
                under_way[connection.fileno()] = connection, b""
                started += 1
            ready = poll.poll(SILENCE_SECONDS)
            if not ready:
                raise Unavailable(f"the node took {len(opened):,} of {count:,} connections, and then no more")
            for number, _ in ready:
                connection, head = under_way[number]
                head += _read(connection)
                under_way[number] = connection, head
                if head.endswith(b"\r\n\r\n"):  # nothing comes after it before we have asked for something
                    if b" 101 " not in head[:16]:
                        status = head.partition(b"\r\n")[0].decode("latin-1")
                        raise Unavailable(f"the node refused a connection: {status}")
                    poll.unregister(connection)
                    del under_way[number]
                    opened.append(connection)
    return opened


def connect(port: int, source: str = "127.0.0.1", receive_bytes: int = 0) -> socket.socket:
    """A non-blocking connection from an address of this machine, on which the upgrade was asked for.

    Raises Unavailable when nobody listens."""
    connection = socket.socket()
    try:
        if receive_bytes:  # before the connect: it says which window is offered
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(SILENCE_SECONDS)
        if source != "127.0.0.1":
            connection.bind((source, 0))
        connection.connect(("127.0.0.1", port))  # the kernel answers, at once
        connection.sendall(upgrade(port))
        connection.setblocking(False)
    except OSError as error:
        connection.close()
        raise Unavailable(f"no connection to the node: {error}") from None
    return connection


def _read(connection: socket.socket) -> bytes:
    with suppress(OSError):
        if data := connection.recv(READ_BYTES):
            return data
    raise Unavailable("the node closed a connection before it was open")
