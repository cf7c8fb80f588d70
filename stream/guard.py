"""What every answer tells a browser not to do (OWASP, HTTP headers), and what the page may load (CSP)."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["POLICY", "Guard", "failed", "page_policy"]

POLICY = "Content-Security-Policy"

EVERYWHERE = {
    POLICY: "default-src 'none'; frame-ancestors 'none'",  # data; what is to be looked at has its own
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin",  # a map's server may want to know whose page it is, not what it shows
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",  # of what is asked for without CORS
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}
SECURE = {"Strict-Transport-Security": "max-age=31536000"}  # a browser comes back by TLS only


def page_policy(map_origins: Sequence[str] = ()) -> str:
    """The policy of the page and its files: nothing but what the node serves, and of other places only data and
    images for the map. `map_origins`: like `https://tiles.example.com`."""
    elsewhere = "".join(f" {origin}" for origin in map_origins)
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "worker-src 'self'",
            "style-src 'self'",
            f"img-src 'self' data: blob:{elsewhere}",  # icons of the map's own style are data
            f"connect-src 'self'{elsewhere}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class Guard:
    """ASGI middleware: adds these headers to answers that do not have them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """No coroutine of its own: for a WebSocket it would stay as long as the client does."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        added = EVERYWHERE | SECURE if scope.get("scheme") == "https" else EVERYWHERE

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
            await send(message)

        return self._app(scope, receive, guarded)


async def failed(request: Request, error: Exception) -> Response:
    """The answer where there is none: it is made outside of all middleware."""
    return PlainTextResponse("Internal Server Error", 500, headers=EVERYWHERE)
