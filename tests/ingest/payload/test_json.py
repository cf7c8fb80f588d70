"""Whatever a device sends becomes readings, or a PayloadError with one of a few reasons, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.payload import MAX_PAYLOAD_BYTES, MAX_SIGNALS, decode_json
from wire.errors import PayloadError
from wire.reading import Reading, decode_reading, encode

NOW = 1_764_000_000_500
REASONS = {
    "too_big",
    "not_utf8",
    "not_json",
    "not_a_map",
    "no_values",
    "bad_ts",
    "bad_seq",
    "bad_value",
    "too_many_signals",
}

names = st.text(max_size=20)
values = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
anything = st.recursive(
    values | st.integers(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4)
)
# Maps of our own field names with anything in them: these reach the checks behind the decoder.
near = st.dictionaries(st.sampled_from(["ts", "seq", "values", "historical", "Speed"]), anything, max_size=5)


def usual(**fields: Any) -> bytes:
    return json.dumps({"ts": 1, "values": {"Speed": 54.2}} | fields).encode()


@pytest.mark.parametrize(
    ("payload", "reading"),
    [
        (usual(), Reading(1, {"Speed": 54.2}, received=NOW)),
        (usual(seq=17), Reading(1, {"Speed": 54.2}, seq=17, received=NOW)),
        (usual(historical=True), Reading(1, {"Speed": 54.2}, historical=True, received=NOW)),
        (usual(firmware="1.2"), Reading(1, {"Speed": 54.2}, received=NOW)),
        (usual(ts=1.9), Reading(1, {"Speed": 54.2}, received=NOW)),
        (usual(ts=0), Reading(0, {"Speed": 54.2}, received=NOW)),
        (usual(ts=(1 << 53) - 1), Reading((1 << 53) - 1, {"Speed": 54.2}, received=NOW)),
        (b'{"ts":1.764e12,"Speed":1}', Reading(1_764_000_000_000, {"Speed": 1}, received=NOW)),
        (
            usual(values={"a": None, "b": True, "c": "é", "d": -1}),
            Reading(1, {"a": None, "b": True, "c": "é", "d": -1}, received=NOW),
        ),
        (
            b'{"ts":1,"seq":2,"historical":true,"Speed":5,"On":false}',
            Reading(1, {"Speed": 5, "On": False}, 2, True, received=NOW),
        ),
        (b' {"Speed":5}\n', Reading(NOW, {"Speed": 5}, received=NOW, clock="arrival")),
        (b'{"values":{"Speed":5}}', Reading(NOW, {"Speed": 5}, received=NOW, clock="arrival")),
        (b'{"ts":null,"seq":null,"values":{"Speed":5}}', Reading(NOW, {"Speed": 5}, received=NOW, clock="arrival")),
    ],
)
def test_a_reading_is_read(payload: bytes, reading: Reading) -> None:
    assert decode_json(payload, NOW) == [reading]


def test_an_array_of_either_shape_is_read_in_order() -> None:
    assert decode_json(b'[{"ts":1,"values":{"a":1}},{"ts":2,"b":2},{"c":3}]', NOW) == [
        Reading(1, {"a": 1}, received=NOW),
        Reading(2, {"b": 2}, received=NOW),
        Reading(NOW, {"c": 3}, received=NOW, clock="arrival"),
    ]


BAD: dict[str, tuple[str, bytes]] = {
    "empty": ("not_json", b""),
    "blank": ("not_json", b"  \n"),
    "text": ("not_json", b"hello"),
    "truncated": ("not_json", usual()[:-1]),
    "trailing": ("not_json", usual() + b"x"),
    "two payloads": ("not_json", usual() + usual()),
    "byte order mark": ("not_json", b"\xef\xbb\xbf" + usual()),
    "NaN": ("not_json", b'{"values":{"a":NaN}}'),
    "Infinity": ("not_json", b'{"values":{"a":Infinity}}'),
    "-Infinity": ("not_json", b'{"a":-Infinity}'),
    "1e999": ("not_json", b'{"values":{"a":1e999}}'),
    "ts of 1e999": ("not_json", b'{"ts":1e999,"values":{"a":1}}'),
    "ts of NaN": ("not_json", b'{"ts":NaN,"values":{"a":1}}'),
    "deep nesting": ("not_json", b"[" * 200_000),
    "deep and closed": ("not_json", b"[" * 100_000 + b"]" * 100_000),
    "deep in values": ("not_json", b'{"values":{"a":' + b"[" * 100_000),
    "deep beside values": ("not_json", b'{"values":{"a":1},"x":' + b'{"a":' * 20_000),
    "lone surrogate": ("not_json", b'{"values":{"a":"\\ud800"}}'),
    "lone low surrogate": ("not_json", b'{"values":{"a":"\\udc00"}}'),
    "lone surrogate in a name": ("not_json", b'{"\\ud800":1}'),
    "integer of 5,000 digits": ("not_json", b'{"a":' + b"9" * 5_000 + b"}"),
    "invalid UTF-8": ("not_utf8", b"\xff\xfe"),
    "invalid UTF-8 in a value": ("not_utf8", b'{"values":{"a":"\xff"}}'),
    "invalid UTF-8 in a name": ("not_utf8", b'{"values":{"\xc3\x28":1}}'),
    "surrogate in UTF-8": ("not_utf8", b'{"values":{"a":"\xed\xa0\x80"}}'),
    "null": ("not_a_map", b"null"),
    "number": ("not_a_map", b"17"),
    "string": ("not_a_map", b'"Speed"'),
    "array of numbers": ("not_a_map", b"[1,2]"),
    "array of arrays": ("not_a_map", b'[[{"a":1}]]'),
    "values is an array": ("not_a_map", usual(values=[1])),
    "values is null": ("not_a_map", usual(values=None)),
    "values is a number": ("not_a_map", usual(values=5)),
    "no values": ("no_values", usual(values={})),
    "empty map": ("no_values", b"{}"),
    "only ts": ("no_values", b'{"ts":1,"seq":2}'),
    "empty array": ("no_values", b"[]"),
    "ts is a string": ("bad_ts", usual(ts="1764000000123")),
    "ts is a boolean": ("bad_ts", usual(ts=True)),
    "ts is a map": ("bad_ts", usual(ts={})),
    "ts is negative": ("bad_ts", usual(ts=-1)),
    "ts is too large": ("bad_ts", usual(ts=1 << 53)),
    "ts of 200 digits": ("bad_ts", usual(ts=10**199)),
    "seq is negative": ("bad_seq", usual(seq=-1)),
    "seq is a fraction": ("bad_seq", usual(seq=1.5)),
    "seq is a boolean": ("bad_seq", usual(seq=True)),
    "seq is a string": ("bad_seq", usual(seq="1")),
    "seq beyond 64 bits": ("bad_seq", usual(seq=1 << 63)),
    "nested map": ("bad_value", usual(values={"a": {"b": 1}})),
    "nested array": ("bad_value", usual(values={"a": [1]})),
    "flat and nested": ("bad_value", b'{"a":{"b":1}}'),
    "integer beyond 64 bits": ("bad_value", usual(values={"a": 1 << 63})),
    "unsigned 64 bits": ("bad_value", usual(values={"a": (1 << 64) - 1})),
    "negative beyond 64 bits": ("bad_value", usual(values={"a": -(1 << 63) - 1})),
    "integer of 200 digits": ("bad_value", usual(values={"a": 10**199})),
    "historical is a number": ("bad_value", usual(historical=1)),
    "historical is null": ("bad_value", usual(historical=None)),
    "10,000 signals": ("too_many_signals", usual(values={f"s{n}": n for n in range(10_000)})),
    "10,000 flat signals": ("too_many_signals", json.dumps({f"s{n}": n for n in range(10_000)}).encode()),
    "1 MB": ("too_big", usual(values={"a": "x" * 1_000_000})),
    "1 MB of nothing": ("too_big", b" " * 1_000_000),
    "one bad of two": ("bad_value", b'[{"a":1},{"a":[]}]'),
}


@pytest.mark.parametrize(("reason", "payload"), BAD.values(), ids=BAD)
def test_what_can_not_be_read_is_refused_with_its_reason(reason: str, payload: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_json(payload, NOW)
    assert caught.value.reason == reason
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_every_reason_is_shown_by_a_case() -> None:
    assert {reason for reason, _ in BAD.values()} == REASONS


def test_as_much_as_is_allowed_is_read() -> None:
    (most,) = decode_json(json.dumps({f"s{n}": n for n in range(MAX_SIGNALS)}).encode(), NOW)
    assert len(most.values) == MAX_SIGNALS
    padding = MAX_PAYLOAD_BYTES - len(b'{"a":""}')
    (long,) = decode_json(b'{"a":"' + b"x" * padding + b'"}', NOW)
    assert long.values == {"a": "x" * padding}


def readings_or_reason(payload: bytes) -> list[Reading] | str:
    try:
        return decode_json(payload, NOW)
    except PayloadError as error:
        return error.reason


def check(found: list[Reading] | str) -> None:
    """Either a known reason, or readings that every codec behind the bridge carries unchanged."""
    if isinstance(found, str):
        assert found in REASONS
        return
    assert found
    for reading in found:
        body = encode(reading)
        assert decode_reading(body) == reading
        assert repr(decode_reading(body).values) == repr(reading.values)
        assert msgpack.unpackb(body)["values"] == reading.values
        assert msgspec.json.decode(msgspec.json.encode(reading), type=Reading) == reading


@given(st.binary(max_size=200))
def test_any_bytes_are_readings_or_refused(payload: bytes) -> None:
    check(readings_or_reason(payload))


@given(st.text('[]{}":,0123456789.eE+-truefalsn \\ud8', max_size=60))
def test_anything_like_json_is_readings_or_refused(text: str) -> None:
    check(readings_or_reason(text.encode()))


@given(anything | near | st.lists(near, min_size=1, max_size=3))
def test_any_json_is_readings_or_refused(found: Any) -> None:
    check(readings_or_reason(json.dumps(found).encode()))


@given(
    st.dictionaries(names, values, min_size=1, max_size=8),
    st.none() | st.integers(0, (1 << 53) - 1),
    st.none() | st.integers(0, (1 << 63) - 1),
    st.booleans(),
    st.booleans(),
)
def test_every_good_reading_is_read(
    signals: dict[str, Any], ts: int | None, seq: int | None, historical: bool, ascii: bool
) -> None:
    payload = json.dumps(
        {"ts": ts, "seq": seq, "historical": historical, "values": signals}, ensure_ascii=ascii
    ).encode()
    found = decode_json(payload, NOW)
    clock: Any = "arrival" if ts is None else "device"
    assert found == [Reading(NOW if ts is None else ts, signals, seq, historical, received=NOW, clock=clock)]
    assert repr(found[0].values) == repr(signals)
    check(found)
