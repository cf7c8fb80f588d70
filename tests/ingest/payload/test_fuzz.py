"""100,000 damaged payloads for every decoder: each gives readings that all the house can carry, or a clean error."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import isfinite, nan
from random import Random
from typing import Any, NamedTuple

import cbor2
import msgpack
import pytest

import ingest.payload
from ingest.routes import ALL_FORMATS, Route, Routes
from tests.ingest.payload import wires
from wire import topics
from wire.errors import PayloadError, TopicError
from wire.reading import decode_reading, encode

NOW = 1_764_000_000_500
INPUTS = 100_000
ODD: list[Any] = [
    *(None, True, False, 0, -1, 17, 255, 1 << 28, 1 << 53, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63)),
    *(0.0, -1.5, 1e308, -1e308, nan, float("inf"), 5e-324),
    *("", "x", "ts", "values", "é" * 40, "x" * 80, "/", "+", "v_", "location"),
    *(b"", b"\xff\xfe", [], {}, [[]], [1], {"a": {}}, {"v": 1}),
]
LABELS = {
    "bn": -2,
    "bt": -3,
    "bv": -5,
    "bs": -6,
    "bver": -1,
    "n": 0,
    "u": 1,
    "v": 2,
    "vs": 3,
    "vb": 4,
    "s": 5,
    "t": 6,
}


class Case(NamedTuple):
    """Payloads as structures, how they are written, and the topics that they come on."""

    samples: list[Any]
    write: Callable[[Any], bytes]
    names: list[str]


def as_json(found: Any) -> bytes:
    return json.dumps(found, default=repr).encode()


def as_senml_cbor(found: Any) -> bytes:
    if isinstance(found, list):
        found = [{LABELS.get(k, k): v for k, v in r.items()} if isinstance(r, dict) else r for r in found]
    return cbor2.dumps(found)


def as_sparkplug(found: Any) -> bytes:
    return wires.message(found)


USUAL: list[Any] = [
    {"ts": NOW, "seq": 17, "values": {"Speed": 54.2, "On": True, "Door": "open", "Fuel": None}},
    {"ts": NOW, "historical": True, "Speed": 5, "Temperature": -3.5},
    [{"ts": 1, "values": {"a": 1}}, {"b": 2.5}],
]
SENML: list[Any] = [
    [{"bn": "urn:dev:ow:10e2:", "bt": 1.276e9, "bu": "A", "n": "voltage", "u": "V", "v": 120.1}, {"n": "c", "v": 1}],
    [{"bn": "a/", "bv": 20, "bs": 3, "n": "t", "t": -5, "v": 0.5}, {"t": -4, "v": 1, "s": 2}, {"n": "d", "vb": True}],
    [{"n": "label", "vs": "on", "bver": 10}, {"bn": "b/", "n": "x", "s": 1.5}],
]
BORN = wires.structure(
    wires.metric("bdSeq", 3, datatype=wires.INT64, ts=NOW),
    wires.metric("Speed", 54.2, alias=1, datatype=wires.DOUBLE),
    wires.metric("Count", 0xFFFFFFFE, alias=2, datatype=wires.INT32, field=10, ts=NOW),
    ts=NOW,
    seq=0,
)
DATA = wires.structure(
    wires.metric(alias=1, value=55.5, ts=NOW),
    wires.metric(alias=2, value=7, field=10, historical=True, ts=NOW - 5),
    wires.metric("Door", "open", datatype=wires.STRING),
    wires.metric("Raw", b"\x00", null=True),
    ts=NOW,
    seq=1,
)

OURS = ["fleets/berlin/v1/telemetry"]
CASES = {
    "json": Case(USUAL, as_json, OURS),
    "msgpack": Case(USUAL, lambda found: msgpack.packb(found, default=repr), OURS),
    "thingsboard": Case(USUAL, as_json, OURS),
    "thingsboard-gateway": Case(
        [{"A": USUAL[:2], "B-1": [{"t": 1}]}, {"A": {"ts": 5, "values": {"x": 1}}}], as_json, ["gw"]
    ),
    "senml": Case(SENML, as_json, OURS),
    "senml-cbor": Case(SENML, as_senml_cbor, OURS),
    "owntracks": Case(
        [
            {
                "_type": "location",
                "lat": 52.5,
                "lon": 13.4,
                "tst": 1764000000,
                "vel": 50,
                "cog": 90,
                "alt": 34,
                "t": "u",
            },
            {"_type": "location", "lat": 1, "lon": 2, "batt": 80, "inregions": ["home"]},
            {"_type": "lwt", "tst": 1},
        ],
        as_json,
        OURS,
    ),
    "sparkplug": Case(
        [BORN, DATA],
        as_sparkplug,
        [f"spBv1.0/g/{verb}/e" for verb in ("NBIRTH", "NDATA", "NDEATH")]
        + [f"spBv1.0/g/{verb}/e/d" for verb in ("DBIRTH", "DDATA", "DDEATH")],
    ),
}


def test_every_format_has_its_case() -> None:
    assert set(CASES) == set(ALL_FORMATS)


@pytest.mark.parametrize("format", CASES)
def test_a_damaged_payload_gives_readings_or_a_clean_error(format: str) -> None:
    case, rng = CASES[format], Random(format)
    routes = Routes(layouts(format), lambda topic, payload: None, lambda what: None)
    decoders = [routes.find(name, None) for name in case.names]
    read, reasons = 0, set()
    for payload in damaged(case, rng):
        route = decoders[int(rng.random() * len(decoders))]
        try:
            read += check(route, payload)
        except (PayloadError, TopicError) as error:
            reasons.add(error.reason if isinstance(error, PayloadError) else "bad_topic")
            if not str(error).isprintable():
                raise AssertionError(f"{error!r} from {payload!r}") from error
        except Exception as error:
            raise AssertionError(f"{error!r} from {payload!r}") from error
    assert INPUTS / 100 < read < INPUTS  # the inputs reach both ends
    assert len(reasons) > 1
    assert reasons <= set(re.findall(r"\w+", ingest.payload.__doc__ or ""))


def layouts(format: str) -> str:
    if format == "sparkplug":
        return "spBv1.0=sparkplug"
    return (
        "gw=thingsboard-gateway"
        if format == "thingsboard-gateway"
        else f"fleets/{{fleet}}/{{vehicle}}/{{kind}}={format}"
    )


def check(route: Route, payload: bytes) -> bool:
    """Whether it gives readings; then they are such as every codec of the house carries."""
    found = route(payload, NOW)
    for topic, reading in found:
        topics.parse(topic)
        assert decode_reading(encode(reading)) == reading
        assert reading.values
        for value in reading.values.values():
            kind = type(value)
            assert kind is not int or -(1 << 63) <= value < 1 << 63  # type: ignore[operator]
            assert kind is not float or isfinite(value)  # type: ignore[arg-type]
            assert value is None or kind in (int, float, str, bool)
    return bool(found)


def damaged(case: Case, rng: Random) -> Any:
    """INPUTS payloads: valid ones with odd parts in them, those with damaged bytes, and noise."""
    samples = [case.write(sample) for sample in case.samples]
    odd = list(samples)
    while len(odd) < 4_000:
        try:
            odd.append(case.write(twisted(rng.choice(case.samples), rng)))
        except (ValueError, OverflowError, TypeError, AttributeError):
            continue  # what can't be written can't be sent
    yield from odd
    for _ in range(INPUTS - len(odd)):
        if rng.random() < 0.1:
            yield rng.randbytes(int(rng.random() * 64))
        else:
            yield broken(odd[int(rng.random() * len(odd))], samples, rng)


def twisted(found: Any, rng: Random) -> Any:
    """The structure with one of its parts dropped, doubled, or something odd."""
    if rng.random() < 0.15 or not isinstance(found, dict | list | tuple) or not found:
        return rng.choice(ODD)
    if isinstance(found, dict):
        key = rng.choice(list(found))
        rest = {name: value for name, value in found.items() if name != key}
        act = rng.random()
        if act < 0.15:
            return rest
        if act < 0.3:
            return {**rest, rng.choice(("", "x y", "v_", "ts", "vd", "é")): found[key]}
        return {**rest, key: twisted(found[key], rng)}
    if isinstance(found, tuple):
        number, value = found
        return (number, twisted(value, rng)) if rng.random() < 0.8 else (rng.randrange(1, 20), value)
    place = rng.randrange(len(found))
    act = rng.random()
    middle = [] if act < 0.1 else [found[place]] * 2 if act < 0.2 else [twisted(found[place], rng)]
    return [*found[:place], *middle, *found[place + 1 :]]


def broken(payload: bytes, samples: list[bytes], rng: Random) -> bytes:
    """The bytes flipped, cut, spliced or stretched, once or twice."""
    if not payload:
        return payload
    place = int(rng.random() * len(payload))
    act = rng.random()
    if act < 0.5:
        flipped = bytearray(payload)
        for _ in range(1 + int(rng.random() * 2)):
            flipped[int(rng.random() * len(flipped))] = int(rng.random() * 256)
        return bytes(flipped)
    if act < 0.6:
        return payload[:place]
    if act < 0.8:
        other = samples[int(rng.random() * len(samples))]
        return payload[:place] + other[int(rng.random() * len(other)) :]
    if act < 0.9:
        return payload[:place] + payload[place + 1 + int(rng.random() * 4) :]
    return payload[:place] + rng.randbytes(1 + int(rng.random() * 3)) + payload[place:]
