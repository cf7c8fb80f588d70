"""HTTP connections that say what they want in time, and in few words. uvicorn waits for it as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from itertools import islice
from typing import Any, NamedTuple

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["Head", "HeadProtocol", "Opening", "Waiting"]

LINE_BYTES = 8_000  # of one line: what reads the head of a WebSocket's request takes 8,192
HEADERS = 100
END = b"\r\n\r\n"
AT_ONCE = 50  # that are dropped in one turn of the loop
PIPELINED = 8  # requests on one connection that wait for the answer to another


class Head(NamedTuple):
    """What the head of a request may take: seconds since the connection, or since its first byte, and bytes.
    `half_open`: how many connections may be waited for at once."""

    seconds: float = 10.0
    bytes: int = 16_384
    half_open: int = 2_048


class Waiting:
    """The connections that owe us the head of a request, the oldest first, with one timer for all. When there are too
    many the oldest goes: whoever means it is quicker. `refused` is told why."""

    def __init__(self, head: Head, refused: Callable[[str], None]) -> None:
        self.head = head
        self.refused = refused
        self._due: dict[HeadProtocol | Opening, float] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def add(self, protocol: HeadProtocol | Opening) -> None:
        """From now on, unless it is waited for already."""
        if protocol in self._due:
            return
        self._due[protocol] = self._loop.time() + self.head.seconds
        if len(self._due) > self.head.half_open:
            self._drop(next(iter(self._due)), "half_open")
        if self._timer is None:
            self._timer = self._loop.call_later(self.head.seconds, self._look)

    def discard(self, protocol: HeadProtocol | Opening) -> None:
        """It owes us nothing."""
        self._due.pop(protocol, None)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for protocol, due in list(islice(self._due.items(), AT_ONCE)):
            if due > now:
                self._timer = self._loop.call_at(due, self._look)
                return
            self._drop(protocol, "head_late")
        if self._due:
            self._timer = self._loop.call_later(0, self._look)

    def refuse(self, protocol: HeadProtocol | Opening, status: HTTPStatus, *, answers: bool = True) -> None:
        """Garbage, or too much of it. It is counted, and no line in the log: who sends it should not write there."""
        self.discard(protocol)
        self.refused("head_bad" if status == HTTPStatus.BAD_REQUEST else "head_big")
        if answers:
            line = f"HTTP/1.1 {status} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            protocol.transport.write(line.encode())
        protocol.transport.close()

    def _drop(self, protocol: HeadProtocol | Opening, reason: str) -> None:
        del self._due[protocol]
        self.refused(reason)
        protocol.transport.abort()


class Opening(asyncio.Protocol):
    """A connection until the head of its first request is there. Only then is made what speaks HTTP, by `http`: it
    takes 6 KB, and this 1.5, most of which is the transport."""

    __slots__ = ("_data", "_http", "_waiting", "transport")

    def __init__(self, waiting: Waiting, http: Callable[[], HeadProtocol]) -> None:
        self._waiting = waiting
        self._http = http
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        """Called by the transport, as the others."""
        self.transport = transport
        self._waiting.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.discard(self)

    def data_received(self, data: bytes) -> None:
        seen = max(0, len(self._data) - len(END))
        self._data += data
        if self._data.find(END, seen) >= 0:
            self._waiting.discard(self)
            http = self._http()
            http.connection_made(self.transport)
            self.transport.set_protocol(http)
            http.data_received(self._data)
        elif status := _wrong(self._data, self._waiting.head.bytes):
            self._waiting.refuse(self, status)


def _wrong(data: bytes, most: int) -> HTTPStatus | None:
    """What is wrong already with a head that is not all there."""
    if not b"A" <= data[:1] <= b"Z":
        return HTTPStatus.BAD_REQUEST
    if len(data) > LINE_BYTES and b"\r\n" not in data[:LINE_BYTES]:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if len(data) > most else None


class HeadProtocol(HttpToolsProtocol):
    """One connection, from its first request until it becomes a WebSocket."""

    def __init__(self, waiting: Waiting, **options: Any) -> None:
        super().__init__(**options)
        self._waiting = waiting
        self._in_head = True
        self._size = 0  # of the head, as far as it could be read
        self._unread = 0  # bytes that came since, of a line that does not end
        self._refusal = HTTPStatus.BAD_REQUEST

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        self._waiting.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        self._unset_keepalive_if_required()
        if self._answered:
            self._waiting.add(self)  # the next one has begun, or what is left of the last one drips
        goes_on = self._in_head
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
                del self.parser  # it leads back to us
            return
        except httptools.HttpParserError:
            self._refuse()
            return
        if goes_on and self._in_head:
            self._unread += len(data)
            if self._unread > self._waiting.head.bytes:
                self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self._refuse()

    def on_message_begin(self) -> None:
        """Called by the parser, as the others below."""
        super().on_message_begin()
        self._in_head, self._size, self._unread = True, 0, 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LINE_BYTES:
            self._refusal = HTTPStatus.REQUEST_URI_TOO_LONG
            raise _Refused
        self._grow(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > HEADERS or len(name) + len(value) > LINE_BYTES:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise _Refused
        self._grow(len(name) + len(value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._waiting.discard(self)
        if len(self.pipeline) >= PIPELINED:
            raise _Refused
        super().on_headers_complete()

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._waiting.head.bytes:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise _Refused

    @property
    def _answered(self) -> bool:
        """Whether there is no request that waits for its answer."""
        return self.cycle is None or self.cycle.response_complete

    def _refuse(self) -> None:
        self._waiting.refuse(self, self._refusal, answers=self._answered)


class _Refused(Exception):
    """Ends the parser."""
