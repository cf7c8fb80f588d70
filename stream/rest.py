"""The REST door: `GET /v1/state`, `GET /v1/history`, `POST /v1/publish`."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response

from stream.download import download
from stream.formats import chosen
from stream.http import admitted, json_response, node
from wire import protocol, topics
from wire.clock import now_ms
from wire.errors import CommandError

__all__ = ["command", "history", "publish", "state"]


_LISTS: dict[type, set[str]] = {protocol.Subscribe: {"signals", "bbox", "window"}, protocol.History: {"signals"}}
_MAPS = {"filter", "geofence"}


async def state(request: Request) -> Response:
    """The current state of what `topic` matches."""
    allowance = await admitted(request)
    asked = command(protocol.Get, request)
    allowance.check("subscribe", topics.check_filter(asked.topic))
    view = allowance.view("json", meta=asked.meta)
    states = await node(request).states(asked.topic)
    data = [Raw(item.encoded(view)) for item in states if view.shows(item.body)]
    return json_response({"ts": now_ms(), "data": data})


async def history(request: Request) -> Response:
    """What was stored of what `topic` matches: in JSON or MessagePack a page, whose `cursor` goes on as `after`; as
    NDJSON or CSV a download of all of it."""
    allowance = await admitted(request)
    format = chosen(request.query_params.get("format"), request.headers.get("accept", ""))
    asked: protocol.History = command(protocol.History, request, "format")
    allowance.check("subscribe", topics.check_filter(asked.topic))
    past = node(request).past
    if format == "json" or format == "msgpack":
        page = await past.page(asked, allowance.view(format, asked.signals, asked.meta))
        found = {"cursor": page.cursor, "trimmed": page.trimmed}
        present = {name: value for name, value in found.items() if value is not None}
        content = {"ts": now_ms(), **present, "data": page.data}
        return Response(protocol.encode(content, format), media_type=f"application/{format}")
    if "limit" in request.query_params:
        raise CommandError("bad_request", f"limit is of pages: {format} is all of it, as far as from and to say")
    return await download(past, asked, allowance.view("json", asked.signals, asked.meta), format)


async def publish(request: Request) -> Response:
    """Say something in a room, or command a vehicle: a JSON body with `topic`, `data` and, of a command, `ttl`."""
    allowance = await admitted(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # A page from anywhere may have a browser send anything else here, without asking first.
        raise CommandError("unsupported_media_type", "a body is application/json, and says so")
    body = await _body(request)
    try:
        asked = msgspec.json.decode(body, type=_Publish)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError("bad_request", str(error)) from None
    topics.parse(asked.topic)
    allowance.check("publish", asked.topic)
    id = await node(request).publisher.publish(asked.topic, asked.data, allowance.subject, asked.ttl)
    return json_response({"ts": now_ms(), "id": id})


async def _body(request: Request) -> bytes:
    allowed, seconds = node(request).settings.frame_bytes, node(request).settings.limits.head_s
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > allowed:
                    raise CommandError("too_big", f"at most {allowed} bytes are taken")
    except TimeoutError:
        raise CommandError("bad_request", f"the body did not come within {seconds:g} s") from None
    return bytes(body)


class _Publish(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    data: Any
    ttl: protocol.Ttl | None = None


def command(kind: type[Any], request: Request, *besides: str) -> Any:
    """The query string, but for some parameters, as the command of the WebSocket protocol that asks for the same.

    Lists are separated by commas; `filter` and `geofence` are JSON. Raises CommandError, reason `bad_request`, for a
    field that is unknown, missing, given twice or of a wrong type.
    """
    given = request.query_params.multi_items()
    fields: dict[str, Any] = {name: text for name, text in given if name not in besides}
    if len(given) > len(request.query_params):
        raise CommandError("bad_request", "a parameter is given twice")
    for name in _LISTS.get(kind, set()) & fields.keys():
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
