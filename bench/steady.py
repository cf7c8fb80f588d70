"""A steady load of readings over MQTT at QoS 0: bursts at given times, each reading stamped when it is written.

The readings are made beforehand; what is left to do for a burst is to put the time in. The vehicles come in turn, and
a vehicle keeps to one of the connections.
"""

from __future__ import annotations

import argparse
import resource
import socket
import sys
import time
from typing import NamedTuple

import msgspec

from bench.child import say
from bench.load import connect, packet, string

__all__ = ["Burst", "Published", "Steady", "payload", "publish"]

# What is replaced when a reading is written, each as long as what comes in its place.
TS, SEQ, SENT = b"1000000000000", b"2000000", b"3000000000000000"
FIRST_SEQ = 2_000_001
PATIENCE_SECONDS = 30  # a broker that can't keep up reads late
DISCONNECT, PINGREQ, PINGRESP = b"\xe0\x00", b"\xc0\x00", b"\xd0\x00"


class Steady(NamedTuple):
    """So many readings a second for so many seconds, a burst each `every_ms`, from all vehicles in turn."""

    port: int
    fleet: str
    vehicles: int
    per_second: float
    seconds: float
    every_ms: float
    connections: int = 10


class Published(msgspec.Struct, frozen=True):
    """What came of it. `started`: time.monotonic() of the first burst. `late_s`: the most that a burst was behind its
    time, or the broker's last answer behind the end."""

    readings: int
    started: float
    late_s: float
    cpu_s: float


def payload(vehicle: int) -> bytes:
    """About 200 bytes with seven signals, always as many for each vehicle; times and number are yet to come."""
    values = (
        b'"Speed":54.5,"CurrentLocation.Latitude":52.5%04d1,"CurrentLocation.Longitude":13.4%04d1,'
        b'"CurrentLocation.Heading":270,"TraveledDistance":12345.25,"StateOfCharge":55,"Sent":'
    ) % (vehicle, vehicle)
    return b'{"ts":' + TS + b',"seq":' + SEQ + b',"values":{' + values + SENT + b"}}"


class Burst:
    """The packets of all vehicles, and which come next."""

    def __init__(self, load: Steady) -> None:
        self._packets = [
            packet(0x30, string(f"fleets/{load.fleet}/v{vehicle:04d}/telemetry") + payload(vehicle))
            for vehicle in range(load.vehicles)
        ]
        self._connections = load.connections
        self.sent = 0

    def next(self, count: int) -> list[bytes]:
        """Of the next `count` readings, what goes to each connection; the time of sending is still missing."""
        chunks = [b""] * self._connections
        while count:
            cycle, first = divmod(self.sent, len(self._packets))
            taken = min(count, len(self._packets) - first)
            seq = b"%d" % (FIRST_SEQ + cycle)
            for number in range(min(taken, self._connections)):
                packets = self._packets[first + number : first + taken : self._connections]
                chunks[(first + number) % self._connections] += b"".join(packets).replace(SEQ, seq)
            self.sent, count = self.sent + taken, count - taken
        return chunks


def _open(load: Steady, number: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", load.port), PATIENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(connect(f"bench-{load.fleet}-{number}"))
    if len(connection.recv(4, socket.MSG_WAITALL)) < 4:  # CONNACK
        raise ConnectionResetError("the broker closed the connection")
    return connection


def publish(load: Steady) -> Published:
    """Publish it all. Raises OSError when the broker can't be reached, goes away or takes nothing for seconds."""
    burst = Burst(load)
    connections = [_open(load, number) for number in range(load.connections)]
    total, late, started = round(load.per_second * load.seconds), 0.0, time.monotonic()
    tick = 0
    while burst.sent < total:
        due = started + tick * load.every_ms / 1000
        if (ahead := due - time.monotonic()) > 0:
            time.sleep(ahead)
        tick += 1
        count = min(total, int(load.per_second * load.every_ms / 1000 * tick + 1e-6)) - burst.sent
        for connection, chunk in zip(connections, burst.next(count), strict=True):
            if chunk:
                sent = time.time_ns() // 1000
                connection.sendall(chunk.replace(SENT, b"%d" % sent).replace(TS, b"%d" % (sent // 1000)))
        late = max(late, time.monotonic() - due)
    for connection in connections:
        connection.sendall(PINGREQ)
    for connection in connections:
        connection.recv(len(PINGRESP), socket.MSG_WAITALL)
        connection.sendall(DISCONNECT)
        connection.close()
    late = max(late, time.monotonic() - started - tick * load.every_ms / 1000)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Published(burst.sent, started, late, used.ru_utime + used.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("fleet")
    parser.add_argument("vehicles", type=int)
    parser.add_argument("per_second", type=float)
    parser.add_argument("seconds", type=float)
    parser.add_argument("every_ms", type=float)
    parser.add_argument("--connections", type=int, default=10)
    arguments = parser.parse_args()
    try:
        say(**msgspec.structs.asdict(publish(Steady(**vars(arguments)))))
    except OSError as error:
        say(error=f"the load stopped: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
