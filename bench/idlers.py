"""The clients of `bench.idle`: idle connections that all ask for the same, in a process of their own."""

from __future__ import annotations

import select
import socket
import sys
import time

from bench.child import say
from bench.crowd import open_all
from bench.websocket import CLOSE, PING, Cutter, pong, subscribe
from wire.errors import Unavailable

READ_BYTES = 4_096
EVENTS = 1_000
SILENCE_SECONDS = 10


class Idlers:
    """Connections to the node on a port, of which all or none are asked for something."""

    def __init__(self, port: int, count: int) -> None:
        self._connections = {one.fileno(): (one, Cutter()) for one in open_all(port, count)}
        self._poll = select.epoll()
        for number in self._connections:
            self._poll.register(number, select.EPOLLIN)

    def subscribe(self, topic: str) -> int:
        """Ask for a topic on each, and wait for reply and snapshot: how many have both."""
        command = subscribe(topic, interval=0)
        for connection, _ in self._connections.values():
            connection.send(command)
        return len(self.hear(b'"snapshot":true'))

    def hear(self, mark: bytes) -> list[float]:
        """When each of them had a frame with this in it, at first (time.monotonic); those that waited in vain have
        no time. Raises Unavailable when the node closes one."""
        waiting = set(self._connections)
        times = []
        while waiting and (ready := self._poll.poll(SILENCE_SECONDS, EVENTS)):
            for number, _ in ready:
                if self._has(number, mark) and number in waiting:
                    times.append(time.monotonic())
                    waiting.discard(number)
        return times

    def _has(self, number: int, mark: bytes) -> bool:
        connection, cutter = self._connections[number]
        found = False
        for frame in cutter.feed(_read(connection)):
            if frame.opcode == PING:
                connection.send(pong(frame))
            elif frame.opcode == CLOSE:
                raise Unavailable(f"the node closed a connection: {int.from_bytes(frame.payload[:2], 'big')}")
            found |= mark in frame.payload
        return found


def _read(connection: socket.socket) -> bytes:
    try:
        if data := connection.recv(READ_BYTES):
            return data
    except OSError as error:
        raise Unavailable(f"the node lost a connection: {error}") from None
    raise Unavailable("the node closed a connection")


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    try:
        began = time.monotonic()
        idlers = Idlers(port, count)
        say(seconds=time.monotonic() - began)
        for line in sys.stdin:
            match line.split():
                case ["subscribe", topic]:
                    began = time.monotonic()
                    say(count=idlers.subscribe(topic), seconds=time.monotonic() - began)
                case ["hear", mark]:
                    say()  # from now on
                    times = idlers.hear(mark.encode())
                    say(count=len(times), first=min(times, default=0), last=max(times, default=0))
    except Unavailable as error:
        say(error=str(error))


if __name__ == "__main__":
    main()
