"""Many dashboards in one process that costs next to nothing: what arrives is counted, not parsed.

A marker that is in each reading just once is counted in the bytes as they come. Into every reading the load has
written when it was sent; of a few, drawn evenly over the bytes, it is read. The bytes of the first dashboard are
kept, and parsed when the clock has stopped: they must hold as many readings as were counted, in order and none twice.

When only some of them count, the kernel throws away what the others get, and says how many bytes it was. Pings are
not answered: uvicorn drops a dashboard after 40 s.
"""

from __future__ import annotations

import resource
import select
import socket
import sys
import time
from contextlib import suppress
from typing import Literal

import msgspec

from bench.child import say
from bench.counting import CARRY, Count, check
from bench.dialects import Dialect, mqtt, nats, ours, plain
from fleetwire.observer import percentile

__all__ = ["Dashboards", "Outcome", "Plan", "State"]

BUFFER = 1 << 20
KEPT = 256 << 20  # bytes of the first dashboard that are kept, at most
PATIENCE_SECONDS = 10


class Plan(msgspec.Struct, frozen=True):
    """Dashboards to connect: how many, at which port and how; `counted` of them count. `every`: bytes from one
    reading whose latency is taken to the next, on the average."""

    protocol: Literal["ours", "nats", "mqtt", "plain"]
    port: int
    topic: str
    dashboards: int
    counted: int
    every: int
    format: str = "json"
    strategy: str = "batch"
    interval: int = 0

    def dialect(self, number: int) -> Dialect:
        """What dashboard `number` speaks."""
        match self.protocol:
            case "ours":
                return ours(self.format, self.strategy, self.interval, self.topic)
            case "nats":
                return nats(self.topic)
            case "mqtt":
                return mqtt(self.topic, f"dashboard-{number}")
            case _:
                return plain()

    def counting(self) -> set[int]:
        """The dashboards that count, evenly among all; the first is one of them."""
        return {number * self.dashboards // self.counted for number in range(self.counted)}


class State(msgspec.Struct, frozen=True):
    """What has come since the count began: `deliveries` in the `counted_bytes` of those who count; `bytes` of all.
    Also time.monotonic() of the last read, connections that were closed, and CPU of the process since it started."""

    deliveries: int
    counted_bytes: int
    bytes: int
    last_at: float
    closed: int
    cpu_s: float


class Outcome(msgspec.Struct, frozen=True):
    """At the end: the fewest deliveries at one who counts, the fewest bytes at one who does not (None: all do),
    latencies in ms, of how many readings, and what the check says."""

    fewest: int
    fewest_bytes: int | None
    p50_ms: float | None
    p99_ms: float | None
    samples: int
    wrong: str


class Dashboards:
    """All of them, on one epoll."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sockets: dict[int, socket.socket] = {}
        self._counts: dict[int, Count] = {}
        self._thrown: dict[int, int] = {}  # bytes of those who do not count
        self._buffer = bytearray(CARRY + BUFFER)
        self._view = memoryview(self._buffer)[CARRY:]
        self._first = -1
        self._begin()

    def open(self) -> None:
        """Connect and subscribe them all. Raises OSError when one is refused, or gets no answer."""
        counting = self._plan.counting()
        for number, (dialect, connection) in enumerate(_subscribed(self._plan)):
            self._sockets[connection.fileno()] = connection
            if number in counting:
                self._counts[connection.fileno()] = Count(dialect, self._plan.every)
            else:
                self._thrown[connection.fileno()] = 0
        self._first = next(iter(self._sockets))

    def serve(self) -> None:
        """Take what comes. Each line of stdin is answered: `begin` and `state` with a State, `end` by an Outcome."""
        stdin = sys.stdin.fileno()
        with select.epoll() as epoll:
            for fileno in (stdin, *self._sockets):
                epoll.register(fileno, select.EPOLLIN)
            while True:
                for fileno, _ in epoll.poll():
                    if fileno != stdin:
                        self._read(fileno)
                    elif not self._answer(sys.stdin.readline().strip()):
                        return

    def _answer(self, command: str) -> bool:
        match command:
            case "begin":
                self._begin()
                say(**msgspec.structs.asdict(self._state()))
            case "state":
                say(**msgspec.structs.asdict(self._state()))
            case "end":
                say(**msgspec.structs.asdict(self._outcome()))
        return bool(command)

    def _read(self, fileno: int) -> None:
        count = self._counts.get(fileno)
        size = 0
        try:
            size = self._sockets[fileno].recv_into(self._view, 0, 0 if count else socket.MSG_TRUNC)
        except BlockingIOError:
            return
        except ConnectionError:
            pass
        if not size:
            self._sockets[fileno].close()  # epoll forgets it
            self._closed += 1
        elif count:
            count.take(self._buffer, size)
            self._last_at = time.monotonic()
            if fileno == self._first and self._kept_bytes < KEPT:
                self._kept.append(bytes(self._view[:size]))
                self._kept_bytes += size
        else:
            self._thrown[fileno] += size

    def _begin(self) -> None:
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._closed, self._last_at = 0, time.monotonic()
        self._thrown = dict.fromkeys(self._thrown, 0)
        for count in self._counts.values():
            count.begin()

    def _state(self) -> State:
        counted_bytes = sum(count.bytes for count in self._counts.values())
        used = resource.getrusage(resource.RUSAGE_SELF)
        return State(
            deliveries=sum(count.deliveries for count in self._counts.values()),
            counted_bytes=counted_bytes,
            bytes=counted_bytes + sum(self._thrown.values()),
            last_at=self._last_at,
            closed=self._closed,
            cpu_s=used.ru_utime + used.ru_stime,
        )

    def _outcome(self) -> Outcome:
        first = self._counts[self._first]
        wrong = ""
        if self._kept_bytes == first.bytes:
            wrong = check(self._plan.dialect(0), b"".join(self._kept), first.deliveries)
        latencies = [latency for count in self._counts.values() for latency in count.latencies]
        return Outcome(
            fewest=min(count.deliveries for count in self._counts.values()),
            fewest_bytes=min(self._thrown.values(), default=None),
            p50_ms=_ms(percentile(latencies, 0.5)),
            p99_ms=_ms(percentile(latencies, 0.99)),
            samples=len(latencies),
            wrong=wrong,
        )


def _ms(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1000


def _subscribed(plan: Plan) -> list[tuple[Dialect, socket.socket]]:
    """All of them at once: mosquitto takes 0.2 s for an answer, however many there are."""
    opened = [(plan.dialect(number), _connected(plan.port)) for number in range(plan.dashboards)]
    for dialect, connection in opened:
        connection.sendall(dialect.upgrade(plan.port))
    for dialect, connection in opened:
        if b" 101 " not in (answer := _heard(connection, b"\r\n\r\n")):
            raise ConnectionRefusedError(f"a dashboard is refused: {answer[:300]!r}")
        connection.sendall(dialect.hello)
    for dialect, connection in opened:
        if dialect.hello:
            _heard(connection, dialect.welcome)
        connection.setblocking(False)
    return opened


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _heard(connection: socket.socket, end: bytes) -> bytes:
    """What came, up to and with `end`. Nothing is under way behind it: the load has not begun."""
    heard = b""
    while end not in heard:
        data = b""
        with suppress(TimeoutError):
            data = connection.recv(65_536)
        if not data:
            raise ConnectionRefusedError(f"a dashboard gets no answer but {heard[-300:]!r}")
        heard += data
    return heard


def main() -> None:
    dashboards = Dashboards(msgspec.json.decode(sys.argv[1].encode(), type=Plan))
    try:
        dashboards.open()
    except OSError as error:
        say(error=f"{error}")
        sys.exit(1)
    say(ready=True)
    dashboards.serve()


if __name__ == "__main__":
    main()
