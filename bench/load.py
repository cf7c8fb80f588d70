"""A load of MQTT publishes, faster than any client library: packets are written ready-made.

Only what a benchmark needs of MQTT 3.1.1 (OASIS, sections 3.1 to 3.4): CONNECT, PUBLISH and counting PUBACKs.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from collections.abc import Iterator

__all__ = ["publish"]

KEEPALIVE_SECONDS = 60  # rumqttd refuses 0
WINDOW = 500  # QoS 1 publishes in flight


def _length(size: int) -> bytes:
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | 0x80 if size else digit)
        if not size:
            return bytes(encoded)


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _length(len(body)) + body


def _string(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def _connect(client_id: str) -> bytes:
    return _packet(0x10, _string("MQTT") + bytes((4, 2)) + struct.pack(">H", KEEPALIVE_SECONDS) + _string(client_id))


def _readings(fleet: str, vehicles: int, count: int) -> Iterator[tuple[str, bytes]]:
    """A seven-signal reading for each vehicle in turn, about 200 bytes; `ts` is the time of sending."""
    for number in range(count):
        vehicle, seq = number % vehicles, number // vehicles + 1
        payload = (
            f'{{"ts":{time.time_ns() // 1_000_000},"seq":{seq},"values":{{"Speed":{seq % 120}.5,'
            f'"CurrentLocation.Latitude":52.5{vehicle:04d},"CurrentLocation.Longitude":13.4{seq % 1000:03d},'
            f'"CurrentLocation.Heading":{seq % 360},"TraveledDistance":{1000 + seq}.25,'
            f'"StateOfCharge":{seq % 100},"IsMoving":true}}}}'
        )
        yield f"fleets/{fleet}/v{vehicle}/telemetry", payload.encode()


async def publish(port: int, fleet: str, vehicles: int, count: int, qos: int, per_second: float) -> None:
    """Publish `count` readings; `per_second` 0 is as fast as the broker takes them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_connect(f"bench-{fleet}"))
    await reader.readexactly(4)  # CONNACK
    room = asyncio.Semaphore(WINDOW)
    acks = asyncio.create_task(_count_acks(reader, room)) if qos else None
    started = time.perf_counter()
    for number, (topic, payload) in enumerate(_readings(fleet, vehicles, count)):
        if per_second and (ahead := started + number / per_second - time.perf_counter()) > 0.001:
            await asyncio.sleep(ahead)
        if qos:
            await room.acquire()
            id = struct.pack(">H", number % 65_535 + 1)
            writer.write(_packet(0x32, _string(topic) + id + payload))
        else:
            writer.write(_packet(0x30, _string(topic) + payload))
        if number % 32 == 0:
            await writer.drain()
    for _ in range(WINDOW if qos else 0):
        await room.acquire()
    if acks is not None:
        acks.cancel()
    writer.write(b"\xe0\x00")  # DISCONNECT
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _count_acks(reader: asyncio.StreamReader, room: asyncio.Semaphore) -> None:
    while True:
        await reader.readexactly(4)  # PUBACK
        room.release()


if __name__ == "__main__":
    port, fleet, vehicles, count, qos, per_second = sys.argv[1:]
    asyncio.run(publish(int(port), fleet, int(vehicles), int(count), int(qos), float(per_second)))
