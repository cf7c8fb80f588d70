"""ThingsBoard's shapes: a device's, and a gateway's for many devices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.payload import decode_gateway, decode_thingsboard
from wire.errors import PayloadError
from wire.reading import Reading

NOW = 1_764_000_000_500
T = 1_483_228_800_000


def stamped(ts: int, **values: Any) -> Reading:
    return Reading(ts, values, received=NOW)


def arrived(**values: Any) -> Reading:
    return Reading(NOW, values, received=NOW, clock="arrival")


@pytest.mark.parametrize(
    ("found", "readings"),
    [
        ({"ts": T, "values": {"temperature": 42, "on": True}}, [stamped(T, temperature=42, on=True)]),
        ({"temperature": 42.5, "state": "idle"}, [arrived(temperature=42.5, state="idle")]),
        ({"values": {"temperature": 42}}, [arrived(temperature=42)]),
        ([{"ts": T, "values": {"a": 1}}, {"b": 2}], [stamped(T, a=1), arrived(b=2)]),
        ({"ts": T, "seq": 4, "historical": 1}, [arrived(ts=T, seq=4, historical=1)]),  # all of a flat map are signals
    ],
)
def test_a_device_is_read(found: Any, readings: list[Reading]) -> None:
    assert decode_thingsboard(json.dumps(found).encode(), NOW) == readings


def test_a_gateway_is_read_device_by_device() -> None:
    found = {
        "A": [{"ts": T, "values": {"t": 42, "h": 80}}, {"ts": T + 1000, "values": {"t": 43}}],
        "B-7": [{"t": 5}],
        "C.x": {"ts": T, "values": {"t": 1}},
    }
    assert decode_gateway(json.dumps(found).encode(), NOW) == [
        ("A", stamped(T, t=42, h=80)),
        ("A", stamped(T + 1000, t=43)),
        ("B-7", arrived(t=5)),
        ("C.x", stamped(T, t=1)),
    ]


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        ("bad_value", {"ts": T, "values": {"a": {"nested": 1}}}),
        ("bad_value", {"a": [1, 2, 3]}),
        ("bad_ts", {"ts": -1, "values": {"a": 1}}),
        ("not_a_map", {"ts": 1, "values": 5}),
        ("not_a_map", 5),
        ("no_values", {"ts": 1, "values": {}}),
        ("no_values", []),
    ],
)
def test_a_device_is_refused_with_its_reason(reason: str, found: Any) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_thingsboard(json.dumps(found).encode(), NOW)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        *(
            ("bad_device", {"A": [{"t": 1}], name: [{"t": 1}]})
            for name in ("Device A", "a/b", "", "+", "é", "x" * 65)
        ),
        ("not_a_map", [{"t": 1}]),
        ("not_a_map", {"A": 5}),
        ("no_values", {}),
        ("no_values", {"A": []}),
        ("bad_value", {"A": [{"t": {}}]}),
    ],
)
def test_a_gateway_is_refused_as_a_whole_with_its_reason(reason: str, found: Any) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_gateway(json.dumps(found).encode(), NOW)
    assert caught.value.reason == reason
    assert str(caught.value).isprintable()
