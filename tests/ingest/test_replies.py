"""Replies of devices: what is read, and why something is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.replies import decode_reply
from wire.command import reply_of
from wire.errors import PayloadError
from wire.reading import decode_message, encode

NOW = 1_764_000_000_000
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def payload(**fields: Any) -> bytes:
    return json.dumps({"correlation": "5-1", "status": "SUCCEEDED"} | fields).encode()


@given(
    st.sampled_from(["SUCCEEDED", "FAILED", "IN_PROGRESS", "TIMED_OUT"]),
    st.none() | st.text(max_size=20),
    values,
    st.none() | st.integers(0, (1 << 53) - 1),
)
def test_what_a_device_says_arrives(status: str, reason: str | None, data: Any, ts: int | None) -> None:
    message = decode_reply(payload(status=status, reason=reason, data=data, ts=ts, other=1), None, NOW)
    assert decode_message(encode(message)) == message
    reply = reply_of(message)
    assert (reply.correlation, reply.status, reply.reason, reply.data) == ("5-1", status, reason, data)
    assert reply.final is (status != "IN_PROGRESS")
    assert message.ts == (NOW if ts is None else ts)
    assert message.sender is None
    assert set(message.data) <= {"correlation", "status", "reason", "data"}


def test_the_correlation_may_come_beside_the_payload() -> None:
    assert decode_reply(b'{"status":"FAILED"}', b"7-2", NOW).data == {"correlation": "7-2", "status": "FAILED"}
    assert decode_reply(payload(), b"7-2", NOW).data["correlation"] == "5-1"


@pytest.mark.parametrize(
    ("sent", "attached", "reason"),
    [
        (b"SUCCEEDED", None, "not_json"),
        (b"\xff", None, "not_utf8"),
        (b"[]", None, "not_a_map"),
        (b"", b"7-2", "not_json"),
        (payload(status="DONE"), None, "bad_status"),
        (payload(status=None), None, "bad_status"),
        (payload(status=["FAILED"]), None, "bad_status"),
        (b'{"status":"FAILED"}', None, "no_correlation"),
        (b'{"status":"FAILED"}', b"\xff", "bad_correlation"),
        (b'{"status":"FAILED"}', b"", "bad_correlation"),
        (payload(correlation=5), None, "bad_correlation"),
        (payload(correlation=""), None, "bad_correlation"),
        (payload(correlation="x" * 129), None, "bad_correlation"),
        (payload(reason=5), None, "bad_reason"),
        (payload(data=1 << 63), None, "bad_value"),
        (payload(data=json.loads("[" * 40 + "]" * 40)), None, "bad_value"),
        (payload(ts="now"), None, "bad_ts"),
        (payload(ts=-1), None, "bad_ts"),
        (payload(data="x" * 65_536), None, "too_big"),
    ],
)
def test_what_can_not_be_read_is_told_by_a_reason(sent: bytes, attached: bytes | None, reason: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_reply(sent, attached, NOW)
    assert caught.value.reason == reason


@given(
    st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()), st.none() | st.binary(max_size=9)
)
def test_nothing_else_is_raised(sent: bytes, attached: bytes | None) -> None:
    try:
        message = decode_reply(sent, attached, NOW)
    except PayloadError:
        return
    encode(message)
