"""Dashboards in plain Python, as one would first write them: `plain.py REDIS_URL PORT`.

Redis pub/sub in, and out with one WebSocket message for each reading and client. A queue for each client keeps a slow
one from holding up the others. Its bridge is `bench/bridges/naive.py`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


def create_app(redis_url: str) -> Starlette:
    """Everybody who connects gets every reading."""
    queues: set[asyncio.Queue[str]] = set()

    async def feed() -> None:
        async with Redis.from_url(redis_url, decode_responses=True) as redis, redis.pubsub() as pubsub:
            await pubsub.psubscribe("fleets/*")
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    text = f'{{"topic":"{message["channel"]}","data":{message["data"]}}}'
                    for queue in queues:
                        queue.put_nowait(text)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        feeding = asyncio.create_task(feed())
        yield
        feeding.cancel()

    async def stream(websocket: WebSocket) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        queues.add(queue)
        try:
            await websocket.accept()
            while True:
                await websocket.send_text(await queue.get())
        except WebSocketDisconnect:
            pass
        finally:
            queues.discard(queue)

    return Starlette(routes=[WebSocketRoute("/", stream)], lifespan=lifespan)


if __name__ == "__main__":
    url, port = sys.argv[1:]
    uvicorn.run(
        create_app(url), port=int(port), loop="uvloop", http="httptools", ws="websockets-sansio",
        log_level="warning", timeout_graceful_shutdown=1,
    )  # fmt: skip
