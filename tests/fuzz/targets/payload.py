"""Targets of `ingest.payload`: what devices send."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from math import isfinite
from random import Random
from typing import Any

from google.protobuf.message import DecodeError, EncodeError

import ingest.payload
import ingest.replies
from ingest.payload import FORMATS, MAX_SIGNALS, Decode, decode_gateway
from ingest.payload.sparkplug import MAX_METRICS_OF_NODE, NAMESPACE, Sparkplug
from ingest.payload.sparkplug_codec import Codec
from ingest.replies import decode_reply
from tests.fuzz.mutation import NUMBERS, Mutate, chunked, chunks, of_bytes
from tests.fuzz.syntax import CBOR, JSON, MSGPACK, VALUES, of_trees
from tests.fuzz.target import Run, Target
from wire import topics
from wire.errors import PayloadError
from wire.protocol import encode as encode_for_clients
from wire.reading import Reading, decode_message, decode_reading, encode

__all__ = ["JSON_PAYLOADS", "NOW", "REASONS", "TARGETS"]

NOW = 1_764_000_000_500
GROWTH = 100  # bytes of what is stored for each byte of a payload, at most
REASONS = set(re.findall(r"\w+", f"{ingest.payload.__doc__} {ingest.replies.decode_reply.__doc__}"))


def _format(decode: Decode) -> Run:
    def run(data: bytes) -> None:
        with _refusals():
            _check(data, decode(data, NOW))

    return run


def _gateway(data: bytes) -> None:
    with _refusals():
        found = decode_gateway(data, NOW)
        for name, _ in found:
            topics.parse(f"fleets/f/{name}/telemetry")
        _check(data, [reading for _, reading in found])


class _refusals(suppress):  # noqa: N801  used as a function
    """PayloadErrors as they should be."""

    def __init__(self) -> None:
        super().__init__(PayloadError)

    def __exit__(self, *exc: Any) -> bool:
        if isinstance(exc[1], PayloadError):
            assert exc[1].reason in REASONS, exc[1].reason
            assert len(str(exc[1])) < 1_000
        return bool(super().__exit__(*exc))


def _check(data: bytes, found: Sequence[Reading]) -> None:
    """Readings such as all the house can carry, not many times larger than what they came from."""
    stored = 0
    for reading in found:
        assert decode_reading(encode(reading)) == reading
        assert 0 < len(reading.values) <= MAX_SIGNALS
        assert reading.received == NOW
        for value in reading.values.values():
            kind = type(value)
            assert kind is not int or -(1 << 63) <= value < 1 << 63  # type: ignore[operator]
            assert kind is not float or isfinite(value)  # type: ignore[arg-type]
            assert value is None or kind in (int, float, str, bool)
        stored += len(encode(reading))
        encode_for_clients(reading, "json").decode()
    assert stored <= GROWTH * (len(data) + 10), stored


VERBS = ("NBIRTH/e", "NDATA/e", "NDEATH/e", "DBIRTH/e/d", "DDATA/e/d", "DDEATH/e/d", "DBIRTH/e/c", "NBIRTH/g")


def _sparkplug() -> Run:
    """Messages of two edge nodes and their devices, in order."""
    template = Sparkplug(lambda topic, payload: None, lambda what: None)

    def run(data: bytes) -> None:
        host = copy(template)  # what is costly to make is the codec
        host._nodes, host._metrics = {}, 0
        for kind, payload in chunks(data):
            with _refusals():
                found = host.decoder(f"{NAMESPACE}/f/{VERBS[kind % len(VERBS)]}")(payload, NOW)
                for topic, _ in found:
                    topics.parse(topic)
                _check(payload + bytes(1_000), [reading for _, reading in found])
            assert host._metrics == sum(node.metrics for node in host._nodes.values()) <= MAX_METRICS_OF_NODE * 2

    return run


def _of_sparkplug() -> Mutate:
    """Fields of a payload, or of one of its metrics, are set and cleared; metrics are doubled and dropped."""
    message = Codec().message
    bytewise = of_bytes([b"SPBV1.0_COMPRESSED", b"bdSeq", b"Node Control/Rebirth"])
    texts = [b"", b"bdSeq", b"Node Control/Rebirth", b"Speed", b"\xff", b"x" * 300, b"SPBV1.0_COMPRESSED"]

    def mutate(data: bytes, random: Random) -> bytes:
        if random.random() < 0.2:
            return bytewise(data, random)
        try:
            payload = message.FromString(data)
            one = random.choice([payload, *payload.metrics])
            field = random.choice(one.DESCRIPTOR.fields)
            if field.is_repeated or random.random() < 0.1:
                known = random.choice([*payload.metrics, None])
                payload.metrics.add().MergeFrom(known) if known is not None else payload.metrics.add(name=b"Speed")
                if random.random() < 0.3:
                    del payload.metrics[random.randrange(len(payload.metrics))]
            elif random.random() < 0.2:
                one.ClearField(field.name)
            elif field.cpp_type == field.CPPTYPE_STRING:
                setattr(one, field.name, random.choice(texts))
            elif field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
                setattr(one, field.name, random.choice([value for value in VALUES if type(value) is float]))
            elif field.cpp_type == field.CPPTYPE_BOOL:
                setattr(one, field.name, random.random() < 0.5)
            else:
                setattr(one, field.name, random.choice((*range(16), *NUMBERS)))
            written: bytes = payload.SerializeToString()
        except (DecodeError, EncodeError, ValueError):
            return bytewise(data, random)
        return written

    return mutate


def _replies(data: bytes) -> None:
    """A payload; as a second chunk, the message's Correlation Data."""
    [(_, payload), *rest] = chunks(data) or [(0, data)]
    with _refusals():
        message = decode_reply(payload, rest[0][1] if rest else None, NOW)
        assert decode_message(encode(message)) == message
        encode_for_clients(message, "json")


READING = ["ts", "seq", "historical", "values", "Speed", "CurrentLocation.Latitude", "A", "B-1", "x/y"]
OWNTRACKS = ["_type", "lat", "lon", "tst", "vel", "cog", "alt", "batt", "inregions", "t", "tid"]
SENML = ["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "x_"]
REPLY = ["correlation", "status", "reason", "data", "ts"]
TIMES: list[Any] = [NOW, NOW / 1000, 1 << 28, (1 << 28) - 1, 1 << 43, -5, 1.276e9, "location", "encrypted", "lwt"]
MUTATORS: dict[str, Mutate] = {
    "json": of_trees(JSON, READING, TIMES),
    "msgpack": of_trees(MSGPACK, READING, TIMES),
    "thingsboard": of_trees(JSON, READING, TIMES),
    "senml": of_trees(JSON, SENML, TIMES),
    "senml-cbor": of_trees(CBOR, [*range(-6, 9), "x_", "y"], TIMES),
    "owntracks": of_trees(JSON, OWNTRACKS, TIMES),
}
JSON_PAYLOADS = MUTATORS["json"]

TARGETS = [
    *(
        Target(f"payload-{name}", f"ingest.payload, {name}", _format(FORMATS[name]), MUTATORS[name])
        for name in FORMATS
    ),
    Target("payload-gateway", "ingest.payload.decode_gateway", _gateway, MUTATORS["thingsboard"]),
    Target("sparkplug", "ingest.payload.sparkplug", _sparkplug(), chunked(_of_sparkplug(), len(VERBS))),
    Target("replies", "ingest.replies.decode_reply", _replies, chunked(of_trees(JSON, REPLY, ["SUCCEEDED"]), 1)),
]
