"""The client protocol: the same maps in both formats, and an error with a number for everything else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from wire import protocol
from wire.errors import CommandError
from wire.protocol import (
    CLOSE_CODES,
    ERRORS,
    SUBPROTOCOLS,
    Authorize,
    Command,
    ErrorReply,
    Format,
    Gap,
    Get,
    History,
    ItemsReply,
    MessageItem,
    Ping,
    Publish,
    PublishReply,
    ReadingItem,
    Reply,
    Subscribe,
    SubscribeReply,
    SubscriptionEvent,
    Unsubscribe,
    Update,
    decode_command,
    encode,
    error_reply,
    request_of,
)
from wire.shaping import BoundingBox, Geofence, Period, Timebased

FORMATS: tuple[Format, ...] = ("json", "msgpack")
READ: dict[Format, Callable[[bytes], Any]] = {"json": json.loads, "msgpack": msgpack.unpackb}
WRITE: dict[Format, Callable[[Any], bytes]] = {
    "json": lambda found: json.dumps(found).encode(),
    "msgpack": msgpack.packb,
}
BASE = {"requestId": "1"}

formats = st.sampled_from(FORMATS)
words = st.text(min_size=1, max_size=20)
ids = st.builds("{}-{}".format, st.integers(0, 10**15 - 1), st.integers(0, 10**9 - 1))
times = st.integers(0, (1 << 53) - 1)
numbers = st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=20)
data = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=8
)
readings = st.builds(
    ReadingItem,
    topic=words,
    id=ids,
    ts=times,
    values=st.dictionaries(words, scalars, max_size=4),
    seq=st.none() | times,
    historical=st.booleans(),
    received=st.none() | times,
    clock=st.sampled_from(["device", "arrival"]),
    event=st.none() | st.sampled_from(["enter", "leave", "inside"]),
    stored=st.none() | times,
    read=st.none() | times,
)
messages = st.builds(MessageItem, topic=words, id=ids, ts=times, data=data, sender=st.none() | words)
items = readings | messages
shapes = st.sampled_from(
    [
        {},
        {"filter": {"a.*": Timebased(Period(5))}, "bbox": BoundingBox(1, 2, 3, 4), "delta": True},
        {"geofence": Geofence(((0, 0), (1, 0), (0, 1)), frozenset(["leave"]))},
        {"window": frozenset(["min", "mean"]), "strategy": "latest"},
    ]
)
changes = shapes | st.sampled_from(
    [{"filter": None, "window": None}, {"signals": ("a",), "interval": 5, "meta": True}]
)
commands = st.one_of(
    shapes.map(lambda shape: Subscribe(request_id="1", topic="#", **shape)),
    changes.map(lambda change: Update(request_id="1", subscription_id="s", **change)),
    st.builds(
        Subscribe,
        request_id=words,
        topic=words,
        strategy=st.sampled_from(["latest", "batch"]),
        interval=st.integers(0, 60_000),
        signals=st.none() | st.lists(words, min_size=1, max_size=3).map(tuple),
        snapshot=st.booleans(),
        since=st.none() | ids,
        meta=st.booleans(),
    ),
    st.builds(Unsubscribe, request_id=words, subscription_id=words),
    st.builds(Publish, request_id=words, topic=words, data=data),
    st.builds(Get, request_id=words, topic=words),
    st.builds(
        History,
        request_id=words,
        topic=words,
        from_=times,
        to=st.none() | times,
        limit=st.integers(1, 10_000),
        after=st.none() | ids,
    ),
    st.builds(Authorize, request_id=words, authorization=words),
    st.builds(Ping, request_id=words),
)
replies = st.one_of(
    st.builds(Reply, action=words, request_id=words, ts=times),
    st.builds(SubscribeReply, action=words, request_id=words, ts=times, subscription_id=words),
    st.builds(PublishReply, action=words, request_id=words, ts=times, id=ids),
    st.builds(Gap, subscription_id=words, ts=times, from_=ids, to=ids),
    st.builds(
        error_reply,
        st.builds(CommandError, st.sampled_from(sorted(ERRORS)), words),
        st.none() | words,
        st.none() | words,
    ),
)


def refusal(frame: bytes | str, format: Format) -> CommandError | None:
    try:
        decode_command(frame, format)
    except CommandError as error:
        return error
    return None


@given(commands, formats)
def test_a_command_is_read_back(command: Command, format: Format) -> None:
    assert decode_command(encode(command, format), format) == command


@given(commands, formats)
def test_a_command_that_another_library_wrote_is_read(command: Command, format: Format) -> None:
    assert decode_command(WRITE[format](msgspec.to_builtins(command)), format) == command


@given(commands)
def test_a_json_command_is_read_from_text_too(command: Command) -> None:
    assert decode_command(encode(command, "json").decode(), "json") == command


@given(items | replies, formats)
def test_what_clients_get_is_read_back_and_by_another_library(message: Any, format: Format) -> None:
    written = encode(message, format)
    assert READ[format](written) == msgspec.to_builtins(message)
    decoder = msgspec.json.Decoder(type(message)) if format == "json" else msgspec.msgpack.Decoder(type(message))
    assert decoder.decode(written) == message


@pytest.mark.parametrize("format", FORMATS)
def test_a_point_is_a_pair(format: Format) -> None:
    item = ReadingItem("a", "1-0", 1, {}, {"x": [(1, 2.5), (2, None)]}, "enter")
    expected = {"topic": "a", "id": "1-0", "ts": 1, "values": {}, "points": {"x": [[1, 2.5], [2, None]]}}
    assert READ[format](encode(item, format)) == expected | {"event": "enter"}


@given(items | replies)
def test_both_formats_carry_the_same_map(message: Any) -> None:
    assert READ["json"](encode(message, "json")) == READ["msgpack"](encode(message, "msgpack"))


@given(st.lists(items, max_size=3), ids, st.booleans(), st.booleans(), st.integers(0, 5), formats)
def test_an_event_carries_items_as_they_were_encoded(
    found: list[Any], cursor: str, snapshot: bool, more: bool, conflated: int, format: Format
) -> None:
    raw = [Raw(encode(item, format)) for item in found]
    event = SubscriptionEvent(
        subscription_id="s", ts=5, cursor=cursor, snapshot=snapshot, more=more, conflated=conflated, data=raw
    )
    expected: dict[str, Any] = {"action": "subscription", "subscriptionId": "s", "ts": 5, "cursor": cursor}
    expected |= {"snapshot": True} if snapshot else {}
    expected |= {"more": True} if more else {}
    expected |= {"conflated": conflated} if conflated else {}
    expected |= {"data": [msgspec.to_builtins(item) for item in found]}  # an empty one is there too
    assert READ[format](encode(event, format)) == expected


@given(st.lists(items, max_size=3), st.none() | ids, formats)
def test_a_reply_carries_items_as_they_were_encoded(found: list[Any], cursor: str | None, format: Format) -> None:
    raw = [Raw(encode(item, format)) for item in found]
    reply = READ[format](encode(ItemsReply(action="get", request_id="1", ts=5, cursor=cursor, data=raw), format))
    assert reply.get("cursor") == cursor
    assert reply["data"] == [msgspec.to_builtins(item) for item in found]


def test_an_update_leaves_what_it_does_not_name_and_null_takes_away() -> None:
    asked = Subscribe(
        request_id="1", topic="a/#", signals=("a",), since="1-0", delta=True, bbox=BoundingBox(1, 2, 3, 4)
    )
    update = decode_command(
        b'{"action":"update","requestId":"2","subscriptionId":"s","interval":7,"bbox":null,"meta":true}', "json"
    )
    assert isinstance(update, Update)
    changed = msgspec.structs.replace(asked, request_id="2", interval=7, bbox=None, meta=True)
    assert update.applied(asked) == msgspec.structs.replace(changed, since=None)  # which was for the beginning
    with pytest.raises(CommandError, match="delta is for the strategy latest"):
        Update(request_id="2", subscription_id="s", strategy="batch").applied(asked)


def test_the_words_are_those_of_the_contract() -> None:
    wanted = b"""{"action":"subscribe","requestId":"1","topic":"fleets/berlin/+/telemetry","strategy":"latest",
        "interval":200,"signals":["Speed","CurrentLocation.*"],"snapshot":true,"since":"5-0"}"""
    assert decode_command(wanted, "json") == Subscribe(
        request_id="1",
        topic="fleets/berlin/+/telemetry",
        interval=200,
        signals=("Speed", "CurrentLocation.*"),
        since="5-0",
    )
    gap = Gap(subscription_id="k3v9", ts=1, from_="1-0", to="2-0")
    assert json.loads(encode(gap, "json")) == {
        "action": "gap",
        "subscriptionId": "k3v9",
        "ts": 1,
        "from": "1-0",
        "to": "2-0",
    }
    refused = error_reply(CommandError("forbidden_topic", "no grant covers it"), "subscribe", "1")
    found = json.loads(encode(refused, "json"))
    assert isinstance(found.pop("ts"), int)
    assert found == {
        "action": "subscribe",
        "requestId": "1",
        "error": {"number": 403, "reason": "forbidden_topic", "description": "no grant covers it"},
    }


BAD: list[tuple[str, dict[str, Any]]] = [
    ("unknown_action", {"action": "nope"}),
    ("unknown_action", {"action": ""}),
    ("unknown_action", {"action": "Subscribe", "topic": "#"}),
    ("bad_request", {}),
    ("bad_request", {"action": 7}),
    ("bad_request", {"action": None}),
    ("bad_request", {"action": "ping", "more": 1}),
    ("bad_request", {"action": "ping", "request_id": "1"}),
    ("bad_request", {"action": "subscribe"}),
    ("bad_request", {"action": "subscribe", "topic": ""}),
    ("bad_request", {"action": "subscribe", "topic": "a" * 1025}),
    ("bad_request", {"action": "subscribe", "topic": 7}),
    ("bad_request", {"action": "subscribe", "topic": "#", "strategy": "nope"}),
    ("bad_request", {"action": "subscribe", "topic": "#", "interval": -1}),
    ("bad_request", {"action": "subscribe", "topic": "#", "interval": 60_001}),
    ("bad_request", {"action": "subscribe", "topic": "#", "interval": 0.5}),
    ("bad_request", {"action": "subscribe", "topic": "#", "interval": True}),
    ("bad_request", {"action": "subscribe", "topic": "#", "signals": []}),
    ("bad_request", {"action": "subscribe", "topic": "#", "signals": "Speed"}),
    ("bad_request", {"action": "subscribe", "topic": "#", "signals": ["Speed"] * 257}),
    ("bad_request", {"action": "subscribe", "topic": "#", "signals": ["a" * 257]}),
    ("bad_request", {"action": "subscribe", "topic": "#", "snapshot": 1}),
    ("bad_request", {"action": "subscribe", "topic": "#", "since": 5}),
    ("bad_request", {"action": "unsubscribe"}),
    ("bad_request", {"action": "publish", "topic": "rooms/a"}),
    ("bad_request", {"action": "get"}),
    ("bad_request", {"action": "history", "topic": "#", "from": -1}),
    ("bad_request", {"action": "history", "topic": "#", "to": 1 << 53}),
    ("bad_request", {"action": "history", "topic": "#", "limit": 0}),
    ("bad_request", {"action": "history", "topic": "#", "limit": 10_001}),
    ("bad_request", {"action": "history", "topic": "#", "window": 999}),
    ("bad_request", {"action": "history", "topic": "#", "window": 86_400_001}),
    ("bad_request", {"action": "history", "topic": "#", "window": ["min"]}),
    ("bad_request", {"action": "history", "topic": "#", "window": 1_000, "meta": True}),
    ("bad_request", {"action": "history", "topic": "#", "signals": []}),
    ("bad_request", {"action": "authorize", "authorization": None}),
]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("reason", "fields"), BAD)
def test_a_wrong_command_is_refused_with_its_reason(reason: str, fields: dict[str, Any], format: Format) -> None:
    with pytest.raises(CommandError) as caught:
        decode_command(WRITE[format](BASE | fields), format)
    assert caught.value.reason == reason
    assert request_of(WRITE[format](BASE | fields), format)[1] == "1"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("request_id", ["", "x" * 65, 1, None])
def test_a_request_id_is_a_short_text(request_id: Any, format: Format) -> None:
    with pytest.raises(CommandError) as caught:
        decode_command(WRITE[format]({"action": "ping", "requestId": request_id}), format)
    assert caught.value.reason == "bad_request"


@pytest.mark.parametrize(
    ("format", "frame"),
    [
        ("json", b""),
        ("json", b"nonsense"),
        ("json", b"[]"),
        ("json", b"null"),
        ("json", b"\xff"),
        ("json", b'{"action":"ping","requestId":"\xff"}'),
        ("json", '{"action":"ping","requestId":"\ud800"}'),
        ("json", b'{"action":"ping","requestId":"1"} '[:-2]),
        ("json", b"[" * 100_000),
        ("json", b'{"action":"publish","requestId":"1","topic":"rooms/a","data":' + b"[" * 100_000),
        ("json", b'{"action":"publish","requestId":"1","topic":"rooms/a","data":NaN}'),
        ("json", b'{"action":"publish","requestId":"1","topic":"rooms/a","data":1e999}'),
        ("msgpack", b""),
        ("msgpack", b"\xc1"),
        ("msgpack", b"\x91" * 100_000),
        ("msgpack", b"\x81\xa6action\xa1\xff"),
        ("msgpack", b"\xdf\xff\xff\xff\xff"),
        ("msgpack", msgpack.packb({"action": "ping", "requestId": "1"}) + b"\xc0"),
        ("msgpack", msgpack.packb({b"action": b"ping", b"requestId": b"1"})),
    ],
)
def test_what_is_no_map_of_the_format_is_a_bad_request(format: Format, frame: bytes | str) -> None:
    with pytest.raises(CommandError) as caught:
        decode_command(frame, format)
    assert caught.value.reason == "bad_request"


@given(st.binary(max_size=60) | st.text(max_size=60), formats)
def test_any_frame_is_a_command_or_an_error_reply(frame: bytes | str, format: Format) -> None:
    if format == "msgpack" and isinstance(frame, str):
        frame = frame.encode()
    if (error := refusal(frame, format)) is not None:
        reply = error_reply(error, *request_of(frame, format))
        assert reply.error.number == ERRORS[error.reason]
        assert READ[format](encode(reply, format))["error"]["description"]


@given(data, formats)
def test_any_map_is_a_command_or_an_error_reply(found: Any, format: Format) -> None:
    frame = WRITE[format]({"action": found, "requestId": found, "topic": found, "data": found})
    error = refusal(frame, format)
    assert error is not None  # no action takes all of these fields
    action, request_id = request_of(frame, format)
    assert action == (found[:64] if isinstance(found, str) else None)
    assert READ[format](encode(error_reply(error, action, request_id), format))["error"]["description"]


def test_an_action_and_a_request_id_are_told_back_only_as_far_as_they_are_short() -> None:
    frame = json.dumps({"action": "a" * 1000, "requestId": "1" * 1000}).encode()
    assert request_of(frame, "json") == ("a" * 64, "1" * 64)


def test_every_reason_that_the_source_uses_has_a_number() -> None:
    root = Path(protocol.__file__).parents[1]
    sources = [path.read_text() for part in ("wire", "stream") for path in (root / part).glob("*.py")]
    used = {reason for source in sources for reason in re.findall(r'CommandError\(\s*"([^"]+)"', source)}
    assert used <= set(ERRORS)
    assert all(400 <= number < 600 for number in ERRORS.values())


def test_close_codes_are_ones_that_an_endpoint_may_send() -> None:
    # RFC 6455, section 7.4: 1005, 1006 and 1015 never travel; 4000 to 4999 are private.
    assert all(code in {1001, 1009, 1012, 1013} or 4000 <= code < 5000 for code in CLOSE_CODES)
    assert all(len(close.reason.encode()) <= 123 for close in CLOSE_CODES.values())


def test_both_formats_have_a_subprotocol() -> None:
    assert set(SUBPROTOCOLS.values()) == set(FORMATS) == set(get_args(Format))


@pytest.mark.parametrize("format", FORMATS)
def test_an_error_reply_leaves_out_what_could_not_be_read(format: Format) -> None:
    reply: ErrorReply = error_reply(CommandError("bad_request", "what?"))
    assert set(READ[format](encode(reply, format))) == {"ts", "error"}
