"""One client of a fleet, in JSON: what it takes from its node, and how it comes back when that has gone."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

from bench.crowd import connect
from bench.websocket import CLOSE, PING, TEXT, Cutter, Frame, pong, subscribe
from wire.clock import now_ms
from wire.errors import Unavailable
from wire.ids import parse_id

__all__ = ["Event", "Follower", "Item", "Receipt"]

READ_BYTES = 65_536
RESTARTING = 1012  # come back


class Item(msgspec.Struct, gc=False):
    """A reading that came."""

    topic: str
    id: str
    ts: int


class Event(msgspec.Struct, gc=False):
    """A frame of the node's, a reply included."""

    action: str
    cursor: str = ""
    data: tuple[Item, ...] = ()
    error: dict[str, Any] = {}


class Receipt(msgspec.Struct, gc=False):
    """What a subscription brought, up to which id, and when the last byte of it was here, epoch ms."""

    event: Event
    cursor: int
    at: int


@lru_cache(256)
def _decode(payload: bytes) -> tuple[Event, int]:
    """The event in a frame, with its cursor; most frames are for many of us."""
    event = msgspec.json.decode(payload, type=Event)
    return event, parse_id(event.cursor) if event.cursor else 0


class Follower:
    """`receipts`: all that came; `returned`: how many of them before it came back at first, if it did; `times`: how
    often it did. `cursor`: the id up to which it was given everything. `complaints`: what should not have come."""

    def __init__(self, topic: str, strategy: str, interval: int, port: int) -> None:
        self.topic = topic
        self.receipts: list[Receipt] = []
        self.returned: int | None = None
        self.times = 0
        self.cursor = 0
        self.complaints: set[str] = set()
        self._asked: dict[str, Any] = {"strategy": strategy, "interval": interval}
        self._connect(port)

    def come_back(self, port: int) -> None:
        """To another node, at once, with the cursor."""
        self.connection.close()
        self.times += 1
        if self.returned is None:
            self.returned = len(self.receipts)
        if self.receipts:
            self._asked["since"] = self.receipts[-1].event.cursor
        self._connect(port)

    def whole_at(self, order: int) -> int | None:
        """When it had come back and was given everything up to an id, epoch ms; None while it is not."""
        if self.returned is None or self.cursor < order:
            return None
        return next((one.at for one in islice(self.receipts, self.returned, None) if one.cursor >= order), None)

    def read(self) -> bool:
        """Take what has come; False when the node has gone, or says that it goes. Raises Unavailable when it has
        closed the connection for another reason, or refused it."""
        try:
            data = self.connection.recv(READ_BYTES)
            if data and self._upgraded:
                return all(self._take(frame) for frame in self._cutter.feed(data))
            if data:
                self._upgrade(data)
            return bool(data)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    def _connect(self, port: int) -> None:
        self.connection = connect(port)
        self._cutter, self._head, self._upgraded = Cutter(), b"", False

    def _upgrade(self, data: bytes) -> None:
        """The answer to the upgrade; nothing comes behind it before we have asked for something."""
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            if b" 101 " not in self._head[:16]:
                status = self._head.partition(b"\r\n")[0].decode("latin-1")
                raise Unavailable(f"the node refused a connection: {status}")
            self._upgraded = True
            self.connection.send(subscribe(self.topic, **self._asked))

    def _take(self, frame: Frame) -> bool:
        """False when it says that the node goes."""
        if frame.opcode == TEXT:
            event, cursor = _decode(frame.payload)
            if event.action == "subscription":
                self.receipts.append(Receipt(event, cursor, now_ms()))
                self.cursor = max(self.cursor, cursor)
            elif event.action != "subscribe" or event.error:
                self.complaints.add(f"were sent {event.action} {event.error.get('reason', '')}".rstrip())
        elif frame.opcode == PING:
            self.connection.send(pong(frame))
        elif frame.opcode == CLOSE:
            code = int.from_bytes(frame.payload[:2], "big")
            if code == RESTARTING:
                return False
            raise Unavailable(f"the node closed a connection: {code} {frame.payload[2:].decode()}")
        return True
