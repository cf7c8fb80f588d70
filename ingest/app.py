"""The bridge as an ASGI app: pipeline, downlink and commands are its lifespan, health and metrics its routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ingest.commands import Commands
from ingest.decoder import Decoder
from ingest.downlink import Downlink
from ingest.link import Link
from ingest.metrics import Metrics
from ingest.pipeline import Pipeline
from ingest.settings import Settings
from ingest.store import Store

__all__ = ["create_app"]


def create_app(settings: Settings) -> Starlette:
    """The bridge. `/healthz`: it runs; `/readyz`: broker and Redis are connected; `/metrics`."""
    metrics = Metrics()
    # The store bounds each call itself: with a socket timeout redis-py waits with `asyncio.wait_for`, which in Python
    # 3.11 may swallow a cancellation.
    redis = Redis.from_url(settings.redis_url, protocol=2, socket_timeout=None, retry=Retry(NoBackoff(), 0))
    link = Link(redis)
    store = Store(redis, link, metrics, settings)
    downlink = Downlink(settings, metrics)
    decoder = Decoder(settings, metrics, downlink.post)
    pipeline = Pipeline(settings, redis, store, decoder, metrics)
    commands = Commands(settings, redis, store, downlink, pipeline.subscribed, metrics)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with redis, link, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(part.run(), name=name)
                for name, part in (("pipeline", pipeline), ("downlink", downlink), ("commands", commands))
            ]
            yield
            for task in tasks:
                task.cancel()

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        ready = await pipeline.ready()
        return JSONResponse({"ready": ready, "mqtt": pipeline.connected}, status_code=200 if ready else 503)

    async def scrape(request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", scrape)], lifespan=lifespan
    )
