"""Serving an ASGI app with uvicorn, in the one way that Fleetwire is served."""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from wire.errors import SettingsError, Unavailable

__all__ = ["serve"]

GRACEFUL_SECONDS = 10


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain = drain

    async def on_tick(self, counter: int) -> bool:
        # A lifespan that failed has taken its background work with it: nothing left to serve.
        return await super().on_tick(counter) or self.failed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._drain()  # streams would never end by themselves
        await super().shutdown(sockets)

    @property
    def failed(self) -> bool:
        return getattr(self.lifespan, "error_occurred", False)


def serve(app: Starlette, host: str, port: int, *, frame_bytes: int = 65_536) -> None:
    """Serve until SIGINT or SIGTERM. `frame_bytes`: largest WebSocket message that a client may send (1009).

    `app.state.drain()`, if there is one, is called when the stop begins. Raises SettingsError when the port is
    taken, Unavailable when the app's background work failed.
    """
    with _bind(host, port) as listener, _terminated():
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=frame_bytes,
            ws_per_message_deflate=False,  # costs memory for each client, and forbids sharing frames
            interface="asgi3",
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
        _rest_the_collector()
        server = _Server(config, getattr(app.state, "drain", lambda: None))
        server.run(sockets=[listener])
        if server.failed:
            raise Unavailable("stopped after an internal error; see the log above")


def _rest_the_collector() -> None:
    """What was imported stays; what a batch makes is freed by its counts. To look through it for cycles after each
    700 objects took 10 % of the CPU of the bridge (perf)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@contextmanager
def _terminated() -> Iterator[None]:
    """uvicorn raises the signal that stopped it once more when it is done: a clean stop, not a death."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"port {port} on {host} can't be used: {error.strerror}; choose another") from None
    return listener
