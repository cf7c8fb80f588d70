"""The node as an ASGI app: its doors, health and metrics as routes, its background work as lifespan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from stream import layer, page, rest, sse
from stream.guard import Guard, failed
from stream.http import error_response, host_refused, http_error_response, origin_refused
from stream.node import Node
from stream.origin import Local, Origins
from stream.settings import Settings
from stream.socket import Stream
from wire import asyncapi, openapi
from wire.errors import CommandError, TopicError

__all__ = ["create_app"]

TOPICS_SECONDS = 1


def create_app(settings: Settings) -> Starlette:
    """A node. `app.state.node` is its Node; `app.state.drain()` sends its clients to another node."""
    node = Node(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(node.run(), name="node"),
                group.create_task(_count_topics(node), name="topics"),
            ]
            yield
            for task in tasks:
                task.cancel()

    app = Starlette(
        lifespan=lifespan,
        routes=[
            WebSocketRoute("/v1/stream", Stream()),
            Route("/v1/events", sse.events),
            Route("/v1/state", rest.state),
            Route("/v1/history", rest.history),
            Route("/v1/publish", rest.publish, methods=["POST"]),
            Route("/v1/asyncapi.json", Response(asyncapi.encoded(), media_type="application/json"), methods=["GET"]),
            Route("/v1/openapi.json", Response(openapi.encoded(), media_type="application/json"), methods=["GET"]),
            layer.route(settings.map_layer),
            Route("/healthz", _healthz),
            Route("/readyz", _readyz),
            Route("/metrics", _metrics),
            *page.routes(map_origins=settings.map_origins),
        ],
        middleware=[
            Middleware(Guard),
            *([Middleware(Local, host_refused, node.metrics.refusals)] if settings.local else []),
            Middleware(Origins, settings.limits.origins, origin_refused, node.metrics.refusals),
        ],
        exception_handlers={
            CommandError: error_response,
            TopicError: error_response,
            HTTPException: http_error_response,
            Exception: failed,
        },
    )
    # A redirect to the same path without the slash would be to http, whatever a proxy speaks, with the token.
    app.router.redirect_slashes = False
    app.state.node = node
    app.state.drain = node.drain
    app.state.refused = node.refused
    return app


async def _healthz(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _readyz(request: Request) -> Response:
    ready = await request.app.state.node.ready()
    return JSONResponse({"ready": ready}, 200 if ready else 503)


async def _metrics(request: Request) -> Response:
    node: Node = request.app.state.node
    return Response(node.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


async def _count_topics(node: Node) -> None:
    # By the clock, and not when somebody asks: of several workers only one is asked, and answers for all.
    while True:
        node.metrics.topics.set(len(node.hub.table))
        await asyncio.sleep(TOPICS_SECONDS)
