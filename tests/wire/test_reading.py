"""Readings and messages: what is written is read back, by us and by any other MessagePack library."""

from __future__ import annotations

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.reading import UNREADABLE, Message, Reading, decode_message, decode_reading, encode, split

DEFAULTS = {"seq": None, "historical": False, "received": None, "clock": "device", "sender": None}

integers = st.integers(-(1 << 63), (1 << 63) - 1)
numbers = integers | st.floats(allow_nan=False, allow_infinity=False)
values = st.none() | st.booleans() | numbers | st.text(max_size=20)
times = st.integers(0, 1 << 53)
readings = st.builds(
    Reading,
    ts=times,
    values=st.dictionaries(st.text(max_size=20), values, max_size=8),
    seq=st.none() | times,
    historical=st.booleans(),
    received=st.none() | times,
    clock=st.sampled_from(["device", "arrival"]),
)
data = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
messages = st.builds(Message, ts=times, data=data, sender=st.none() | st.text(max_size=20))


def others_read(body: bytes) -> dict[str, object]:
    """A body as the msgpack library reads it, with the defaults that were left out."""
    found: dict[str, object] = msgpack.unpackb(body)
    return found


@given(readings)
def test_a_reading_is_read_back(reading: Reading) -> None:
    assert decode_reading(encode(reading)) == reading
    assert repr(decode_reading(encode(reading)).values) == repr(reading.values)  # 1, 1.0 and True differ


@given(readings)
def test_another_library_reads_the_same_reading(reading: Reading) -> None:
    found = others_read(encode(reading))
    expected = msgspec.structs.asdict(reading)
    assert {name: found.get(name, DEFAULTS.get(name)) for name in expected} == expected
    assert set(found) <= set(expected)


@given(readings)
def test_another_library_can_write_what_we_read(reading: Reading) -> None:
    assert decode_reading(msgpack.packb(msgspec.structs.asdict(reading))) == reading


@given(messages)
def test_a_message_is_read_back_and_by_another_library(message: Message) -> None:
    body = encode(message)
    assert decode_message(body) == message
    found = others_read(body)
    assert (found["ts"], found["data"], found.get("sender")) == (message.ts, message.data, message.sender)


@given(readings)
def test_a_reading_can_be_told_as_json(reading: Reading) -> None:
    assert msgspec.json.decode(msgspec.json.encode(reading), type=Reading) == reading


def test_what_is_usual_is_left_out() -> None:
    assert others_read(encode(Reading(1, {"Speed": 2.5}))) == {"ts": 1, "values": {"Speed": 2.5}}


@pytest.mark.parametrize(
    "data",
    [
        b"\xd4\x05\x00",
        b"\xc4\x01x",
        b"\x81\x01\x02",
        b"\x81\x91\x01\x02",
        b"\x91" * 40 + b"\xc0",
        b"\x91" * 5_000 + b"\xc0",
    ],
    ids=["extension", "bytes", "a key that is a number", "a key that is an array", "deep", "deeper"],
)
def test_a_message_that_json_can_not_carry_is_none(data: bytes) -> None:
    with pytest.raises(UNREADABLE):
        decode_message(b"\x82\xa2ts\x01\xa4data" + data)


@given(st.from_regex(r"[0-9]{1,15}-[0-9]{1,9}", fullmatch=True), st.binary())
def test_a_channel_payload_is_split_as_it_was_joined(id: str, body: bytes) -> None:
    assert split(id.encode() + b" " + body) == (id.encode().decode(), body)


@pytest.mark.parametrize("payload", [b"", b"1-0", b"\x80"])
def test_a_channel_payload_without_an_id_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="id"):
        split(payload)
