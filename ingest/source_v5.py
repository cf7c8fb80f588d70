"""The source for brokers that speak MQTT 5: `session.py` on a socket, for rates that a broker can just deliver."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import cast

from mqtt5 import PublishPacket

from ingest.metrics import Metrics
from ingest.session import MAX_PACKET_BYTES, Session
from ingest.settings import Settings
from ingest.source import KEEPALIVE_SECONDS, SESSION_EXPIRY_SECONDS, Arrivals
from wire.clock import now_ms
from wire.errors import Unavailable

__all__ = ["SourceV5", "connect"]

CONNECT_SECONDS = 10
BUFFER_BYTES = 256 * 1024
INBOX_BYTES = 32 * 1024 * 1024  # of payload and headers; beyond it the socket is not read
STALLED_SECONDS = 5
REST_BYTES = 64 * 1024  # so much has to be read before the rest is over
SMALL_WINDOW = range(30, 101)  # so many messages in a read may be all that a broker sends ahead: EMQX 32, rumqttd 100
URGENT_RESTS = 10  # so long reads follow acknowledgements then


@asynccontextmanager
async def connect(settings: Settings, metrics: Metrics) -> AsyncIterator[SourceV5]:
    """A session on the shared subscription. Raises Unavailable when the broker refuses, is away, or goes away."""
    address, loop = settings.address, asyncio.get_running_loop()
    session = Session(
        settings.client_id,
        settings.subscriptions,
        window=settings.inbox,
        expiry_s=SESSION_EXPIRY_SECONDS,
        keepalive_s=KEEPALIVE_SECONDS,
        username=address.username,
        password=address.password,
    )
    source = SourceV5(session, settings, metrics)
    try:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(lambda: source, address.host, address.port, ssl=settings.tls)
                await source.subscribed()
        except TimeoutError:
            raise Unavailable(f"no answer within {CONNECT_SECONDS} s") from None
        except OSError as error:
            raise Unavailable(str(error)) from None
        yield source
    finally:
        source.close()


class SourceV5(asyncio.BufferedProtocol):
    """A connected session. Use `connect`."""

    def __init__(self, session: Session, settings: Settings, metrics: Metrics) -> None:
        self._session = session
        self._batch = settings.batch
        self._linger = max(1, settings.linger_ms) / 1000
        self._room = settings.inbox
        self._received = [metrics.received.labels(qos) for qos in (0, 1)]
        self._dropped = metrics.dropped
        self._inbox: deque[Arrivals] = deque()
        self._waiting = 0
        self._taken_at = monotonic()
        self._inbox_bytes = 0
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._changed = asyncio.Event()  # there are messages, or the connection is made or lost
        self._lost: Unavailable | None = None
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None  # the transport's, once more
        self._encrypted = False
        self._under_way = 0  # messages of QoS 1 that are not acknowledged
        self._urgent_until = 0.0
        self._resting: asyncio.Handle | None = None
        self._pings: asyncio.Handle | None = None

    @property
    def resumed(self) -> bool:
        return self._session.resumed

    @property
    def waiting(self) -> int:
        return self._waiting

    async def subscribed(self) -> None:
        """Returns when the broker has confirmed the subscription. Raises Unavailable when it does not."""
        while not self._session.subscribed:
            await self._change()

    async def batches(self) -> AsyncIterator[Sequence[Arrivals]]:
        while True:
            while not self._inbox:
                await self._change()
            yield self._next_batch()

    def ack(self, batch: Sequence[Arrivals]) -> None:
        ids = [message.packet_id for _, messages in batch for message in messages if message.packet_id]
        if ids:
            self._session.acknowledge(ids)
            self._write()
            self._under_way -= len(ids)
            if self._resting is not None and not self._under_way and monotonic() < self._urgent_until:
                self._resting.cancel()
                self._read_on()

    def close(self) -> None:
        """Say goodbye, and let go of the socket."""
        if self._transport is not None and self._lost is None:
            self._session.disconnect()
            self._write()
            self._lose(Unavailable("closed"))
            self._transport.close()

    def _next_batch(self) -> list[Arrivals]:
        inbox, room, batch = self._inbox, self._batch, []
        while inbox and room:
            received, messages = inbox.popleft()
            if len(messages) > room:
                inbox.appendleft(Arrivals(received, messages[room:]))
                messages = messages[:room]
            room -= len(messages)
            batch.append(Arrivals(received, messages))
        taken = self._batch - room
        self._taken_at = monotonic()
        self._inbox_bytes -= self._inbox_bytes * taken // self._waiting
        self._waiting -= taken
        return batch

    async def _change(self) -> None:
        if self._lost is not None:
            raise self._lost
        self._changed.clear()
        await self._changed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._encrypted = transport.get_extra_info("sslcontext") is not None
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._write()
        self._ping_later()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        self._parse()
        if self._session.subscribed and self._lost is None:
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._socket is not None:
            # A write that fails closes the transport, with what the broker had sent before it went away unread.
            with suppress(OSError), self._socket as rest:
                while not (self._lost or self._encrypted) and (n := rest.recv_into(self._view[self._filled :])):
                    self._filled += n
                    self._parse()
        self._lose(Unavailable(f"the connection was lost{f': {exc}' if exc else ''}"))

    def _rest(self) -> None:
        """What comes within the next milliseconds is read at once, not packet by packet."""
        assert self._transport is not None
        if self._crowded():
            self._transport.pause_reading()
        if self._resting is None:
            # Not by `pause_reading` in general: the loop would notice only when the next packet wakes it.
            self._wake_at(REST_BYTES)
            self._resting = asyncio.get_running_loop().call_later(self._linger, self._read_on)

    def _read_on(self) -> None:
        assert self._transport is not None
        self._resting = None
        if self._crowded():
            self._rest()
        elif not self._transport.is_closing():
            self._wake_at(1)
            self._transport.resume_reading()

    def _wake_at(self, nbytes: int) -> None:
        assert self._socket is not None
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, nbytes)

    def _crowded(self) -> bool:
        """Whether the broker should keep what it has. Not for ever: QoS 0 would fill its memory, while the store is
        away, and be dropped there where nobody counts it."""
        if self._inbox_bytes > INBOX_BYTES:
            return True
        return self._waiting >= self._room // 2 and monotonic() - self._taken_at < STALLED_SECONDS

    def _parse(self) -> None:
        try:
            done = self._session.feed(self._view[: self._filled])
        except Unavailable as error:
            self._take(self._filled)
            self._lose(error)
            assert self._transport is not None
            self._transport.close()
            return
        self._take(done)
        left = self._filled - done
        if left == len(self._buffer):
            self._grow()
        elif left:
            self._view[:left] = self._view[done : self._filled]
        self._filled = left
        self._write()
        self._changed.set()

    def _take(self, nbytes: int) -> None:
        messages = self._session.take()
        promised = sum([message.packet_id is not None for message in messages])
        if promised:
            self._received[1].inc(promised)
            self._under_way += promised
            if promised in SMALL_WINDOW:
                self._urgent_until = monotonic() + URGENT_RESTS * self._linger
        if promised < len(messages):
            self._received[0].inc(len(messages) - promised)
        if self._waiting + len(messages) > self._room:
            messages = self._fitting(messages)
        if messages:
            self._inbox.append(Arrivals(now_ms(), messages))
            self._waiting += len(messages)
            self._inbox_bytes += nbytes

    def _fitting(self, messages: list[PublishPacket]) -> list[PublishPacket]:
        """All of QoS 1, which the receive maximum bounds, and of QoS 0 what there is room for."""
        kept: list[PublishPacket] = []
        for message in messages:
            if message.packet_id is not None or self._waiting + len(kept) < self._room:
                kept.append(message)
        self._dropped.inc(len(messages) - len(kept))
        return kept

    def _grow(self) -> None:
        """Make room for a packet that is larger than the buffer."""
        assert len(self._buffer) <= 2 * MAX_PACKET_BYTES
        self._buffer = self._buffer + bytearray(len(self._buffer))
        self._view = memoryview(self._buffer)

    def _write(self) -> None:
        data = self._session.outgoing()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _ping_later(self) -> None:
        delay = self._session.keepalive_s / 2
        self._pings = asyncio.get_running_loop().call_later(delay, self._ping)

    def _ping(self) -> None:
        assert self._transport is not None
        try:
            self._session.ping()
        except Unavailable as error:
            if not self._crowded():  # else it is us who do not listen
                self._lose(error)
                self._transport.abort()
                return
        self._write()
        self._ping_later()

    def _lose(self, error: Unavailable) -> None:
        self._lost = self._lost or error
        if self._pings is not None:
            self._pings.cancel()
        self._changed.set()
