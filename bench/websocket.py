"""WebSocket frames by hand (RFC 6455), as little of it as a benchmark's clients need. Pure."""

from __future__ import annotations

import base64
import os
import struct
from typing import Any, NamedTuple

import msgspec

__all__ = ["CLOSE", "PING", "TEXT", "Cutter", "Frame", "frame", "pong", "subscribe", "upgrade"]

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
FIN, MASKED = 0x80, 0x80
SHORT = 126  # from this size on the length is written behind, in two bytes or (127) eight


class Frame(NamedTuple):
    """One frame of the server's."""

    opcode: int
    payload: bytes


class Cutter:
    """Cuts what a server sends into frames, however it arrives."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with this. Raises ValueError for what a node never sends: fragments,
        extensions, a mask."""
        if self._rest:
            data = self._rest + data
        frames, at = [], 0
        while (span := _payload(data, at)) is not None:
            frames.append(Frame(data[at] & 0x0F, data[span[0] : span[1]]))
            at = span[1]
        self._rest = data[at:]
        return frames


def _payload(data: bytes, at: int) -> tuple[int, int] | None:
    """From where to where the payload of the frame at a place goes; None when it is not all there."""
    begin = at + 2
    if len(data) < begin:
        return None
    first, size = data[at], data[at + 1]
    if first & 0xF0 != FIN or not first & 0x0F or size & MASKED:
        raise ValueError(f"no frame of a node begins with {data[at:begin].hex()}")
    if size >= SHORT:
        form = ">H" if size == SHORT else ">Q"
        begin += struct.calcsize(form)
        if len(data) < begin:
            return None
        (size,) = struct.unpack_from(form, data, at + 2)
    return (begin, begin + size) if len(data) >= begin + size else None


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame, masked as it must be, of less than 64 KiB."""
    size, mask = len(payload), os.urandom(4)
    length = bytes((MASKED | size,)) if size < SHORT else struct.pack(">BH", MASKED | SHORT, size)
    key = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return bytes((FIN | opcode,)) + length + mask + masked.to_bytes(size, "big")


def pong(ping: Frame) -> bytes:
    """The answer to a ping."""
    return frame(PONG, ping.payload)


def subscribe(topic: str, **fields: Any) -> bytes:
    """A subscribe command in JSON, as a frame. Its request id is `subscribe`."""
    command = {"action": "subscribe", "requestId": "subscribe", "topic": topic, **fields}
    return frame(TEXT, msgspec.json.encode(command))


def upgrade(port: int) -> bytes:
    """The request that opens a connection to the node on a port of this machine, for JSON."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = (
        "GET /v1/stream HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: fleetwire.v1.json",
    )
    return "\r\n".join((*lines, "", "")).encode()
