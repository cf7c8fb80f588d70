"""Sparkplug payloads written byte by byte, from the numbers in the specification."""

from __future__ import annotations

import struct
from typing import Any

Fields = list[tuple[int, Any]]

INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64 = range(1, 9)
FLOAT, DOUBLE, BOOLEAN, STRING, DATETIME = range(9, 14)


class Single(float):
    """A number of 32 bits."""


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(fields: Fields) -> bytes:
    """The bytes of a message: whole numbers, numbers, text, bytes, and messages in it, each under its number."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: Any) -> bytes:
    if isinstance(value, Single):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = message(value) if isinstance(value, list) else value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(data)) + data


def metric(
    name: str | None = None,
    value: Any = None,
    *,
    alias: int | None = None,
    ts: int | None = None,
    datatype: int | None = None,
    historical: bool = False,
    null: bool = False,
    field: int | None = None,
) -> Fields:
    """A metric's fields; `field` is the number of the value's, where its type does not say it."""
    kinds: dict[type, int] = {bool: 14, int: 11, Single: 12, float: 13, str: 15, bytes: 16}
    fields: Fields = []
    for number, part in ((1, name), (2, alias), (3, ts), (4, datatype), (5, historical or None), (7, null or None)):
        if part is not None:
            fields.append((number, part))
    if value is not None:
        fields.append((field or kinds[type(value)], value))
    return fields


def structure(*metrics: Fields, ts: int | None = None, seq: int | None = None) -> Fields:
    """A payload's fields."""
    return [
        *([] if ts is None else [(1, ts)]),
        *((2, fields) for fields in metrics),
        *([] if seq is None else [(3, seq)]),
    ]


def payload(*metrics: Fields, ts: int | None = None, seq: int | None = None) -> bytes:
    """The bytes of a payload."""
    return message(structure(*metrics, ts=ts, seq=seq))
