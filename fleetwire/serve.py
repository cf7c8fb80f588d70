"""Serving an ASGI app with uvicorn, in the one way that Fleetwire is served."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn
from starlette.applications import Starlette

from wire.errors import SettingsError, Unavailable

__all__ = ["serve"]

GRACEFUL_SECONDS = 10


class _Server(uvicorn.Server):
    async def on_tick(self, counter: int) -> bool:
        # A lifespan that failed has taken its background work with it: nothing left to serve.
        return await super().on_tick(counter) or getattr(self.lifespan, "error_occurred", False)


def serve(app: Starlette, host: str, port: int, **options: Any) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises SettingsError when the port is taken, Unavailable when the app's background work failed.
    """
    with _bind(host, port) as listener:
        config = uvicorn.Config(
            app,
            lifespan="on",
            log_config=None,
            access_log=False,
            ws_per_message_deflate=False,  # costs memory per client and forbids sharing frames
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
            **options,
        )
        server = _Server(config)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            pass  # uvicorn raises it again after a clean stop
        if getattr(server.lifespan, "error_occurred", False):
            raise Unavailable("stopped after an internal error; see the log above")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.set_inheritable(True)
    except OSError as error:
        listener.close()
        raise SettingsError(f"port {port} on {host} can't be used: {error.strerror}") from None
    return listener
