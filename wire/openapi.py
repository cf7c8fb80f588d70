"""The HTTP API as an OpenAPI 3.1 document, made from the structs and tables of `wire.protocol`.

`python -m wire.openapi` prints it; a node serves it at `/v1/openapi.json`. What the events of `/v1/events` hold is
in the AsyncAPI document (`wire.asyncapi`).
"""

from __future__ import annotations

import sys
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct

from wire import protocol
from wire.protocol import ERRORS
from wire.schemas import SCHEMAS, Schema, any_of, components, leave_out_null, without

__all__ = ["ONLY", "document", "encoded"]

JSON, MSGPACK, NDJSON, CSV = "application/json", "application/msgpack", "application/x-ndjson", "text/csv"
EVENTS, GEOJSON, PLAIN = "text/event-stream", "application/geo+json", "text/plain"

# Which operations alone are refused for a reason. For any other, each that wants a token may be.
ONLY: dict[str, tuple[str, ...]] = {
    "unknown_action": (),
    "unknown_subscription": (),
    "grants_changed": (),
    "too_many_subscriptions": (),  # a stream of events is one
    "too_many_commands": (),
    "too_many_connections": ("events",),
    "node_full": ("events",),
    "not_found": (),  # of other paths
    "method_not_allowed": (),  # of other methods
    "invalid_cursor": ("events", "history"),
    "unknown_vehicle": ("publish",),
    "too_big": ("publish",),
    "unsupported_media_type": ("publish",),
    "storage_full": ("publish",),
}

# Said of any request before a node looks at what is asked, without the error map.
_TOO_LARGE = {"414": "The first line is too long.", "431": "The headers are too large."}
_SEGMENT = "[A-Za-z0-9._:-]{1,64}"
_LEVEL = rf"(\+|{_SEGMENT})"
_FILTER = f"^(#|{_LEVEL}(/{_LEVEL}){{0,15}}|{_LEVEL}(/{_LEVEL}){{0,14}}/#)$"
_ROOM, _COMMANDS = f"^rooms/{_SEGMENT}$", f"^fleets/{_SEGMENT}/{_SEGMENT}/commands$"
_EXAMPLES = {"topic": "fleets/berlin/+/telemetry", "signals": ["Speed", "CurrentLocation.*"]}
_GEOMETRIES = [
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
]


def document() -> dict[str, Any]:
    """The document, as what JSON is made of."""
    schemas = _schemas()
    commands = {name: schemas.pop(name) for name in ("Get", "History", "Subscribe", "Publish")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fleetwire HTTP API",
            "version": "1.0.0",
            "description": "What is asked and said is as on the WebSocket, `/v1/stream`, which `/v1/asyncapi.json` "
            "describes. A parameter that is unknown, or given twice, is an error. HEAD is answered wherever GET is.",
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/v1/state": {"get": _state(commands["Get"])},
            "/v1/history": {"get": _history(commands["History"])},
            "/v1/events": {"get": _events(commands["Subscribe"])},
            "/v1/publish": {"post": _publish(commands["Publish"])},
            "/v1/map/layer": {"get": _file("layer", "The operator's own map layer.", _of(GEOJSON, _named("Layer")))},
            "/v1/asyncapi.json": {"get": _file("asyncapi", "The WebSocket protocol.", _of(JSON, {"type": "object"}))},
            "/v1/openapi.json": {"get": _file("openapi", "This document.", _of(JSON, {"type": "object"}))},
            "/healthz": {"get": _open("alive", "Whether the node lives.", _of(JSON, _named("Alive")))},
            "/readyz": {
                "get": _open("ready", "Whether Redis and its feed are live.", _of(JSON, _named("Ready")), "503")
            },
            "/metrics": {"get": _open("metrics", "Numbers for Prometheus.", _of(PLAIN, {"type": "string"}))},
        },
        "components": {"schemas": schemas, "securitySchemes": {"bearer": _bearer()}},
    }


def encoded() -> bytes:
    """The document as JSON, to be read."""
    return msgspec.json.format(msgspec.json.encode(document()))


def _bearer() -> Schema:
    said = "A JSON Web Token whose grants cover what is asked. A node without a key wants none."
    return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": said}


def _state(command: Schema) -> Schema:
    return _guarded("state", command, _asked(command), _of(JSON, _named("States")))


def _history(command: Schema) -> Schema:
    formats = {"type": "string", "enum": ["json", "msgpack", "ndjson", "csv"]}
    format = _parameter("format", formats) | {"description": "Without it, what `Accept` likes best; else JSON."}
    page, table = _named("Page"), {"type": "string"}
    content = _of(JSON, page) | _of(MSGPACK, page) | _of(NDJSON, table) | _of(CSV, table)
    found = _guarded("history", command, [*_asked(command), format], content)
    trimmed = {"description": "What `trimmed` is in a page.", "schema": {"type": "string"}}
    found["responses"]["200"]["headers"] = {"Fleetwire-Trimmed": trimmed}
    return found


def _events(command: Schema) -> Schema:
    last = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}
    return _guarded("events", command, [*_asked(command), last], {EVENTS: {}})  # OpenAPI 3.1 has no word for events


def _publish(command: Schema) -> Schema:
    said = {"topic": {"pattern": _ROOM}, "ttl": {"type": "null"}}
    commanded = {"topic": {"pattern": _COMMANDS}, "data": {"type": "object"}}
    body = _without(command, "action", "requestId") | {"anyOf": [{"properties": said}, {"properties": commanded}]}
    body["examples"] = [{"topic": "rooms/ops", "data": {"text": "hi"}}]
    found = _guarded("publish", command, [], _of(JSON, _named("Published")))
    return found | {"requestBody": {"required": True, "content": _of(JSON, body)}}


def _guarded(operation: str, command: Schema, parameters: list[Schema], content: Schema) -> Schema:
    """An operation that does what a command of the WebSocket does, for who has a token that grants it."""
    return {
        "operationId": operation,
        "description": command["description"],
        "parameters": parameters,
        "security": [{"bearer": []}],
        "responses": {
            "200": {"description": "As asked.", "content": content},
            **_refusals(_reasons(operation)),
            **_too_large(),
        },
    }


def _open(operation: str, description: str, content: Schema, *more: str) -> Schema:
    """An operation for everybody. `more`: statuses with the same content."""
    responses = {status: {"description": description, "content": content} for status in ("200", *more)}
    responses |= _too_large()
    return {"operationId": operation, "description": description, "security": [], "responses": responses}


def _too_large() -> Schema:
    return {status: {"description": said} for status, said in _TOO_LARGE.items()}


def _file(operation: str, description: str, content: Schema) -> Schema:
    """An operation for everybody, but not for pages from elsewhere."""
    found = _open(operation, description, content)
    found["responses"] |= _refusals(["forbidden_origin"])
    return found


def _reasons(operation: str) -> list[str]:
    return [reason for reason in ERRORS if operation in ONLY.get(reason, (operation,))]


def _refusals(reasons: list[str]) -> Schema:
    """The error map for each status that there is then."""
    return {
        str(status): {
            "description": ", ".join(f"`{reason}`" for reason in alike),
            "content": _of(JSON, _error(status, alike)),
            **(
                {"headers": {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}}
                if status == 401
                else {}
            ),
        }
        for status, same in groupby(sorted(reasons, key=ERRORS.__getitem__), ERRORS.__getitem__)
        if (alike := list(same))
    }


def _error(status: int, reasons: list[str]) -> Schema:
    detail = {"properties": {"number": {"const": status}, "reason": {"enum": reasons}}}
    return _named("ErrorReply") | {"properties": {"error": detail}}


def _asked(command: Schema) -> list[Schema]:
    """The fields of a command as parameters of a query."""
    leave_out_null(command)
    fields = _without(command, "action", "requestId")
    required = fields["required"]
    return [
        _parameter(name, schema) | ({"required": True} if name in required else {})
        for name, schema in fields["properties"].items()
    ]


def _parameter(name: str, schema: Schema) -> Schema:
    found: Schema = {"name": name, "in": "query"}
    if name in ("filter", "geofence"):
        return found | {"content": _of(JSON, schema)}
    if name == "topic":
        schema = schema | {"pattern": _FILTER}
    if name == "signals":
        schema = schema | {"items": schema["items"] | {"pattern": "^[^,]+$"}}
    if name in ("signals", "bbox") or schema == _named("Window"):
        found |= {"style": "form", "explode": False}
    return found | {"schema": schema} | ({"example": _EXAMPLES[name]} if name in _EXAMPLES else {})


def _schemas() -> Schema:
    """Everything by name, with the commands."""
    commands: tuple[type[Struct], ...] = (protocol.Get, protocol.History, protocol.Subscribe, protocol.Publish)
    items: tuple[type[Struct], ...] = (protocol.ReadingItem, protocol.MessageItem)
    sent: tuple[type[Struct], ...] = (*items, protocol.ItemsReply, protocol.PublishReply, protocol.ErrorReply)
    window = without(protocol.WindowItem, "values")
    schemas = components((*commands, *sent, window, protocol.Numbers, protocol.Last), sent)
    values = {"type": "object", "additionalProperties": any_of("Numbers", "Last")}
    schemas["WindowItem"]["properties"]["values"] = values
    page, published = (_without(schemas.pop(name), "action", "requestId") for name in ("ItemsReply", "PublishReply"))
    page["properties"]["data"]["items"] = any_of("ReadingItem", "MessageItem", "WindowItem")
    states = _without(page, "cursor", "trimmed")
    states["properties"]["data"] = {"type": "array", "items": _named("ReadingItem")}
    said: Schema = {"type": "object", "required": ["ready"], "properties": {"ready": {"type": "boolean"}}}
    kinds = {"enum": [*_GEOMETRIES, "Feature", "FeatureCollection"]}
    layer = {"type": "object", "required": ["type"], "properties": {"type": kinds}, "description": "RFC 7946."}
    alive = {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}
    made = {"Page": page, "States": states, "Published": published, "Alive": alive, "Ready": said, "Layer": layer}
    return schemas | {name: schema | {"title": name} for name, schema in made.items()}


def _without(schema: Schema, *names: str) -> Schema:
    """The schema of a map that does not have these fields."""
    properties = {name: part for name, part in schema["properties"].items() if name not in names}
    return schema | {"properties": properties, "required": [n for n in schema["required"] if n not in names]}


def _named(name: str) -> Schema:
    return {"$ref": SCHEMAS + name}


def _of(media_type: str, schema: Schema) -> Schema:
    return {media_type: {"schema": schema}}


if __name__ == "__main__":
    sys.stdout.buffer.write(encoded() + b"\n")
