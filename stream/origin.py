"""Which pages may use a node: its own, and those that the operator names (RFC 6454; CORS)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from prometheus_client import Counter
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from stream.peer import is_loopback

__all__ = ["Local", "Origins", "allowed", "is_local"]

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")

Refusal = Callable[[Scope, Receive, Send], Awaitable[None]]


def allowed(origin: str, host: str, origins: Sequence[str]) -> bool:
    """Whether a page of this origin may use a node that it knows as `host`. (Whether by TLS or not is for a proxy to
    know.)"""
    return "*" in origins or origin.partition("://")[2].lower() == host.lower() or origin.lower() in origins


class Local:
    """ASGI middleware of a node that serves this machine only: a page from elsewhere whose name was made to lead here
    (DNS rebinding) is of this origin to the browser, but asks for its own host. `refused` answers; it is counted."""

    def __init__(self, app: ASGIApp, refused: Refusal, refusals: Counter) -> None:
        self._app = app
        self._refused = refused
        self._refusals = refusals.labels("host")

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """No coroutine of its own: it would stay as long as a client does."""
        if scope["type"] == "lifespan" or is_local(_header(scope, b"host") or ""):
            return self._app(scope, receive, send)
        self._refusals.inc()
        return self._refused(scope, receive, send)


@lru_cache(64)
def is_local(host: str) -> bool:
    """Whether a Host header names this machine by a name that nobody else can give."""
    name = urlsplit(f"//{host}").hostname if _HOST.fullmatch(host) else None
    return name is not None and is_loopback(name)


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
        origin = _header(scope, b"origin")
        if origin is None:
            return self._app(scope, receive, send)
        if not allowed(origin, _header(scope, b"host") or "", self._origins):
            self._refusals.inc()
            return self._refused(scope, receive, send)
        return (self._cors if scope["type"] == "http" else self._app)(scope, receive, send)


def _header(scope: Scope, name: bytes) -> str | None:
    """The first of that name. Starlette's Headers take a twentieth of a connection's opening to find none."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
