"""The WebSocket door: `WS /v1/stream`."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from stream.gate import Pass
from stream.grants import Grants
from stream.http import grants, node
from stream.outbox import QueuedOutbox
from stream.prepared import EXTENSION, PreparedOutbox
from stream.session import Session
from wire.errors import CommandError
from wire.protocol import CLOSE_CODES, SUBPROTOCOLS

__all__ = ["Stream"]


class Stream:
    """Serves one client until either side ends it. An ASGI app of its own: what Starlette wraps around a function
    costs 2 KB a client."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _stream(WebSocket(scope, receive, send))


async def _stream(websocket: WebSocket) -> None:
    subprotocol = next((name for name in websocket.scope["subprotocols"] if name in SUBPROTOCOLS), None)
    try:
        granted = await grants(websocket)
        place = node(websocket).gate.enter(websocket, granted)
    except CommandError as error:
        await websocket.accept(subprotocol)
        if error.reason == "invalid_token":
            await websocket.close(4001, CLOSE_CODES[4001].reason)
        else:
            await websocket.close(
                1013, CLOSE_CODES[1013].reason if error.reason == "unavailable" else error.description
            )
        return
    with place, node(websocket).metrics.clients.labels("websocket").track_inprogress():
        await websocket.accept(subprotocol)
        serve = _serve_prepared if EXTENSION in websocket.scope["extensions"] else _serve_plain
        await serve(websocket, subprotocol or "fleetwire.v1.json", granted, place)


async def _serve_prepared(websocket: WebSocket, subprotocol: str, granted: Grants, place: Pass) -> None:
    """By a server that takes whole frames: one task a client, which reads."""
    settings, format = node(websocket).settings, SUBPROTOCOLS[subprotocol]
    protocol = websocket.scope["extensions"][EXTENSION]["protocol"]
    outbox = PreparedOutbox(protocol, settings.outbox_bytes, settings.drain_s, text=format == "json")
    protocol.pace = node(websocket).pace
    session = Session(node(websocket), format, granted, outbox, place)
    try:
        await _read(websocket, session)
    finally:
        session.close()


async def _serve_plain(websocket: WebSocket, subprotocol: str, granted: Grants, place: Pass) -> None:
    """By any ASGI server."""
    format = SUBPROTOCOLS[subprotocol]
    outbox = QueuedOutbox(node(websocket).settings.outbox_bytes)
    session = Session(node(websocket), format, granted, outbox, place)
    reader = asyncio.create_task(_read(websocket, session))
    writer = asyncio.create_task(_write(websocket, outbox, text=format == "json"))
    try:
        await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
    finally:
        session.close()
        for task in (reader, writer):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _read(websocket: WebSocket, session: Session) -> None:
    pace = node(websocket).pace
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        data = message.get("bytes")
        await pace.turn()
        await session.receive(message["text"].encode() if data is None else data)


async def _write(websocket: WebSocket, outbox: QueuedOutbox, *, text: bool) -> None:
    seconds = node(websocket).settings.drain_s
    try:
        while (frame := await outbox.get()) is not None:
            async with asyncio.timeout(seconds):
                await (websocket.send_text(frame.data.decode()) if text else websocket.send_bytes(frame.data))
        code = outbox.close_code or 1000
        await websocket.close(code, CLOSE_CODES[code].reason if code in CLOSE_CODES else None)
    except TimeoutError:
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(1):
                await websocket.close(4008, CLOSE_CODES[4008].reason)
    except (WebSocketDisconnect, RuntimeError):
        pass  # the reader sees the end too
