"""What the doors share: their node, a client's grants, and errors as answers."""

from __future__ import annotations

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from stream.auth import Grants
from stream.node import Node
from wire import protocol
from wire.errors import CommandError, FleetwireError, TopicError

__all__ = ["error_response", "grants", "json_response", "node"]


def node(connection: HTTPConnection) -> Node:
    """The node that serves a request or WebSocket."""
    found: Node = connection.app.state.node
    return found


def grants(connection: HTTPConnection) -> Grants:
    """What the bearer token of a request or WebSocket grants. Raises CommandError, reason `invalid_token`."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    authority = node(connection).authority
    return authority.grants(token) if scheme.lower() == "bearer" else authority.default


def json_response(content: object, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(protocol.encode(content, "json"), status, media_type="application/json")


async def error_response(request: Request, error: Exception) -> Response:
    """The answer to a request that can't be carried out: the same error map as on the WebSocket."""
    assert isinstance(error, FleetwireError)
    if isinstance(error, TopicError):
        error = CommandError("invalid_topic", str(error))
    assert isinstance(error, CommandError)
    node(request).metrics.errors.labels(error.reason).inc()
    return json_response(protocol.error_reply(error), protocol.ERRORS[error.reason])
