"""The bridge as an ASGI app: pipeline, downlink and commands are its lifespan, health and metrics its routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ingest.commands import Commands
from ingest.decoder import Decoder
from ingest.devices import Devices
from ingest.downlink import Downlink
from ingest.metrics import Metrics
from ingest.pipeline import Pipeline
from ingest.settings import Settings
from ingest.store import Store

__all__ = ["create_app"]


def create_app(settings: Settings) -> Starlette:
    """The bridge. `/healthz`: it runs; `/readyz`: readings flow, or `why` they don't; `/metrics`."""
    metrics = Metrics()
    store = Store(settings, metrics)
    downlink = Downlink(settings, metrics)
    devices = Devices(settings.devices)
    decoder = Decoder(settings, metrics, downlink.post, devices.let_in)
    pipeline = Pipeline(settings, store, decoder, metrics)
    commands = [Commands(settings, writer, downlink, pipeline.subscribed, metrics) for writer in store.writers]
    metrics.commands_waiting.set_function(lambda: sum(map(len, commands)))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with store, asyncio.TaskGroup() as group:
            runs: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]
            runs = [("pipeline", pipeline.run), ("downlink", downlink.run), ("memory", store.watch)]
            runs += [("devices", partial(devices.watch, decoder.known_anew))]
            runs += [("commands", c.run) for c in commands]
            tasks = [group.create_task(run(), name=name) for name, run in runs]
            yield
            for task in tasks:
                task.cancel()

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        why = await pipeline.trouble()
        state = {"ready": why is None, "mqtt": pipeline.connected, **({"why": why} if why else {})}
        return JSONResponse(state, status_code=503 if why else 200)

    async def scrape(request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", scrape)], lifespan=lifespan
    )
