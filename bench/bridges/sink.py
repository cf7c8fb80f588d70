"""A subscriber that does nothing but count: what the broker can deliver at most. `python sink.py MQTT_PORT QOS`.

It prints `ready`, then its count whenever that has grown. Only what it needs of MQTT 5 (OASIS, sections 3.1 to 3.9).
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import NamedTuple

__all__ = ["Walked", "walk"]

KEEPALIVE_SECONDS = 65_535  # no ping within a run
COUNT_SECONDS = 0.02
READ_BYTES = 65_536
NAP_SECONDS = 0.001  # lets packets gather: a read for each of them would take the CPU from the broker
SUBACK = 0x90


class Walked(NamedTuple):
    """What a piece of a stream held: PUBLISH packets, the PUBACKs that they want, whether there was a SUBACK, and
    how many bytes the whole packets took; the rest is the beginning of the next one."""

    publishes: int
    acks: bytes
    subscribed: bool
    size: int


def walk(stream: bytes) -> Walked:
    """The packets of a stream that starts at a packet. Reads headers only, and packet ids at QoS 1."""
    at = start = publishes = 0
    size, subscribed = len(stream), False
    acks = bytearray()
    while at + 2 <= size:
        first, length = stream[at], stream[at + 1]
        at += 2
        if length > 127:
            length, shift = length & 127, 7
            while at < size:
                digit = stream[at]
                length |= (digit & 127) << shift
                at, shift = at + 1, shift + 7
                if digit < 128:
                    break
            else:
                break  # the length itself is cut off
        end = at + length
        if end > size:
            break
        if first & 0xF0 == 0x30:
            publishes += 1
            if first & 0x06:
                id = at + 2 + (stream[at] << 8 | stream[at + 1])
                acks += b"\x40\x02" + stream[id : id + 2]
        elif first == SUBACK:
            subscribed = True
        at = start = end
    return Walked(publishes, bytes(acks), subscribed, start)


def _packet(first: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes((first, len(body))) + body


def _hello(qos: int) -> bytes:
    connect = b"\x00\x04MQTT\x05\x02" + struct.pack(">H", KEEPALIVE_SECONDS) + b"\x00" + b"\x00\x0abench-sink"
    subscribe = b"\x00\x01\x00" + b"\x00\x08fleets/#" + bytes((qos,))
    return _packet(0x10, connect) + _packet(0x82, subscribe)


def main(mqtt_port: int, qos: int) -> None:
    """Runs until it is stopped, or the broker goes away."""
    with socket.create_connection(("127.0.0.1", mqtt_port)) as broker:
        broker.sendall(_hello(qos))
        broker.settimeout(COUNT_SECONDS)
        rest, count, said, due = b"", 0, 0, 0.0
        while True:
            try:
                data = broker.recv(READ_BYTES)
            except TimeoutError:
                data = None
            if data == b"":
                return
            if data:
                stream = rest + data
                walked = walk(stream)
                rest = stream[walked.size :]
                count += walked.publishes
                if walked.acks:
                    broker.sendall(walked.acks)
                if walked.subscribed:
                    print("ready", flush=True)
                if len(data) < READ_BYTES:
                    time.sleep(NAP_SECONDS)
            if count != said and time.monotonic() >= due:
                said, due = count, time.monotonic() + COUNT_SECONDS
                print(count, flush=True)


if __name__ == "__main__":
    port, qos = sys.argv[1:]
    main(int(port), int(qos))
