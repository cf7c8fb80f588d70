"""The client protocol as an AsyncAPI 3.0 document, made from the structs and tables of `wire.protocol`.

`python -m wire.asyncapi` prints it; a node serves it at `/v1/asyncapi.json`. The types of the TypeScript client are
made from it.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any, get_args

import msgspec
from msgspec import Struct

from wire import protocol
from wire.protocol import CLOSE_CODES, ERRORS, SUBPROTOCOLS
from wire.schemas import SCHEMAS, Schema, any_of, components, one_of_words, summary, text, without

__all__ = ["COMMANDS", "EVENTS", "REPLIES", "document", "encoded"]

MESSAGES = "#/components/messages/"

COMMANDS: tuple[type[Struct], ...] = get_args(protocol.Command)
EVENTS: tuple[type[Struct], ...] = (protocol.SubscriptionEvent, protocol.Replay, protocol.Gap)
REPLIES: dict[type[Struct], type[Struct]] = {
    protocol.Subscribe: protocol.SubscribeReply,
    protocol.Update: protocol.SubscribeReply,
    protocol.Unsubscribe: protocol.Reply,
    protocol.Publish: protocol.PublishReply,
    protocol.Get: protocol.ItemsReply,
    protocol.History: protocol.ItemsReply,
    protocol.Authorize: protocol.Reply,
    protocol.Ping: protocol.PingReply,
}
ANSWERS: tuple[type[Struct], ...] = (*dict.fromkeys(REPLIES.values()),)
ITEMS: tuple[type[Struct], ...] = (protocol.ReadingItem, protocol.MessageItem)

CONTENT_TYPES: dict[protocol.Format, str] = {"json": "application/json", "msgpack": "application/msgpack"}
FRAMES: dict[protocol.Format, str] = {"json": "text", "msgpack": "binary"}


def document() -> dict[str, Any]:
    """The document, as what JSON is made of. Actions are those of the node: it receives commands and sends events."""
    messages: tuple[type[Struct], ...] = (*COMMANDS, *ANSWERS, protocol.ErrorReply, *EVENTS)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Fleetwire client protocol",
            "version": "1.0.0",
            "description": text(inspect.getdoc(protocol)),
        },
        "defaultContentType": CONTENT_TYPES["json"],
        "servers": {"node": _server("ws"), "tls": _server("wss")},
        "channels": {"stream": _channel(messages)},
        "operations": {**_requests(), **_events()},
        "components": {"messages": {kind.__name__: _message(kind) for kind in messages}, "schemas": _schemas()},
        "x-errors": ERRORS,
        "x-close-codes": {
            str(code): {"reason": close.reason, "comeBack": close.come_back} for code, close in CLOSE_CODES.items()
        },
    }


def encoded() -> bytes:
    """The document as JSON, to be read."""
    return msgspec.json.format(msgspec.json.encode(document()))


def _server(protocol: str) -> Schema:
    where = {"default": "127.0.0.1:8000", "description": "Host and port of any node, or of what stands before them."}
    return {"host": "{host}", "protocol": protocol, "variables": {"host": where}}


def _channel(messages: tuple[type[Struct], ...]) -> Schema:
    header = {"type": "string", "enum": list(SUBPROTOCOLS), "default": next(iter(SUBPROTOCOLS))}
    return {
        "address": "/v1/stream",
        "summary": "A WebSocket connection, in one of the subprotocols: the same maps, as JSON or MessagePack.",
        "messages": {kind.__name__: {"$ref": MESSAGES + kind.__name__} for kind in messages},
        "bindings": {
            "ws": {"headers": {"type": "object", "properties": {"Sec-WebSocket-Protocol": header}}},
        },
        "x-subprotocols": {
            name: {"format": format, "contentType": CONTENT_TYPES[format], "frames": FRAMES[format]}
            for name, format in SUBPROTOCOLS.items()
        },
    }


def _requests() -> Schema:
    """A command each, with its replies."""
    return {
        _action(command): {
            "action": "receive",
            **_on_stream(command),
            "summary": summary(command),
            "reply": _on_stream(REPLIES[command], protocol.ErrorReply),
        }
        for command in COMMANDS
    }


def _events() -> Schema:
    """What a node says by itself. An error without a request: of a frame that could not be read, or of a
    subscription that a new token no longer allows."""
    events = {_action(kind): kind for kind in EVENTS} | {"error": protocol.ErrorReply}
    return {name: {"action": "send", **_on_stream(kind), "summary": summary(kind)} for name, kind in events.items()}


def _on_stream(*kinds: type[Struct]) -> Schema:
    return {
        "channel": {"$ref": "#/channels/stream"},
        "messages": [{"$ref": f"#/channels/stream/messages/{kind.__name__}"} for kind in kinds],
    }


def _message(kind: type[Struct]) -> Schema:
    found = {"name": kind.__name__, "summary": summary(kind), "payload": {"$ref": SCHEMAS + kind.__name__}}
    if "request_id" in kind.__struct_fields__:
        found["correlationId"] = {"location": "$message.payload#/requestId"}
    return found


def _schemas() -> Schema:
    """Everything by name: structs under theirs, and the unions that are words of the protocol."""
    sent: tuple[type[Struct], ...] = (*ANSWERS, protocol.ErrorReply, *EVENTS, *ITEMS)
    window = without(protocol.WindowItem, "values")
    structs: tuple[type[Struct], ...] = (*COMMANDS, *sent, window, protocol.Numbers, protocol.Last)
    schemas: Schema = _draft07(components(structs, sent))
    _say_what_is_in_them(schemas)
    unions = {"Command": COMMANDS, "Answer": ANSWERS, "Event": EVENTS, "Item": ITEMS}
    for name, members in unions.items():
        schemas[name] = {"title": name, **any_of(*(member.__name__ for member in members))}
    return schemas


def _say_what_is_in_them(schemas: Schema) -> None:
    """What Python does not say of what it has encoded already, or leaves open for the sake of speed."""
    told = "What the numbers of a signal come to in the window of a subscription: of these, what it asked for."
    schemas["Summary"] = schemas["Numbers"] | {"title": "Summary", "description": told, "required": []}
    schemas["ReadingItem"]["properties"]["values"]["additionalProperties"] = any_of("Value", "Summary")
    schemas["WindowItem"]["properties"]["values"] = {
        "type": "object",
        "additionalProperties": any_of("Numbers", "Last"),
    }
    schemas["SubscriptionEvent"]["properties"]["data"]["items"] = {"$ref": SCHEMAS + "Item"}
    schemas["ItemsReply"]["properties"]["data"]["items"] = any_of("ReadingItem", "MessageItem", "WindowItem")
    for reply in ANSWERS:
        actions = [_action(command) for command, answer in REPLIES.items() if answer is reply]
        schemas[reply.__name__]["properties"]["action"] = one_of_words(actions)
        schemas[reply.__name__]["not"] = {"required": ["error"]}  # it is one of these, or an ErrorReply


def _draft07(schema: Any) -> Any:
    """The schema in the dialect of AsyncAPI."""
    if isinstance(schema, list):
        return [_draft07(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _draft07(part) for key, part in schema.items()}
    if "prefixItems" in found:
        found |= {"items": found.pop("prefixItems"), "additionalItems": False}
    return found


def _action(kind: type[Struct]) -> str:
    return str(kind.__struct_config__.tag)


if __name__ == "__main__":
    sys.stdout.buffer.write(encoded() + b"\n")
