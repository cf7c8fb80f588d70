"""Which pages may use a node: its own, and those that the operator names (RFC 6454; CORS)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import Counter
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Origins", "allowed"]

Refusal = Callable[[Scope, Receive, Send], Awaitable[None]]


def allowed(origin: str, host: str, origins: Sequence[str]) -> bool:
    """Whether a page of this origin may use a node that it knows as `host`. (Whether by TLS or not is for a proxy to
    know.)"""
    return "*" in origins or origin.partition("://")[2].lower() == host.lower() or origin.lower() in origins


class Origins:
    """ASGI middleware: what a browser says comes from a page of somewhere else is refused before anything is done for
    it, a WebSocket before it is one. Who sends no Origin is no page. `refused` answers; it is counted."""

    def __init__(self, app: ASGIApp, origins: Sequence[str], refused: Refusal, refusals: Counter) -> None:
        self._app = app
        self._origins = [origin.lower() for origin in origins]
        self._refused = refused
        self._refusals = refusals.labels("origin")
        self._cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
            expose_headers=["Fleetwire-Trimmed", "Retry-After"],
            max_age=3_600,
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """No coroutine of its own: it would stay as long as a client does."""
        if scope["type"] == "lifespan" or not scope["path"].startswith("/v1/"):
            return self._app(scope, receive, send)
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            return self._app(scope, receive, send)
        if not allowed(origin, headers.get("host", ""), self._origins):
            self._refusals.inc()
            return self._refused(scope, receive, send)
        return (self._cors if scope["type"] == "http" else self._app)(scope, receive, send)
