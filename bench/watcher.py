"""One dashboard of `bench.slow`: what it takes from its socket, and what it knows of the vehicles by that."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import NamedTuple

import msgspec

from bench.websocket import CLOSE, PING, TEXT, Cutter, pong
from wire.clock import now_ms
from wire.errors import Unavailable
from wire.ids import parse_id

__all__ = ["Event", "Receipt", "Watcher", "decode"]

READ_BYTES = 262_144


class Event(NamedTuple):
    """A frame of the node's, a reply included. `items`: topics with their ids as numbers; `sent`: when these readings
    were sent, by the devices' clock, epoch ms."""

    action: str
    items: list[tuple[str, int]]
    sent: list[int]
    conflated: int


class Receipt(NamedTuple):
    """A frame, and when the last byte of it was here, epoch ms. `digest`: the same for the same bytes."""

    digest: int
    event: Event
    at: int


class _Item(msgspec.Struct):
    topic: str
    id: str
    ts: int


class _Event(msgspec.Struct):
    action: str
    data: list[_Item] = []
    conflated: int = 0


@lru_cache(256)
def decode(payload: bytes) -> Event:
    """The event in a frame; most frames are for many of us."""
    event = msgspec.json.decode(payload, type=_Event)
    items = [(item.topic, parse_id(item.id)) for item in event.data]
    return Event(event.action, items, [item.ts for item in event.data], event.conflated)


class Watcher:
    """`states`: the last id of each topic. `told`: how many readings it was given, or was told that they were
    conflated. `received`: bytes. `receipts`: what came since they were cleared; `complaints`: what should not have
    come."""

    def __init__(self, role: str, connection: socket.socket) -> None:
        self.role = role
        self.connection = connection
        self.states: dict[str, int] = {}
        self.told = 0
        self.received = 0
        self.receipts: list[Receipt] = []
        self.complaints: list[str] = []
        self._cutter = Cutter()

    def read(self, most: int = READ_BYTES) -> None:
        """Take what has come, at most so many bytes. Raises Unavailable when the node has closed the connection."""
        try:
            data = self.connection.recv(most)
        except BlockingIOError:
            return
        except OSError as error:
            raise Unavailable(f"a {self.role} dashboard lost the node: {error.strerror}") from None
        if not data:
            raise Unavailable(f"the node closed a {self.role} dashboard")
        self.received += len(data)
        for frame in self._cutter.feed(data):
            if frame.opcode == TEXT:
                self._take(frame.payload)
            elif frame.opcode == PING:
                self.connection.send(pong(frame))
            elif frame.opcode == CLOSE:
                code = int.from_bytes(frame.payload[:2], "big")
                raise Unavailable(f"the node closed a {self.role} dashboard: {code} {frame.payload[2:].decode()}")

    def _take(self, payload: bytes) -> None:
        event = decode(payload)
        self.receipts.append(Receipt(hash(payload), event, now_ms()))
        if event.action not in ("subscription", "subscribe"):
            self.complaints.append(payload[:200].decode("utf-8", "replace"))
        self.told += len(event.items) + event.conflated
        for topic, order in event.items:
            if order <= self.states.get(topic, 0):
                self.complaints.append(f"an id of {topic} that does not grow")
            self.states[topic] = order
