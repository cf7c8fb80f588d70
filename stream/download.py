"""Downloads: a whole range of history as a file, as fast as the client takes it."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from stream.item import View
from stream.past import Past
from stream.tables import Csv, Ndjson, Table
from wire.errors import CommandError
from wire.protocol import History

__all__ = ["TABLES", "TRIMMED", "download"]

log = logging.getLogger("fleetwire.stream.download")

TABLES: dict[str, Table] = {"ndjson": Ndjson(), "csv": Csv()}
TRIMMED = "Fleetwire-Trimmed"


async def download(past: Past, asked: History, view: View, format: str) -> Response:
    """All that is asked for, as one of TABLES. Raises CommandError while nothing was sent."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(past.desk.place("download"))
        whole, table = await past.whole(asked, view), TABLES[format]
        headers = {"Content-Disposition": f'attachment; filename="history.{format}"', "Cache-Control": "no-store"}
        if whole.trimmed is not None:
            headers[TRIMMED] = whole.trimmed
        return _Download(past.pieces(whole, table), headers, table.media_type, stack.pop_all())


class _Download(StreamingResponse):
    """A stream that is cut off when it can't go on: what has no end is not taken for the whole. Then what was `held`
    for it is given back."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], headers: dict[str, str], media_type: str, held: AsyncExitStack
    ) -> None:
        super().__init__(pieces, headers=headers, media_type=media_type)
        self._pieces = pieces
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            if scope["method"] == "HEAD":
                await self._pieces.aclose()  # what has not begun has nothing in it
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._pieces):
            try:
                await super().stream_response(send)
            except CommandError as error:
                # Without a last message the server closes the connection in the middle of the body.
                log.warning("a download was cut off: %s", error)
