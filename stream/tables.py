"""History as a file: lines of JSON, or CSV. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

from stream.item import Item, View
from wire.protocol import Last, WindowItem, encode
from wire.reading import Message, Reading

__all__ = ["Csv", "Ndjson", "Table"]

_READINGS = ("topic", "id", "ts", "signal", "value")
_META = ("seq", "historical", "received", "clock", "stored")
_WINDOWS = ("topic", "ts", "signal", "count", "min", "max", "mean", "last")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Table(Protocol):
    """A kind of file."""

    media_type: ClassVar[str]

    def head(self, *, windows: bool, meta: bool) -> bytes:
        """What stands first."""
        ...

    def readings(self, items: Iterable[Item], view: View) -> bytes:
        """More readings and messages."""
        ...

    def windows(self, items: Iterable[WindowItem]) -> bytes:
        """More windows."""
        ...


class Ndjson:
    """Each item as a line of JSON, as it stands in a page."""

    media_type: ClassVar[str] = "application/x-ndjson"

    def head(self, *, windows: bool, meta: bool) -> bytes:
        return b""

    def readings(self, items: Iterable[Item], view: View) -> bytes:
        return b"".join(item.encoded(view) + b"\n" for item in items)

    def windows(self, items: Iterable[WindowItem]) -> bytes:
        return b"".join(encode(item, "json") + b"\n" for item in items)


class Csv:
    """Each value as a row (RFC 4180), so that devices with any signals have the same columns. Of a message there are
    rows `data`, which is JSON, and `sender`. Null is an empty cell.

    A text that a spreadsheet would take for a formula has an apostrophe before it; numbers stay as they are."""

    media_type: ClassVar[str] = "text/csv; charset=utf-8"

    def head(self, *, windows: bool, meta: bool) -> bytes:
        return _rows([_WINDOWS if windows else _READINGS + _META if meta else _READINGS])

    def readings(self, items: Iterable[Item], view: View) -> bytes:
        rows: list[tuple[Any, ...]] = []
        for item in items:
            body = item.body
            meta = _meta(item) if view.meta else ()
            values = view.values(body) if isinstance(body, Reading) else _said(body)
            rows += [
                (item.topic, item.id, body.ts, _text(name), _cell(value), *meta) for name, value in values.items()
            ]
        return _rows(rows)

    def windows(self, items: Iterable[WindowItem]) -> bytes:
        return _rows(
            (item.topic, item.ts, _text(name), item.count, None, None, None, _cell(told.last))
            if isinstance(told, Last)
            else (item.topic, item.ts, _text(name), item.count, told.min, told.max, told.mean, None)
            for item in items
            for name, told in item.values.items()
        )


def _rows(rows: Iterable[tuple[Any, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _meta(item: Item) -> tuple[Any, ...]:
    body = item.body
    if isinstance(body, Message):
        return None, None, None, None, item.stored
    return body.seq, _cell(body.historical), body.received, body.clock, item.stored


def _said(message: Message) -> dict[str, Any]:
    said = {"data": encode(message.data, "json").decode()}
    return said if message.sender is None else {**said, "sender": message.sender}


def _cell(value: Any) -> Any:
    if value is True or value is False:
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
