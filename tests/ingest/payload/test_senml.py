"""SenML: records are resolved as RFC 8428 says, in JSON and in CBOR alike."""

from __future__ import annotations

import json
from decimal import Decimal
from math import inf, nan
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.payload import decode_senml, decode_senml_cbor
from wire.errors import PayloadError
from wire.reading import Reading

NOW = 1_764_000_000_500
LABELS = {"bs": -6, "bv": -5, "bu": -4, "bt": -3, "bn": -2, "bver": -1} | {
    name: label for label, name in enumerate(["n", "u", "v", "vs", "vb", "s", "t", "ut", "vd"])
}


def as_cbor(pack: list[dict[str, Any]]) -> bytes:
    return cbor2.dumps([{LABELS.get(name, name): value for name, value in record.items()} for record in pack])


def decoded(pack: list[dict[str, Any]]) -> list[Reading]:
    """What both forms of a pack give."""
    readings = decode_senml(json.dumps(pack).encode(), NOW)
    assert decode_senml_cbor(as_cbor(pack), NOW) == readings
    return readings


def stamped(ts: int, values: dict[str, Any]) -> Reading:
    return Reading(ts, values, received=NOW)


def arrived(ts: int, values: dict[str, Any]) -> Reading:
    return Reading(ts, values, received=NOW, clock="arrival")


def test_a_single_measurement_is_one_of_now() -> None:
    assert decoded([{"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}]) == [
        arrived(NOW, {"urn:dev:ow:10e2073a01080063": 23.1})
    ]


def test_measurements_of_one_time_are_one_reading_without_the_base_name() -> None:
    pack = [
        {
            "bn": "urn:dev:ow:10e2073a0108006:",
            "bt": 1.276020076001e9,
            "bu": "A",
            "n": "voltage",
            "u": "V",
            "v": 120.1,
        },
        {"n": "current", "v": 1.2},
    ]
    assert decoded(pack) == [stamped(1_276_020_076_001, {"voltage": 120.1, "current": 1.2})]


def test_a_long_pack_is_read() -> None:
    text = "é" * 15_000
    (reading,) = decoded([{"n": "a", "vs": text}, {"n": "b", "vs": "x" + text}])
    assert reading.values == {"a": text, "b": "x" + text}


def test_times_add_up_and_small_ones_are_relative_to_the_arrival() -> None:
    assert decoded([{"bn": "d:", "n": "c", "t": -5.5, "v": 1}, {"n": "c", "t": 0, "v": 2}]) == [
        arrived(NOW - 5_500, {"c": 1}),
        arrived(NOW, {"c": 2}),
    ]
    assert decoded([{"bn": "d:", "bt": 1.32e9, "n": "c", "v": 1}, {"n": "c", "t": 60.25, "v": 2}]) == [
        stamped(1_320_000_000_000, {"c": 1}),
        stamped(1_320_000_060_250, {"c": 2}),
    ]
    edge = 1 << 28
    assert decoded([{"n": "c", "t": edge - 1, "v": 1}, {"n": "c", "t": edge, "v": 1}]) == [
        arrived(NOW + (edge - 1) * 1000, {"c": 1}),
        stamped(edge * 1000, {"c": 1}),
    ]


def test_base_values_and_sums_last_until_others_come() -> None:
    pack: list[dict[str, Any]] = [
        {"bn": "d:", "bv": 20, "n": "a", "v": 0.5},
        {"n": "b", "v": 3},
        {"n": "c", "vs": "text"},
        {"n": "d"},
        {"bv": 0, "bs": 100, "n": "e", "v": 1, "s": 7},
        {"n": "f", "vb": False},
    ]
    values = {"a": 20.5, "b": 23, "c": "text", "d": 20, "e": 1, "e.sum": 107, "f": False, "f.sum": 100}
    assert decoded(pack) == [arrived(NOW, values)]


def test_a_sum_needs_no_value() -> None:
    assert decoded([{"n": "energy", "s": 1200.5}]) == [arrived(NOW, {"energy.sum": 1200.5})]


def test_a_record_without_a_name_is_called_by_the_base_name() -> None:
    assert decoded([{"bn": "temperature", "v": 1}]) == [arrived(NOW, {"temperature": 1})]


def test_names_under_several_base_names_are_not_confused() -> None:
    pack = [{"bn": "a/", "n": "t", "v": 25.2}, {"n": "h", "v": 30}, {"bn": "b/", "n": "t", "v": 12.3}]
    assert decoded(pack) == [arrived(NOW, {"a/t": 25.2, "a/h": 30, "b/t": 12.3})]


def test_what_falls_into_the_same_millisecond_is_not_lost() -> None:
    pack: list[dict[str, Any]] = [{"bn": "d:", "bt": 1.32e9, "n": "c", "t": n / 10_000, "v": n} for n in range(3)]
    assert [reading.values for reading in decoded(pack)] == [{"c": 0}, {"c": 1}, {"c": 2}]


def test_more_signals_than_a_reading_may_have_are_several_readings() -> None:
    readings = decoded([{"n": f"s{n}", "v": n} for n in range(1_000)])
    assert [len(reading.values) for reading in readings] == [512, 488]


def test_unknown_labels_and_units_are_passed_over() -> None:
    assert decoded([{"n": "a", "v": 1, "u": 5, "ut": "?", "more": {}}]) == [arrived(NOW, {"a": 1})]
    assert decode_senml_cbor(cbor2.dumps([{0: "a", 2: 1, 99: 1, -99: 2, True: 4, b"x": 1}]), NOW) == [
        arrived(NOW, {"a": 1})
    ]


def test_decimal_fractions_are_numbers() -> None:
    assert decode_senml_cbor(cbor2.dumps([{0: "a", 2: Decimal("273.15")}]), NOW) == [arrived(NOW, {"a": 273.15})]


def test_what_is_not_finite_is_null() -> None:
    pack = [{"bn": "d:", "n": "a", "v": nan}, {"n": "b", "v": -inf}, {"n": "c", "v": 1}]
    assert decode_senml_cbor(as_cbor(pack), NOW) == [arrived(NOW, {"a": None, "b": None, "c": 1})]
    huge = b'[{"bn":"d:","bv":1e308,"n":"a","v":1e308}]'
    assert decode_senml(huge, NOW) == [arrived(NOW, {"a": None})]


names = st.text("abcdefgh0123456789-:./", min_size=1, max_size=8)
numbers = st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9)


@given(
    st.lists(
        st.tuples(names, st.integers(0, 1000), numbers | st.text(max_size=5) | st.booleans()), min_size=1, max_size=8
    ),
    st.integers(1 << 29, 1 << 31),
)
def test_every_measurement_comes_out_once_at_its_time(found: list[tuple[str, int, Any]], base: int) -> None:
    kinds = {bool: "vb", str: "vs"}
    pack: list[dict[str, Any]] = [{"n": name, "t": t, kinds.get(type(value), "v"): value} for name, t, value in found]
    pack[0] |= {"bn": "urn:x:", "bt": base}
    seen = [(name, reading.ts, value) for reading in decoded(pack) for name, value in reading.values.items()]
    assert sorted(seen, key=repr) == sorted(((name, (base + t) * 1000, value) for name, t, value in found), key=repr)


BAD: dict[str, tuple[str, Any]] = {
    "a map": ("not_a_map", {"n": "a", "v": 1}),
    "no map in it": ("not_a_map", [5]),
    "empty": ("no_values", []),
    "no name": ("bad_record", [{"v": 1}]),
    "no value": ("bad_record", [{"n": "a"}]),
    "a long name": ("bad_record", [{"n": "a" * 257, "v": 1}]),
    "a long base name": ("bad_record", [{"bn": "a" * 257, "n": "b", "v": 1}, {"bn": "c", "n": "b", "v": 1}]),
    "two values": ("bad_record", [{"n": "a", "v": 1, "vb": True}]),
    "value of text": ("bad_record", [{"n": "a", "v": "1"}]),
    "null": ("bad_record", [{"n": "a", "v": None}]),
    "name of a number": ("bad_record", [{"n": 5, "v": 1}]),
    "must be understood": ("bad_record", [{"n": "a", "v": 1, "x_": 1}]),
    "a later version": ("bad_record", [{"bver": 11, "n": "a", "v": 1}]),
    "beyond 64 bits": ("bad_record", [{"n": "a", "v": (1 << 64) - 1}]),
    "a sum beyond 64 bits": ("bad_value", [{"bv": (1 << 63) - 1, "n": "a", "v": 1}]),
    "data": ("bad_value", [{"n": "a", "vd": "aGkgCg"}]),
    "a time far off": ("bad_ts", [{"n": "a", "v": 1, "t": 1e300}]),
    "before the epoch": ("bad_ts", [{"n": "a", "v": 1, "t": -1e12}]),
}


@pytest.mark.parametrize(("reason", "pack"), BAD.values(), ids=BAD)
def test_what_can_not_be_read_is_refused_with_its_reason(reason: str, pack: Any) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_senml(json.dumps(pack).encode(), NOW)
    assert caught.value.reason == reason
    if isinstance(pack, list) and all(isinstance(record, dict) for record in pack):
        pack = [{LABELS.get(name, name): value for name, value in record.items()} for record in pack]
    with pytest.raises(PayloadError) as caught:
        decode_senml_cbor(cbor2.dumps(pack), NOW)
    assert caught.value.reason == reason


BAD_CBOR: dict[str, tuple[str, bytes]] = {
    "empty": ("not_cbor", b""),
    "truncated": ("not_cbor", cbor2.dumps([{0: "a", 2: 1}])[:-1]),
    "trailing": ("not_cbor", cbor2.dumps([{0: "a", 2: 1}]) + b"\x00"),
    "an array of 2**64": ("not_cbor", b"\x9b" + b"\xff" * 8),
    "deep nesting": ("not_cbor", b"\x81" * 100_000),
    "a cycle": ("not_cbor", bytes.fromhex("d81c81d81d00")),
    "a regular expression": ("not_cbor", bytes.fromhex("81d8236161")),
    "a big number": ("not_cbor", bytes.fromhex("81a2006161 02c24101")),
    "a fraction of text": ("not_cbor", bytes.fromhex("81a200616102c4826161 01")),
    "invalid UTF-8": ("not_utf8", bytes.fromhex("81a20061ff0201")),
    "a time of NaN": ("bad_ts", cbor2.dumps([{0: "a", 2: 1, 6: nan}])),
    "undefined": ("bad_record", cbor2.dumps([{0: "a", 2: cbor2.undefined}])),
    "bytes": ("bad_value", cbor2.dumps([{0: "a", 8: b"x"}])),
    "too long": ("too_big", bytes(300_000)),
}


@pytest.mark.parametrize(("reason", "payload"), BAD_CBOR.values(), ids=BAD_CBOR)
def test_what_is_no_pack_in_cbor_is_refused_with_its_reason(reason: str, payload: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_senml_cbor(payload, NOW)
    assert caught.value.reason == reason
