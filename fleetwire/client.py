"""A client of the node's WebSocket, for watch, verify, the demo and the tests."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from wire.errors import CommandError, SettingsError, Unavailable
from wire.protocol import CLOSE_CODES, Format
from wire.urls import shown

__all__ = ["Connection", "open_connection", "subscribe"]

Event = dict[str, Any]

OPEN_SECONDS = 5
FIRST_BACKOFF_SECONDS = 0.2
MOST_BACKOFF_SECONDS = 5.0


class Connection:
    """One open connection: requests get their replies, everything else comes as events."""

    def __init__(self, socket: ClientConnection, format: Format) -> None:
        self._socket = socket
        self._text = format == "json"
        self._encode: Callable[[Any], bytes] = (msgspec.json if self._text else msgspec.msgpack).encode
        self._decode: Callable[[bytes | str], Any] = (msgspec.json if self._text else msgspec.msgpack).decode
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Event]] = {}
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.closed: ConnectionClosed | None = None

    async def request(self, action: str, **fields: Any) -> Event:
        """Send a command and wait for its reply.

        Raises CommandError for an error reply, Unavailable when the connection is lost."""
        id = str(next(self._numbers))
        reply = self._waiting[id] = asyncio.get_running_loop().create_future()
        data = self._encode({"action": action, "requestId": id, **fields})
        try:
            await self._socket.send(data.decode() if self._text else data)
            answer: Event = await reply
            return answer
        except ConnectionClosed as closed:
            raise Unavailable(f"the node closed the connection: {describe(closed)}") from None
        finally:
            self._waiting.pop(id, None)

    async def events(self) -> AsyncIterator[Event]:
        """What comes for subscriptions, until the connection ends."""
        while (event := await self._events.get()) is not None:
            yield event

    async def read(self) -> None:
        """Sort what comes into replies and events, until the connection ends."""
        try:
            while True:
                message = self._decode(await self._socket.recv())
                future = self._waiting.get(message.get("requestId", ""))
                if future is None:
                    self._events.put_nowait(message)
                elif not future.done():
                    if error := message.get("error"):
                        future.set_exception(CommandError(error["reason"], error["description"]))
                    else:
                        future.set_result(message)
        except ConnectionClosed as closed:
            self.closed = closed
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(closed)
        finally:
            self._events.put_nowait(None)


def describe(closed: ConnectionClosed | None) -> str:
    """Why a connection was closed, for people."""
    code, reason = _code(closed)
    return f"{code} {reason}" if code else "the connection broke"


def may_return(closed: ConnectionClosed | None) -> bool:
    """Whether a client may come back by itself, by the table of close codes; a broken line says nothing else."""
    code, _ = _code(closed)
    return code not in CLOSE_CODES or CLOSE_CODES[code].come_back in ("now", "later")


def _code(closed: ConnectionClosed | None) -> tuple[int, str]:
    frame = closed.rcvd if closed else None
    if frame is None:
        return 0, ""
    return frame.code, frame.reason or (CLOSE_CODES[frame.code].reason if frame.code in CLOSE_CODES else "")


@asynccontextmanager
async def open_connection(
    url: str, *, format: Format = "msgpack", token: str | None = None
) -> AsyncIterator[Connection]:
    """A connection to `ws://host:port[/v1/stream]`.

    Raises Unavailable when no node answers there, SettingsError when it is no such URL.
    """
    try:
        socket = await connect(
            stream_url(url),
            subprotocols=[f"fleetwire.v1.{format}"],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {token}"} if token else None,
            compression=None,
            max_size=None,
            open_timeout=OPEN_SECONDS,
        )
    except (OSError, TimeoutError, InvalidHandshake) as error:  # a certificate's is a ValueError, too
        raise Unavailable(f"no node answers at {shown(url)}: {error or 'silence'}") from None
    except (InvalidURI, ValueError) as error:  # the text of either may have a piece of a password
        why = error.msg if isinstance(error, InvalidURI) else "the port is a number"
        raise SettingsError(f"url: {shown(url)}: {why}") from None
    async with socket:
        connection = Connection(socket, format)
        reader = asyncio.create_task(connection.read(), name="client reader")
        try:
            yield connection
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


def stream_url(url: str) -> str:
    """The URL of the WebSocket, given that of the node."""
    if not url.startswith(("ws://", "wss://")):
        raise SettingsError("url must start with ws:// or wss://")
    return url if url.rstrip("/").endswith("/v1/stream") else url.rstrip("/") + "/v1/stream"


async def subscribe(
    urls: Sequence[str],
    topic: str,
    *,
    format: Format = "msgpack",
    token: str | None = None,
    on_state: Callable[[str], None] = lambda state: None,
    **options: Any,
) -> AsyncGenerator[Event, None]:
    """Events of one subscription, over every loss of a node: reconnects as the table of close codes says, to the
    next of the URLs, with the last cursor.

    The first connection must succeed: raises Unavailable otherwise, and CommandError when the node refuses.
    """
    backoff, cursor = FIRST_BACKOFF_SECONDS, None
    for attempt in itertools.count():
        url = urls[attempt % len(urls)]
        try:
            async with open_connection(url, format=format, token=token) as connection:
                resume = options if cursor is None else options | {"since": cursor}
                await connection.request("subscribe", topic=topic, **resume)
                on_state(f"connected to {shown(url)}")
                backoff = FIRST_BACKOFF_SECONDS
                async for event in connection.events():
                    cursor = event.get("cursor", cursor)
                    yield event
                reason = describe(connection.closed)
                if not may_return(connection.closed):
                    raise ConnectionRefusedError(f"the node closed the connection: {reason}")
        except ConnectionRefusedError as error:
            raise Unavailable(str(error)) from None
        except Unavailable as error:
            if cursor is None and attempt == len(urls) - 1:
                raise
            reason = str(error)
        except CommandError as error:  # a node may be there sooner than its Redis
            if cursor is None or error.reason != "unavailable":
                raise
            reason = error.description
        on_state(f"{reason}; again in {backoff:.1f} s")
        await asyncio.sleep(backoff * random.uniform(0.5, 1))
        backoff = min(MOST_BACKOFF_SECONDS, backoff * 2)
