"""A load of MQTT publishes, faster than any client library: packets are made beforehand and written in chunks.

Only what a benchmark needs of MQTT 3.1.1 (OASIS, sections 3.1 to 3.4, 3.12): CONNECT, PUBLISH and counting answers.
QoS 1 has its PUBACKs. At QoS 0 a PINGREQ follows every chunk: its answer says that the broker has read so far, where
the sockets alone would swallow a hundred thousand readings at once.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Load", "connect", "packet", "publish", "string"]

KEEPALIVE_SECONDS = 60  # rumqttd refuses 0
WINDOW = 500  # publishes in flight on a connection
CHUNK = 100  # packets that are written together, at most
PINGREQ = b"\xc0\x00"
PINGRESP_BYTES, PUBACK_BYTES = 2, 4
NOW = b"1000000000000"  # where a packet's time of sending goes, in ms


class Load(NamedTuple):
    """What is published: so many readings, of `signals` signals each, from the vehicles in turn; a vehicle keeps to
    one of the connections. `per_second` 0 is as fast as the broker takes them."""

    port: int
    fleet: str
    vehicles: int
    readings: int
    qos: int
    per_second: float
    signals: int = 7
    connections: int = 1


class Times(NamedTuple):
    """When the first publish was written and the last one was taken: time.monotonic()."""

    started: float
    ended: float


def _length(size: int) -> bytes:
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | 0x80 if size else digit)
        if not size:
            return bytes(encoded)


def packet(first: int, body: bytes) -> bytes:
    """An MQTT packet with its fixed header."""
    return bytes((first,)) + _length(len(body)) + body


def string(text: str) -> bytes:
    """A UTF-8 string with its length before it."""
    return struct.pack(">H", len(text)) + text.encode()


def connect(client_id: str) -> bytes:
    """CONNECT of MQTT 3.1.1, with a clean session."""
    return packet(0x10, string("MQTT") + bytes((4, 2)) + struct.pack(">H", KEEPALIVE_SECONDS) + string(client_id))


def _reading(vehicle: int, seq: int, signals: int) -> bytes:
    """About 120 bytes with three signals, 200 with seven."""
    values = (
        f'"Speed":{seq % 120}.5',
        f'"CurrentLocation.Latitude":52.5{vehicle:04d}',
        f'"CurrentLocation.Longitude":13.4{seq % 1000:03d}',
        f'"CurrentLocation.Heading":{seq % 360}',
        f'"TraveledDistance":{1000 + seq}.25',
        f'"StateOfCharge":{seq % 100}',
        '"IsMoving":true',
    )
    return b'{"ts":' + NOW + f',"seq":{seq},"values":{{{",".join(values[:signals])}}}}}'.encode()


def _packets(load: Load, connection: int) -> Iterator[bytes]:
    sent = 0
    for start in range(0, load.readings, load.vehicles):
        for number in range(start + connection, min(start + load.vehicles, load.readings), load.connections):
            vehicle, seq = number % load.vehicles, number // load.vehicles + 1
            topic = string(f"fleets/{load.fleet}/v{vehicle}/telemetry")
            id = struct.pack(">H", sent % 65_535 + 1) if load.qos else b""
            yield packet(0x32 if load.qos else 0x30, topic + id + _reading(vehicle, seq, load.signals))
            sent += 1


class _Connection:
    """One connection with its share of the load."""

    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._client_id = f"bench-{load.fleet}-{number}"
        self._each = load.per_second / load.connections
        # Paced, a chunk is a millisecond's worth. No vehicle is twice in one, so that its times grow.
        self._size = min(CHUNK, load.vehicles // load.connections, int(self._each // 1000) if self._each else CHUNK)
        self._size = max(self._size, 1)
        packets = list(_packets(load, number))
        self._count = len(packets)
        self._chunks = [b"".join(packets[at : at + self._size]) for at in range(0, len(packets), self._size)]
        self._pinged = CHUNK // self._size  # chunks that a ping is for
        self._taken = 0
        self._moved = asyncio.Event()

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._load.port)
        self._writer.write(connect(self._client_id))
        await self._reader.readexactly(4)  # CONNACK

    async def run(self, started: float) -> None:
        async with asyncio.TaskGroup() as group:
            answers = group.create_task(self._count_answers())
            sent = 0
            for number, chunk in enumerate(self._chunks, 1):
                if self._each and (ahead := started + sent / self._each - time.monotonic()) > 0.001:
                    await asyncio.sleep(ahead)
                await self._room(sent + self._size - WINDOW)
                self._writer.write(chunk.replace(NOW, b"%d" % (time.time_ns() // 1_000_000)))
                if not self._load.qos and (number % self._pinged == 0 or number == len(self._chunks)):
                    self._writer.write(PINGREQ)
                await self._writer.drain()
                sent += self._size
            await self._room(self._count)
            answers.cancel()
        self._writer.write(b"\xe0\x00")  # DISCONNECT
        self._writer.close()
        await self._writer.wait_closed()

    async def _room(self, taken: int) -> None:
        """Until the broker has taken as many."""
        while self._taken < taken:
            self._moved.clear()
            await self._moved.wait()

    async def _count_answers(self) -> None:
        pinged = self._pinged * self._size
        received = 0
        while data := await self._reader.read(65_536):
            received += len(data)
            self._taken = received // PUBACK_BYTES if self._load.qos else received // PINGRESP_BYTES * pinged
            self._moved.set()
        raise ConnectionResetError("the broker closed the connection")


async def publish(load: Load) -> Times:
    """Publish it all. Raises OSError when the broker can't be reached or goes away."""
    connections = [_Connection(load, number) for number in range(load.connections)]
    for connection in connections:
        await connection.open()
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(connection.run(started))
    return Times(started, time.monotonic())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("fleet")
    parser.add_argument("vehicles", type=int)
    parser.add_argument("readings", type=int)
    parser.add_argument("qos", type=int, choices=(0, 1))
    parser.add_argument("per_second", type=float)
    parser.add_argument("--signals", type=int, default=7)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--times", action="store_true", help="print when it started and ended (time.monotonic)")
    arguments = vars(parser.parse_args())
    show = arguments.pop("times")
    try:
        times = asyncio.run(publish(Load(**arguments)))
    except* OSError as errors:
        sys.exit(f"the load stopped: {errors.exceptions[0]}")
    if show:
        print(*times)


if __name__ == "__main__":
    main()
