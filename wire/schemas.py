"""JSON schemas (2020-12) of what travels, by name, for the documents that describe it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from wire import protocol
from wire.reading import Value
from wire.shaping import Filters, Window

__all__ = [
    "SCHEMAS",
    "Schema",
    "any_of",
    "components",
    "leave_out_null",
    "one_of_words",
    "summary",
    "text",
    "without",
]

Schema = dict[str, Any]

SCHEMAS = "#/components/schemas/"
# No structs, but words of the protocol all the same.
NAMED: dict[str, Any] = {"Value": Value, "Strategy": protocol.Strategy, "Filters": Filters, "Window": Window}


def components(structs: Sequence[type[Struct]], sent: Iterable[type[Struct]]) -> Schema:
    """The schemas of structs, of what is in them, and of the unions that are words of the protocol. `sent`: which of
    them a node sends; it never says null for what it does not know."""
    found, described = msgspec.json.schema_components([*structs, *NAMED.values()], ref_template=SCHEMAS + "{name}")
    named = dict(zip(NAMED, found[len(structs) :], strict=True))
    schemas = {name: _plain(schema, named) for name, schema in described.items()}
    schemas |= {name: {"title": name, **_plain(schema, {})} for name, schema in named.items()}
    for kind in sent:
        leave_out_null(schemas[kind.__name__])
    return schemas


def without(kind: type[Struct], unknown: str) -> type[Struct]:
    """The struct with a field that may be anything. (Of a union of structs without tags msgspec says nothing.)"""
    known = [(field.name, Any if field.name == unknown else field.type) for field in fields(kind)]
    return msgspec.defstruct(kind.__name__, known, namespace={"__doc__": kind.__doc__})


def leave_out_null(schema: Schema) -> None:
    """What is null by default is left out instead, and never null."""
    for name, field in schema["properties"].items():
        if "default" in field and field["default"] is None:
            (kept,) = (option for option in field["anyOf"] if option != {"type": "null"})
            schema["properties"][name] = kept


def one_of_words(words: list[str]) -> Schema:
    """The schema of a text that is one of these."""
    return {"const": words[0]} if len(words) == 1 else {"enum": words}


def any_of(*names: str) -> Schema:
    """The schema of what is one of these, by name."""
    return {"anyOf": [{"$ref": SCHEMAS + name} for name in names]}


def summary(kind: type[Struct]) -> str:
    """What is said of a struct first."""
    return re.split(r"[.:;](?:\s|$)", text(inspect.getdoc(kind)), maxsplit=1)[0]


def text(doc: str | None) -> str:
    """A docstring, a line a paragraph."""
    paragraphs = inspect.cleandoc(doc or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _plain(schema: Any, named: Schema) -> Any:
    """The schema with references to what has a name, and nothing said twice."""
    if isinstance(schema, list):
        return [_plain(part, named) for part in schema]
    if not isinstance(schema, dict):
        return schema
    default = {key: part for key, part in schema.items() if key == "default"}
    for name, known in named.items():
        if schema == known | default:
            return {"anyOf": [{"$ref": SCHEMAS + name}], **default} if default else {"$ref": SCHEMAS + name}
    found = {key: _plain(part, named) for key, part in schema.items() if key != "discriminator"}
    if {"type": "number"} in found.get("anyOf", ()):
        options = [option for option in found.pop("anyOf") if option != {"type": "integer"}]
        found |= {"anyOf": options} if len(options) > 1 else options[0]
    if isinstance(found.get("enum"), list):
        found |= one_of_words(found.pop("enum"))
    if found.get("uniqueItems") and "default" in found:
        found["default"] = sorted(found["default"])  # a set has no order to be told
    if isinstance(found.get("description"), str):
        found["description"] = text(found["description"])
    return found
