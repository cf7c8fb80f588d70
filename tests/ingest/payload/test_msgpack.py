"""MessagePack is read as the same JSON is; what JSON does not know is refused, or null where it is no number."""

from __future__ import annotations

import datetime
import json
from math import inf, nan
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.payload import MAX_PAYLOAD_BYTES, decode_json, decode_msgpack
from wire.errors import PayloadError
from wire.reading import Reading

NOW = 1_764_000_000_500

values = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
names = st.sampled_from(["ts", "seq", "values", "historical", "Speed"]) | st.text(max_size=5)
anything = st.recursive(
    values, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)


def outcome(decode: Any, payload: bytes) -> Any:
    try:
        return decode(payload, NOW)
    except PayloadError as error:
        return error.reason


@given(anything)
def test_any_structure_is_read_as_its_json_is(found: Any) -> None:
    assert outcome(decode_msgpack, msgpack.packb(found)) == outcome(decode_json, json.dumps(found).encode())


def test_numbers_of_32_bits_are_read() -> None:
    (reading,) = decode_msgpack(msgpack.packb({"a": 0.5}, use_single_float=True), NOW)
    assert reading == Reading(NOW, {"a": 0.5}, received=NOW, clock="arrival")


@pytest.mark.parametrize("shape", [lambda values: {"values": values}, lambda values: values])
def test_what_is_not_finite_is_null(shape: Any) -> None:
    (reading,) = decode_msgpack(msgpack.packb(shape({"a": nan, "b": inf, "c": -inf, "d": 1.5})), NOW)
    assert reading.values == {"a": None, "b": None, "c": None, "d": 1.5}


BAD: dict[str, tuple[str, bytes]] = {
    "empty": ("not_msgpack", b""),
    "reserved": ("not_msgpack", b"\xc1"),
    "truncated": ("not_msgpack", msgpack.packb({"a": "bcd"})[:-1]),
    "trailing": ("not_msgpack", msgpack.packb({"a": 1}) + b"\x00"),
    "an array of 4 billion": ("not_msgpack", b"\xdd\xff\xff\xff\xff"),
    "deep nesting": ("not_msgpack", b"\x91" * 100_000),
    "invalid UTF-8": ("not_utf8", b"\x81\xa1a\xa1\xff"),
    "too long": ("too_big", bytes(MAX_PAYLOAD_BYTES + 1)),
    "bin value": ("bad_value", msgpack.packb({"a": b"x"})),
    "bin in values": ("bad_value", msgpack.packb({"values": {"a": b"x"}})),
    "bin name": ("bad_value", msgpack.packb({b"a": 1})),
    "number as a name": ("bad_value", msgpack.packb({1: 1})),
    "array as a name": ("bad_value", b"\x81\x91\x01\x01"),
    "ext value": ("bad_value", msgpack.packb({"a": msgpack.ExtType(5, b"x")})),
    "time stamp value": ("bad_value", msgpack.packb({"a": datetime.datetime.now(datetime.UTC)}, datetime=True)),
    "unsigned 64 bits": ("bad_value", msgpack.packb({"a": 1 << 63})),
    "nested": ("bad_value", msgpack.packb({"a": {"b": 1}})),
    "ts of type ext": ("bad_ts", msgpack.packb({"ts": msgpack.Timestamp(1), "values": {"a": 1}})),
    "ts of NaN": ("bad_ts", msgpack.packb({"ts": nan, "values": {"a": 1}})),
    "number": ("not_a_map", b"\x01"),
    "nothing": ("no_values", b"\x80"),
}


@pytest.mark.parametrize(("reason", "payload"), BAD.values(), ids=BAD)
def test_what_can_not_be_read_is_refused_with_its_reason(reason: str, payload: bytes) -> None:
    assert outcome(decode_msgpack, payload) == reason
