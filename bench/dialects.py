"""What a dashboard says, and what it hears, in each protocol: ours, NATS and MQTT over WebSocket, and plain JSON."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from bench.load import connect, packet, string
from bench.websocket import TEXT, frame

__all__ = ["BINARY", "MARKER", "Dialect", "Wrong", "frames", "mqtt", "nats", "ours", "plain"]

MARKER = b"values"  # once in each reading, whatever the protocol
JSON_SENT, MSGPACK_SENT = b'Sent":', b"Sent\xcf"
BINARY = 0x2
MQTT_HEAD = re.compile(rb"[^\0]([\x80-\xff]{0,3}[\0-\x7f])", re.DOTALL)  # kind; length
DIGITS = 16  # of epoch microseconds


class Wrong(Exception):
    """Bytes that are not what the protocol allows, or say that something was lost."""


class Dialect(NamedTuple):
    """How dashboards speak to a subject: `hello` is sent after the upgrade, `welcome` is the end of the answer.

    `readings` takes the payloads of all frames, and gives topic and time of sending (µs) of each reading."""

    path: str
    subprotocol: str
    hello: bytes
    welcome: bytes
    readings: Callable[[Iterable[bytes]], Iterator[tuple[str, int]]]
    sent: bytes = JSON_SENT

    def upgrade(self, port: int) -> bytes:
        """The request for a WebSocket."""
        key = base64.b64encode(bytes(16)).decode()
        lines = (
            f"GET {self.path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
            *((f"Sec-WebSocket-Protocol: {self.subprotocol}",) if self.subprotocol else ()),
        )  # fmt: skip
        return "\r\n".join((*lines, "", "")).encode()

    def time_of(self, data: bytes | bytearray, at: int, end: int) -> int | None:
        """When the reading whose `sent` marker is at this place was sent, in µs; None when it is cut off."""
        start = at + len(self.sent)
        if self.sent == JSON_SENT:
            return int(data[start : start + DIGITS]) if start + DIGITS <= end else None
        return int.from_bytes(data[start : start + 8], "big") if start + 8 <= end else None


def frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Opcode and payload of each whole frame that a server has sent, and the rest. A fragment is a frame too."""
    found, at = [], 0
    while at + 2 <= len(data):
        opcode, size = data[at] & 0x0F, data[at + 1] & 0x7F
        start = at + 2 + {126: 2, 127: 8}.get(size, 0)
        if size > 125:
            size = int.from_bytes(data[at + 2 : start], "big")
        if start + size > len(data):
            break
        found.append((opcode, data[start : start + size]))
        at = start + size
    return found, data[at:]


def _events(decode: Callable[[bytes], Any]) -> Callable[[Iterable[bytes]], Iterator[tuple[str, int]]]:
    def readings(payloads: Iterable[bytes]) -> Iterator[tuple[str, int]]:
        for payload in payloads:
            event = decode(payload)
            if event["action"] != "subscription":
                raise Wrong(f"the node says {payload[:200]!r}")
            for item in event["data"]:
                yield item["topic"], item["values"]["Sent"]

    return readings


def ours(format: str, strategy: str, interval: int, topic: str) -> Dialect:
    """The node's own protocol, in either format."""
    command = {
        "action": "subscribe", "requestId": "1", "topic": topic,
        "strategy": strategy, "interval": interval, "snapshot": False,
    }  # fmt: skip
    path, subprotocol, welcome = "/v1/stream", f"fleetwire.v1.{format}", b"subscriptionId"
    if format == "json":
        hello = frame(TEXT, msgspec.json.encode(command))
        return Dialect(path, subprotocol, hello, welcome, _events(msgspec.json.decode))
    hello = frame(BINARY, msgspec.msgpack.encode(command))
    return Dialect(path, subprotocol, hello, welcome, _events(msgspec.msgpack.decode), MSGPACK_SENT)


def _nats_messages(payloads: Iterable[bytes]) -> Iterator[tuple[str, int]]:
    data, at = b"".join(payloads), 0
    while (end := data.find(b"\r\n", at)) >= 0:
        line, at = data[at:end], end + 2
        words = line.split()
        if words[0] == b"-ERR":
            raise Wrong(f"NATS says {line.decode()}")
        if words[0] != b"MSG":
            continue
        size = int(words[-1])
        if at + size > len(data):
            return
        yield words[1].decode(), msgspec.json.decode(data[at : at + size])["values"]["Sent"]
        at += size + 2


def nats(topic: str) -> Dialect:
    """NATS' own protocol, which its WebSocket listener speaks."""
    subject = topic.replace("/", ".").replace("+", "*")
    options = b'{"verbose":false,"pedantic":false,"headers":false,"lang":"bench","version":"1","protocol":1}'
    hello = b"CONNECT %b\r\nSUB %b 1\r\nPING\r\n" % (options, subject.encode())
    return Dialect("/", "", frame(BINARY, hello), b"PONG\r\n", _nats_messages)


def _mqtt_packets(payloads: Iterable[bytes]) -> Iterator[tuple[str, int]]:
    data, at = b"".join(payloads), 0
    while match := MQTT_HEAD.match(data, at):
        start = match.end()
        size = sum((digit & 0x7F) << 7 * place for place, digit in enumerate(match[1]))
        if start + size > len(data):
            return
        if data[at] >> 4 == 3:
            name = start + 2 + int.from_bytes(data[start : start + 2], "big")
            sent = msgspec.json.decode(data[name : start + size])["values"]["Sent"]
            yield data[start + 2 : name].decode(), sent
        at = start + size


def mqtt(topic: str, client_id: str) -> Dialect:
    """MQTT 3.1.1, QoS 0."""
    subscribe = packet(0x82, b"\x00\x01" + string(topic) + b"\x00")
    hello = frame(BINARY, connect(client_id)) + frame(BINARY, subscribe)
    return Dialect("/mqtt", "mqtt", hello, b"\x90\x03\x00\x01\x00", _mqtt_packets)


def _plain_messages(payloads: Iterable[bytes]) -> Iterator[tuple[str, int]]:
    for payload in payloads:
        message = msgspec.json.decode(payload)
        yield message["topic"], message["data"]["values"]["Sent"]


def plain() -> Dialect:
    """One JSON object a reading, to everybody who connects."""
    return Dialect("/", "", b"", b"", _plain_messages)
