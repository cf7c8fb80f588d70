"""The dashboard, as it was built into the folder `page` beside this module, and the browser client."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from stream.guard import POLICY, page_policy

__all__ = ["PAGE", "routes"]

PAGE = Path(__file__).with_name("page")

NOT_BUILT = """Fleetwire node

The dashboard is not built: `make install` builds it, then start the node anew. The API is here all the same:

  WS   /v1/stream                   subprotocols fleetwire.v1.json and fleetwire.v1.msgpack
  GET  /v1/asyncapi.json            what is said there: AsyncAPI 3.0
  GET  /v1/openapi.json             all that follows: OpenAPI 3.1
  GET  /v1/events?topic=FILTER      Server-Sent Events: try  curl -N 'http://…/v1/events?topic=fleets/%23'
  GET  /v1/state?topic=FILTER       the current state
  GET  /v1/history?topic=FILTER     stored readings; from, to (epoch ms), limit, window (ms), format (json, csv …)
  POST /v1/publish                  {"topic": "rooms/ops", "data": …}, or a command to a vehicle
  GET  /v1/map/layer                the operator's own map layer, GeoJSON
  GET  /healthz  /readyz  /metrics
"""

# The name of an asset changes with what is in it. Anything else is asked for each time, and mostly not modified.
IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
REVALIDATED = {"Cache-Control": "no-cache"}
# By pages that come from elsewhere.
IMPORTABLE = REVALIDATED | {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}


def routes(folder: Path = PAGE, map_origins: Sequence[str] = ()) -> list[Route]:
    """`/`, `/assets/…` and `/client/…`, from a folder with index.html, assets and client. When there is no page in
    it, `/` says so. `map_origins`: what else than the node the map may load from."""
    if not Path(folder, "index.html").exists():
        return [Route("/", _not_built)]
    policy = {POLICY: page_policy(map_origins)}  # a worker has that of its file
    return [
        Route("/", _Files(folder, REVALIDATED | policy).index),
        Route("/assets/{path:path}", _Files(folder / "assets", IMMUTABLE | policy).file),
        Route("/client/{path:path}", _Files(folder / "client", IMPORTABLE).file),
    ]


class _Files(StaticFiles):
    """The files of a folder, with headers of their own."""

    def __init__(self, folder: Path, headers: dict[str, str]) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._headers = headers

    async def index(self, request: Request) -> Response:
        return await self._response("index.html", request)

    async def file(self, request: Request) -> Response:
        return await self._response(request.path_params["path"], request)

    async def _response(self, path: str, request: Request) -> Response:
        response = await self.get_response(path, request.scope)
        response.headers.update(self._headers)
        return response


async def _not_built(request: Request) -> Response:
    return PlainTextResponse(NOT_BUILT)
