"""The attackers of `bench.hostile`: so many connections that do one bad thing, in a process of their own.

They run as nice as can be (19): they are there to take the node's time, not the machine's.
"""

from __future__ import annotations

import os
import random
import select
import socket
import sys
import time
from contextlib import suppress

import msgspec

from bench.child import say
from bench.load import connect as mqtt_connect
from bench.load import packet, string
from bench.websocket import TEXT, Cutter, frame, subscribe, upgrade
from wire.clock import now_ms

__all__ = ["ROLES"]

READ_BYTES = 65_536
MUTE_BYTES = 4_096  # the kernel's, of those that never read
EVENTS = 500
TICK_SECONDS = 0.05
PAUSE_SECONDS = 0.2  # of all of a role, when the node takes no more of them
BINARY, CONTINUATION, PING = 0x2, 0x0, 0x9
SIGNALS = 300
READINGS_PER_SECOND = 5_000

# What is written for ever, by one connection of a crowd each.
NONSENSE = (
    frame(TEXT, b'{"action":"dance","requestId":"1"}') * 500,
    frame(TEXT, b"") * 5_000,
    frame(TEXT, b'{"action":' * 20) * 200,
    frame(BINARY, b"\x00\xff" * 30_000),
    frame(PING, b"x" * 100) * 500,
    frame(TEXT, b'{"action":"get","requestId":"1","topic":"fleets/#/x"}') * 500,
    bytes((TEXT, 0x80)) + bytes(4) + bytes((CONTINUATION, 0x80, 0, 0, 0, 0)) * 5_000,
    b"\xff" * 10_000,
)
HEADS = (b"", b"GET /v1/st", b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: webso")
CHURNED = 2  # subscriptions at a time of one of those who come and go


class Fault(msgspec.Struct):
    """What is wrong, by a reply."""

    reason: str


class Reply(msgspec.Struct, rename="camel"):
    """What those who come and go need of a reply."""

    action: str = ""
    request_id: str = ""
    subscription_id: str = ""
    error: Fault | None = None


class Attacker:
    """One connection, and what it does with it. `events`: what it wants to be told of."""

    receive_bytes = 0
    first = select.EPOLLIN

    def __init__(self, number: int, port: int, address: str) -> None:
        self.number = number
        self._port = port
        self._address = address

    def open(self) -> None:
        """Raises OSError when that is refused."""
        self.events = self.first
        self.socket = socket.socket()
        if self.receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        self.socket.settimeout(1)
        self.socket.bind((self._address, 0))
        self.socket.connect(("127.0.0.1", self._port))
        self.socket.setblocking(False)
        self.socket.send(self.head())

    def head(self) -> bytes:
        """What it says first."""
        return upgrade(self._port)

    def read(self) -> bool:
        """Something came: whether the connection is still there."""
        return bool(self.socket.recv(READ_BYTES))

    def write(self) -> None:
        """It may write."""


class HalfOpen(Attacker):
    """Begins to say what it wants, or not even that."""

    def head(self) -> bytes:
        return HEADS[self.number % len(HEADS)]


class Mute(Attacker):
    """Wants everything, and reads nothing of it."""

    receive_bytes = MUTE_BYTES

    def read(self) -> bool:
        if self.events != self.first:
            return False
        self.events = select.EPOLLRDHUP
        self.socket.send(subscribe("#", interval=0, strategy=("latest", "batch")[self.number % 2]))
        return super().read()


class Garbage(Attacker):
    """Writes nonsense as fast as it can."""

    def open(self) -> None:
        super().open()
        self._rest = b""

    def read(self) -> bool:
        self.events = select.EPOLLIN | select.EPOLLOUT
        return super().read()

    def write(self) -> None:
        data = self._rest or NONSENSE[self.number % len(NONSENSE)]
        self._rest = data[self.socket.send(data) :]


class Churn(Attacker):
    """Subscribes and unsubscribes as fast as it can, to something else each time: so many at a time."""

    def open(self) -> None:
        super().open()
        self._head = b""
        self._cutter: Cutter | None = None

    def read(self) -> bool:
        data = self.socket.recv(READ_BYTES)
        if self._cutter is None:
            self._head += data
            if self._head.endswith(b"\r\n\r\n"):
                self._cutter = Cutter()
                self.socket.send(b"".join(self._subscribe() for _ in range(CHURNED)))
            return bool(data)
        replies = [one.payload for one in self._cutter.feed(data) if b'"requestId"' in one.payload]
        self.socket.send(b"".join(map(self._next, replies)))
        return bool(data)

    def _next(self, reply: bytes) -> bytes:
        """What it says to a reply."""
        said = msgspec.json.decode(reply, type=Reply)
        if said.action == "subscribe" and said.error is None:
            return self._unsubscribe(said.subscription_id)
        if said.action == "unsubscribe" and said.error and said.error.reason == "too_many_commands":
            return self._unsubscribe(said.request_id)
        return self._subscribe()

    def _subscribe(self) -> bytes:
        topics = ("#", "fleets/+/+/telemetry", f"fleets/hostile/v{random.randrange(100)}/telemetry")
        return subscribe(random.choice(topics), interval=random.randrange(60_000))

    def _unsubscribe(self, id: str) -> bytes:
        command = {"action": "unsubscribe", "requestId": id, "subscriptionId": id}
        return frame(TEXT, msgspec.json.encode(command))


class Device(Attacker):
    """Publishes far too much, over MQTT."""

    first = select.EPOLLIN | select.EPOLLOUT

    def head(self) -> bytes:
        self._began, self._sent, self._rest = time.monotonic(), 0, b""
        return mqtt_connect(f"bench-evil-{self.number}")

    def write(self) -> None:
        if not self._rest:
            due = int((time.monotonic() - self._began) * READINGS_PER_SECOND) - self._sent
            if due <= 0:
                time.sleep(0.001)
                return
            self._sent += due
            self._rest = _reading() * min(due, 100)
        self._rest = self._rest[self.socket.send(self._rest) :]


def _reading() -> bytes:
    values = ",".join(f'"Signal{number}":{number}.5' for number in range(SIGNALS))
    body = f'{{"ts":{now_ms()},"values":{{{values}}}}}'.encode()
    return packet(0x30, string("fleets/evil/v1/telemetry") + body)


ROLES: dict[str, type[Attacker]] = {
    "half-open": HalfOpen,
    "mute": Mute,
    "garbage": Garbage,
    "churn": Churn,
    "device": Device,
}


class Crowd:
    """So many of a role. Whoever is thrown out comes back at once. `opened`: connections so far."""

    def __init__(self, role: str, port: int, count: int) -> None:
        address = f"127.0.1.{1 + list(ROLES).index(role)}"
        self._outside = [ROLES[role](number, port, address) for number in range(count)]
        self._inside: dict[int, Attacker] = {}
        self._poll = select.epoll()
        self._again = 0.0
        self.opened = 0

    def attack(self) -> None:
        """Until standard input ends; say how many connections there were for each line that comes there."""
        self._poll.register(sys.stdin, select.EPOLLIN)
        while True:
            if self._outside and time.monotonic() >= self._again:
                self._come_back()
            for number, events in self._poll.poll(TICK_SECONDS, EVENTS):
                if number == sys.stdin.fileno():
                    if not sys.stdin.readline():
                        return
                    say(opened=self.opened, inside=len(self._inside))
                else:
                    self._turn(number, events)

    def _come_back(self) -> None:
        for _ in range(min(100, len(self._outside))):
            attacker = self._outside.pop()
            try:
                attacker.open()
            except OSError:
                attacker.socket.close()
                self._outside.append(attacker)
                self._again = time.monotonic() + PAUSE_SECONDS
                return
            self.opened += 1
            self._inside[attacker.socket.fileno()] = attacker
            self._poll.register(attacker.socket, attacker.events)

    def _turn(self, number: int, events: int) -> None:
        attacker = self._inside[number]
        before = attacker.events
        try:
            with suppress(BlockingIOError):
                if events & select.EPOLLOUT:
                    attacker.write()
                if events & ~select.EPOLLOUT and not attacker.read():
                    raise ConnectionResetError
            if attacker.events != before:
                self._poll.modify(number, attacker.events)
        except OSError:
            self._poll.unregister(number)
            del self._inside[number]
            attacker.socket.close()
            self._outside.append(attacker)


def main() -> None:
    os.nice(19)
    role, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    Crowd(role, port, count).attack()


if __name__ == "__main__":
    main()
