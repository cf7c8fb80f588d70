"""What the doors share: their node, a client's grants, and errors as answers."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from stream.grants import Grants
from stream.node import Node
from wire import protocol
from wire.errors import CommandError, FleetwireError, TopicError
from wire.protocol import BEARER

__all__ = [
    "admitted",
    "error_response",
    "grants",
    "host_refused",
    "http_error_response",
    "json_response",
    "node",
    "origin_refused",
]

LATER = (429, 503)  # of what HTTP says with these, it also says when to try again
LATER_SECONDS = 5


def node(connection: HTTPConnection) -> Node:
    """The node that serves a request or WebSocket."""
    found: Node = connection.app.state.node
    return found


async def grants(connection: HTTPConnection) -> Grants:
    """What the bearer token of a request (RFC 6750, section 2.1) or WebSocket grants; that of a WebSocket may also
    come as a subprotocol, since browsers let nobody set a header. Raises CommandError, reason `invalid_token` or
    `unavailable`."""
    authority = node(connection).authority
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await authority.grants(token.strip())
    for subprotocol in connection.scope.get("subprotocols", ()):
        if subprotocol.startswith(BEARER):
            return await authority.grants(subprotocol.removeprefix(BEARER))
    return authority.default


async def admitted(request: Request) -> Grants:
    """What the token of a request grants, before anything else of the request is looked at. Raises CommandError as
    `grants` does, and `unauthorized` when it grants nothing, or there is none and one is needed."""
    found = await grants(request)
    found.check_any()
    return found


def json_response(content: object, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(protocol.encode(content, "json"), status, media_type="application/json")


async def error_response(request: Request, error: Exception) -> Response:
    """The answer to a request that can't be carried out: the same error map as on the WebSocket."""
    assert isinstance(error, FleetwireError)
    if isinstance(error, TopicError):
        error = CommandError("invalid_topic", str(error))
    assert isinstance(error, CommandError)
    return _refusal(request, error)


async def http_error_response(request: Request, error: Exception) -> Response:
    """The answer to a request for what is not there, or not for this method; in the same form."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        refused = CommandError("method_not_allowed", f"{request.url.path[:128]} is not for {request.method[:16]}")
    else:
        refused = CommandError("not_found", f"nothing is at {request.url.path[:128]}")
    return _refusal(request, refused, error.headers)


async def origin_refused(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a page from elsewhere."""
    connection = HTTPConnection(scope)
    said = f"pages of {connection.headers['origin'][:128]} may not use this node: see --origin"
    await _refuse(scope, receive, send, said)


async def host_refused(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers who asks a node that serves this machine only for another host."""
    said = "this node serves this machine only, as http://127.0.0.1 or http://localhost: it has no key of tokens"
    await _refuse(scope, receive, send, said)


async def _refuse(scope: Scope, receive: Receive, send: Send, said: str) -> None:
    response = _refusal(HTTPConnection(scope), CommandError("forbidden_origin", said))
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(response)
    else:
        await response(scope, receive, send)


def _refusal(connection: HTTPConnection, error: CommandError, headers: Mapping[str, str] | None = None) -> Response:
    node(connection).metrics.errors.labels(error.reason).inc()
    number = protocol.ERRORS[error.reason]
    response = json_response(protocol.error_reply(error), number)
    response.headers.update(headers or {})
    if number == 401:
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 15.5.2, wants it
    if number in LATER:
        response.headers["Retry-After"] = str(LATER_SECONDS)
    return response
