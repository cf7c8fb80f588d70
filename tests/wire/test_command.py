"""Bodies of commands and replies, what messages may carry, and which filters can only match messages."""

from __future__ import annotations

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.command import Command, Reply, decode_command, reply_of
from wire.data import MAX_DEPTH, check_data
from wire.reading import Message, decode_message, encode
from wire.topics import carries_messages, matches, only_messages

numbers = st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
maps = st.dictionaries(st.text(max_size=9), values, max_size=3)
times = st.integers(0, 1 << 53)
segments = st.sampled_from(["fleets", "rooms", "a", "telemetry", "commands", "replies"])


@given(st.builds(Command, ts=times, data=maps, ttl=times, sender=st.none() | st.text()))
def test_a_command_is_a_message_with_a_ttl(command: Command) -> None:
    body = encode(command)
    assert decode_command(body) == command
    assert decode_message(body) == Message(command.ts, command.data, command.sender)
    assert msgpack.unpackb(body)["ttl"] == command.ttl


@given(
    st.builds(
        Reply,
        correlation=st.text(min_size=1, max_size=128),
        status=st.sampled_from(["SUCCEEDED", "FAILED", "IN_PROGRESS", "TIMED_OUT"]),
        reason=st.none() | st.text(),
        data=values,
    )
)
def test_a_reply_is_the_data_of_a_message(reply: Reply) -> None:
    message = decode_message(encode(reply.message(5)))
    assert message.ts == 5
    assert reply_of(message) == reply


@pytest.mark.parametrize("data", [None, "x", {}, {"correlation": "5-1"}, {"correlation": "5-1", "status": "DONE"}])
def test_what_is_no_reply(data: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        reply_of(Message(1, data))


@given(values)
def test_what_json_carries_may_be_said(data: object) -> None:
    check_data(data)


def test_nothing_else_may_be() -> None:
    deep: list[object] = []
    for _ in range(MAX_DEPTH):
        deep = [deep]
    for data in (1 << 63, -(1 << 63) - 1, b"bytes", {1: 2}, {"a": {b"x": 1}}, deep, [object()]):
        with pytest.raises(ValueError, match="data must be JSON"):
            check_data(data)
    check_data(deep[0])


@given(
    st.lists(segments | st.just("+"), min_size=1, max_size=5).map("/".join)
    | st.lists(segments | st.just("+"), max_size=4).map(lambda levels: "/".join([*levels, "#"])),
    st.builds("fleets/{}/{}/{}".format, segments, segments, st.sampled_from(["telemetry", "commands", "replies"]))
    | segments.map("rooms/{}".format),
)
def test_a_filter_of_messages_matches_nothing_else(filter: str, topic: str) -> None:
    if only_messages(filter) and matches(filter, topic):
        assert carries_messages(topic)


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ("rooms/ops", True),
        ("rooms/#", True),
        ("fleets/a/b/commands", True),
        ("fleets/+/+/replies", True),
        ("+/+/+/replies", True),
        ("fleets/a/b/+", False),
        ("fleets/#", False),
        ("fleets/a/b/status", False),
        ("#", False),
    ],
)
def test_filters_of_messages(filter: str, wanted: bool) -> None:
    assert only_messages(filter) is wanted
