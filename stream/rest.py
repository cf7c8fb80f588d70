"""The REST door: `GET /v1/state`, `GET /v1/history`, `POST /v1/publish`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response

from stream.http import grants, json_response, node
from stream.item import Item, View
from stream.session import next_page, span, trimmed
from wire import protocol, topics
from wire.clock import now_ms
from wire.errors import CommandError

__all__ = ["command", "history", "publish", "state"]


_LISTS = {"signals", "bbox", "window"}
_MAPS = {"filter", "geofence"}


async def state(request: Request) -> Response:
    """The current state of what `topic` matches."""
    asked = command(protocol.Get, request)
    grants(request).check("subscribe", topics.check_filter(asked.topic))
    return _items(await node(request).states(asked.topic), asked.meta)


async def history(request: Request) -> Response:
    """Stored readings of what `topic` matches, oldest first; `cursor` goes on as `after`."""
    asked = command(protocol.History, request)
    grants(request).check("subscribe", topics.check_filter(asked.topic))
    serving = node(request)
    page = await serving.page(asked.topic, *span(asked, len(serving.layout)), asked.limit)
    return _items(page.items, asked.meta, cursor=next_page(page), trimmed=trimmed(page))


async def publish(request: Request) -> Response:
    """Say something in a room, or command a vehicle: a JSON body with `topic`, `data` and, of a command, `ttl`."""
    allowed = node(request).settings.frame_bytes
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > allowed:
            raise CommandError("too_big", f"at most {allowed} bytes are taken")
    try:
        asked = msgspec.json.decode(bytes(body), type=_Publish)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError("bad_request", str(error)) from None
    allowance = grants(request)
    topics.parse(asked.topic)
    allowance.check("publish", asked.topic)
    id = await node(request).publisher.publish(asked.topic, asked.data, allowance.subject, asked.ttl)
    return json_response({"ts": now_ms(), "id": id})


class _Publish(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    data: Any
    ttl: protocol.Ttl | None = None


def command(kind: type[Any], request: Request) -> Any:
    """The query string as the command of the WebSocket protocol that asks for the same.

    Lists are separated by commas; `filter` and `geofence` are JSON. Raises CommandError, reason `bad_request`, for a
    field that is unknown, missing or of a wrong type.
    """
    fields: dict[str, Any] = dict(request.query_params)
    for name in _LISTS & fields.keys():
        fields[name] = fields[name].split(",")
    for name in _MAPS & fields.keys():
        fields[name] = _map(name, fields[name])
    try:
        return msgspec.convert({"requestId": "http", **fields}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise CommandError("bad_request", str(error)) from None


def _map(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise CommandError("bad_request", f"{name} is JSON: {error}") from None


def _items(items: list[Item], meta: bool, **fields: str | None) -> Response:
    view = View("json", meta=meta)
    data = [Raw(item.encoded(view)) for item in items]
    present = {name: value for name, value in fields.items() if value is not None}
    return json_response({"ts": now_ms(), **present, "data": data})
