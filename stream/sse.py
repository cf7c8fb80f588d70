"""The Server-Sent Events door: `GET /v1/events?topic=…`, so that `curl -N` and `EventSource` are clients.

An event's data is just what the WebSocket carries in JSON; its id is the cursor, which a browser sends back as
`Last-Event-ID` when it reconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from stream.http import admitted, node
from stream.outbox import QueuedOutbox
from stream.rest import command
from stream.session import Session
from wire import protocol, topics

__all__ = ["events"]

KEEPALIVE_SECONDS = 15
MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def events(request: Request) -> Response:
    """Subscribe to what `topic` matches; the other fields of a subscribe command may be given too."""
    granted = await admitted(request)
    asked: protocol.Subscribe = command(protocol.Subscribe, request)
    if (last := request.headers.get("last-event-id")) and asked.since is None:
        asked = msgspec.structs.replace(asked, since=last)
    if request.method == "HEAD":
        granted.check("subscribe", topics.check_filter(asked.topic))
        return Response(headers=HEADERS, media_type=MEDIA_TYPE)
    with ExitStack() as stack:
        place = stack.enter_context(node(request).gate.enter(request, granted))
        outbox = QueuedOutbox(node(request).settings.outbox_bytes)
        session = Session(node(request), "json", granted, outbox, place)
        stack.callback(session.close)
        await session.subscriptions.add(asked)
        return _EventStream(request, outbox, stack.pop_all())


class _EventStream(StreamingResponse):
    """Streams a session's frames, and closes what it holds however the stream ends."""

    def __init__(self, request: Request, outbox: QueuedOutbox, held: ExitStack) -> None:
        super().__init__(_frames(outbox), media_type=MEDIA_TYPE, headers=HEADERS)
        self._held = held
        self._clients = node(request).metrics.clients.labels("sse")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held, self._clients.track_inprogress():
            await super().__call__(scope, receive, send)


async def _frames(outbox: QueuedOutbox) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(KEEPALIVE_SECONDS):
                frame = await outbox.get()
        except TimeoutError:
            yield b": still here\n\n"
            continue
        if frame is None:
            return
        id = b"id: %s\n" % frame.cursor.encode() if frame.cursor else b""
        yield b"%sdata: %s\n\n" % (id, frame.data)
