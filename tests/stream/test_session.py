"""A session without its socket, on a real Valkey: every action in both formats, and everything that can be wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from socket import gethostname
from typing import Any

import jwt
import msgpack
import pytest
from redis.asyncio import Redis

from stream.auth import claims, sign, sign_with_secret
from stream.node import Node
from tests.programs import eventually
from tests.stream.nodes import TOPIC, Event, Peer, Store, Subscription, counted, joined, running
from wire.errors import CommandError, TopicError
from wire.ids import SEQUENCE_BITS, parse_id
from wire.protocol import ERRORS, Format
from wire.reading import Reading

KEY = "k" * 32
FORMATS: tuple[Format, ...] = ("json", "msgpack")
WRITE: dict[Format, Any] = {"json": lambda found: json.dumps(found).encode(), "msgpack": msgpack.packb}


@pytest.fixture
async def store(redis_client: Redis) -> Store:
    return Store(redis_client)


@pytest.fixture
async def node(valkey_url: str) -> AsyncIterator[Node]:
    async with running(valkey_url) as found:
        yield found


@pytest.fixture(params=FORMATS)
async def peer(request: pytest.FixtureRequest, node: Node) -> AsyncIterator[Peer]:
    async with joined(node, request.param) as found:
        yield found


@pytest.fixture
async def locked(valkey_url: str) -> AsyncIterator[Node]:
    """A node that wants tokens."""
    async with running(valkey_url, jwt_key=KEY) as found:
        yield found


def token(subscribe: list[str], publish: list[str] | None = None, seconds: float = 60, key: str = KEY) -> str:
    return sign(key, "anna", subscribe, publish or [], seconds)


def refused(reply: Event, reason: str) -> bool:
    error = reply.get("error", {})
    assert error.get("description")
    return (error["number"], error["reason"]) == (ERRORS[reason], reason)


# Actions


async def test_every_action_is_answered(peer: Peer, store: Store) -> None:
    await store.readings((TOPIC, Reading(1, {"a": 1, "b": 2}, 7, received=9)))
    ping = await peer.ask("ping")
    assert (set(ping), ping["node"]) == ({"action", "requestId", "ts", "node"}, gethostname())
    found = await peer.subscribe("fleets/#")
    (frame,) = await eventually(lambda: found.frames)
    (item,) = frame["data"]
    assert (item["topic"], item["ts"], item["values"]) == (TOPIC, 1, {"a": 1, "b": 2})
    assert frame["snapshot"]
    assert parse_id(frame["cursor"]) >= parse_id(item["id"])
    assert (await peer.ask("get", topic=TOPIC))["data"] == [item]
    history = await peer.ask("history", topic="fleets/#", meta=True)
    stored = parse_id(item["id"]) >> SEQUENCE_BITS
    assert history["data"] == [item | {"seq": 7, "received": 9, "stored": stored}]
    assert "cursor" not in history
    assert "trimmed" not in history
    published = await peer.ask("publish", topic="rooms/ops", data={"n": 1})
    assert parse_id(published["id"]) > parse_id(item["id"])
    assert (await peer.ask("unsubscribe", subscriptionId=found.id))["action"] == "unsubscribe"
    assert (await peer.ask("authorize", authorization="anything"))["action"] == "authorize"


async def test_signals_and_meta_shape_what_a_subscription_shows(peer: Peer, store: Store) -> None:
    await store.readings((TOPIC, Reading(1, {"A.x": 1, "B": 2}, 7)))
    found = await peer.subscribe("#", signals=["A.*"], meta=True, interval=0)
    (frame,) = await eventually(lambda: found.frames)
    (item,) = frame["data"]
    assert item.pop("stored") == parse_id(item.pop("id")) >> SEQUENCE_BITS
    assert item == {"topic": TOPIC, "ts": 1, "values": {"A.x": 1}, "seq": 7}
    await store.readings((TOPIC, Reading(2, {"B": 3})), (TOPIC, Reading(3, {"A.y": 4})))
    await eventually(lambda: found.states[TOPIC]["values"] == {"A.x": 1, "A.y": 4})


async def test_a_subscription_without_a_snapshot_begins_with_what_comes(peer: Peer, store: Store) -> None:
    await store.numbers([1])
    found = await peer.subscribe("fleets/#", snapshot=False, interval=0)
    await store.numbers([2])
    await eventually(lambda: found.items())
    assert [item["values"] for item in found.items()] == [{"n": 2}]
    assert not found.items(snapshot=True)


async def test_a_snapshot_of_nothing_still_has_a_cursor(peer: Peer) -> None:
    found = await peer.subscribe("fleets/none/#")
    (frame,) = await eventually(lambda: found.frames)
    assert frame["data"] == []
    parse_id(frame["cursor"])


async def test_the_reply_comes_before_the_first_frame(peer: Peer, store: Store) -> None:
    await store.numbers([1])
    await peer.subscribe("fleets/#")
    await eventually(lambda: len(peer.messages) == 2)
    assert [message["action"] for message in peer.messages] == ["subscribe", "subscription"]


async def test_asking_for_the_same_again_begins_anew(node: Node, peer: Peer, store: Store) -> None:
    await store.numbers([1])
    found = await peer.subscribe("fleets/#")
    again = await peer.subscribe("fleets/#")
    await eventually(lambda: len(again.frames) == 2)
    assert again.id == found.id
    assert [frame["snapshot"] for frame in again.frames] == [True, True]
    assert len(node.hub.groups) == 1
    assert len(node.hub.groups[0].members) == 1
    await store.numbers([2])
    await eventually(lambda: again.items(snapshot=False))
    assert [item["ts"] for item in again.items(snapshot=False)] == [2]


async def test_clients_who_ask_for_the_same_share_a_subscription_and_others_do_not(node: Node) -> None:
    async with joined(node) as one, joined(node) as two, joined(node, "msgpack") as three:
        same = {(await peer.subscribe("fleets/#", signals=["a", "b"])).id for peer in (one, two)}
        assert len(same) == 1
        assert (await two.subscribe("fleets/#", signals=["b", "a"])).id in same
        others = [
            await three.subscribe("fleets/#", signals=["a", "b"]),
            await one.subscribe("fleets/#"),
            await one.subscribe("fleets/#", interval=5),
            await one.subscribe("fleets/#", strategy="batch"),
            await one.subscribe("fleets/#", meta=True),
        ]
        assert len(same | {other.id for other in others}) == 6


async def test_history_comes_in_pages_that_lose_and_repeat_nothing(peer: Peer, store: Store) -> None:
    topics = [f"fleets/a/v{n}/telemetry" for n in range(3)]
    for n in range(100):
        await store.numbers([n], topics[n % 3])
    found: list[Event] = []
    fields: dict[str, Any] = {"limit": 7}
    while True:
        page = await peer.ask("history", topic="fleets/#", meta=True, **fields)
        assert len(page["data"]) <= 7
        found += page["data"]
        if "cursor" not in page:
            break
        fields["after"] = page["cursor"]
    assert [item["seq"] for item in found] == list(range(100))


async def test_history_is_limited_by_the_time_of_storing(peer: Peer, store: Store) -> None:
    await store.numbers([1])
    ((first, _),) = await store.log(TOPIC)
    at = first >> 32
    await eventually(lambda: time.time_ns() // 1_000_000 > at)
    await store.numbers([2])

    async def found(**fields: int) -> list[int]:
        return [item["values"]["n"] for item in (await peer.ask("history", topic="#", **fields))["data"]]

    assert await found(to=at) == [1]
    assert await found(**{"from": at}) == [1, 2]
    assert await found(**{"from": at + 1}) == [2]
    assert await found(**{"from": at, "to": at}) == [1]
    assert await found(to=at - 1) == []


@pytest.mark.parametrize(
    "fields", [{"from": (1 << 53) - 1}, {"to": (1 << 53) - 1}, {"from": 10**15}, {"from": 10**15 - 1}, {"to": 0}]
)
async def test_history_of_any_time_is_answered(peer: Peer, store: Store, fields: dict[str, int]) -> None:
    await store.numbers([1])
    reply = await peer.ask("history", topic="#", **fields)
    assert len(reply["data"]) == (fields.get("to", 0) > 0)


# Asking for something else


PLACE = {"CurrentLocation.Latitude": 0, "CurrentLocation.Longitude": 0}
BOX = [-1, -1, 1, 1]
ANY_CHANGE = {"variant": "change", "parameter": {"logic-op": "ne", "diff": 0}}


async def updated(peer: Peer, before: Subscription, **fields: Any) -> Subscription:
    reply = await peer.ask("update", subscriptionId=before.id, **fields)
    assert reply["action"] == "update", reply
    return Subscription(peer, reply["subscriptionId"])


async def test_all_that_asks_for_less_goes_together(peer: Peer, store: Store) -> None:
    await store.readings((TOPIC, Reading(1, {"A.x": 1, "A.y": 1, "B": 1, **PLACE})))
    fields: dict[str, Any] = {"signals": ["A.*", "B"], "interval": 0, "bbox": BOX, "delta": True}
    found = await peer.subscribe("fleets/+/+/telemetry", filter={"A.*": ANY_CHANGE}, **fields)
    await eventually(lambda: found.items())
    await store.readings((TOPIC, Reading(2, {"A.x": 2, "A.y": 1, "B": 1})))
    await eventually(lambda: len(found.items()) == 2)
    await store.readings((TOPIC, Reading(3, {**PLACE, "CurrentLocation.Latitude": 9})))
    await eventually(lambda: len(found.items()) == 3)
    assert [(item["values"], item.get("event")) for item in found.items()] == [
        ({"A.x": 1, "A.y": 1, "B": 1}, None),
        ({"A.x": 2}, None),
        ({"A.x": 2, "A.y": 1, "B": 1}, "leave"),
    ]


async def test_a_subscription_is_asked_for_something_else(node: Node, peer: Peer, store: Store) -> None:
    await store.readings((TOPIC, Reading(1, {"a": 1, "b": 2})))
    found = await peer.subscribe("fleets/#", interval=0, delta=True)
    await eventually(lambda: found.frames)
    less = await updated(peer, found, signals=["a"])
    await eventually(lambda: less.frames)
    assert less.id != found.id
    assert less.frames[0]["snapshot"]
    assert less.states[TOPIC]["values"] == {"a": 1}
    all = await updated(peer, less, signals=None, delta=False)
    await store.readings((TOPIC, Reading(2, {"a": 3})))
    await eventually(lambda: all.items(snapshot=False))
    assert [item["values"] for item in all.items()] == [{"a": 1, "b": 2}, {"a": 3, "b": 2}]
    assert len(node.hub.groups) == 1
    assert refused(await peer.ask("update", subscriptionId=less.id, interval=1), "unknown_subscription")


async def test_an_update_of_the_interval_goes_on_and_of_nothing_does_nothing(peer: Peer, store: Store) -> None:
    await store.readings((TOPIC, Reading(1, {"a": 1, "b": 1})))
    found = await peer.subscribe("fleets/#", interval=60_000, delta=True)
    assert (await updated(peer, found, interval=60_000)).id == found.id
    await store.readings((TOPIC, Reading(2, {"a": 2, "b": 1})))
    again = await updated(peer, found, interval=0)
    await store.readings((TOPIC, Reading(3, {"a": 3, "b": 1})))
    await eventually(lambda: again.items() and again.items()[-1]["values"] == {"a": 3})
    values = [item["values"] for item in [*found.items(), *again.items()]]
    assert values[0] == {"a": 1, "b": 1}
    assert all(value in ({"a": 2}, {"a": 2, "b": 1}, {"a": 3}) for value in values[1:])
    assert len(found.frames) <= 2


@pytest.mark.parametrize(
    "fields",
    [{"window": ["min"], "delta": True}, {"strategy": "batch"}, {"geofence": {"polygon": [[0, 0], [1, 0], [0, 1]]}}],
)
async def test_what_does_not_go_together_leaves_a_subscription_as_it_was(
    node: Node, peer: Peer, store: Store, fields: dict[str, Any]
) -> None:
    found = await peer.subscribe("fleets/#", interval=0, delta=True, bbox=BOX)
    assert refused(await peer.ask("update", subscriptionId=found.id, **fields), "bad_request")
    assert [group.id for group in node.hub.groups] == [found.id]
    await store.readings((TOPIC, Reading(1, {"a": 1, **PLACE})))
    await eventually(lambda: found.items())


@pytest.mark.parametrize("strategy", ["latest", "batch"])
async def test_two_subscriptions_that_come_to_ask_for_the_same_are_one(
    node: Node, peer: Peer, store: Store, strategy: str
) -> None:
    await store.numbers([0])
    fields = {"strategy": strategy, "meta": True}
    one = await peer.subscribe("fleets/#", interval=60_000, **fields)
    other = await peer.subscribe("fleets/#", interval=0, **fields)
    await store.numbers([1])
    await eventually(lambda: other.items() and other.items()[-1]["seq"] == 1)
    both = await updated(peer, one, interval=0)
    assert both.id == other.id
    await store.numbers([2])
    await eventually(lambda: both.items()[-1]["seq"] == 2)
    if strategy == "batch":
        both.check_order()
    (group,) = node.hub.groups
    assert len(group.members) == 1
    await peer.ask("unsubscribe", subscriptionId=both.id)
    assert node.hub.groups == []
    assert node._shards[0].interest._needed() == set()


async def test_a_message_that_waits_when_something_else_is_asked_for_comes_once(node: Node, peer: Peer) -> None:
    found = await peer.subscribe("#", interval=60_000)
    await peer.ask("publish", topic="rooms/ops", data=1)
    await eventually(lambda: len(node.hub.groups[0]._pending))
    other = await updated(peer, found, delta=True, interval=0)
    await peer.ask("publish", topic="rooms/ops", data=2)
    await eventually(lambda: other.items(snapshot=False))
    assert [item["data"] for item in found.items() + other.items()] == [1, 2]
    assert not other.gaps


async def test_a_message_that_was_missed_when_something_else_is_asked_for_is_told_as_a_gap(
    node: Node, peer: Peer
) -> None:
    found = await peer.subscribe("#", interval=0)
    await eventually(lambda: found.frames)
    (member,) = node.hub.groups[0].members
    member.group.retard(member)  # as if its outbox were full
    await peer.ask("publish", topic="rooms/ops", data=1)
    await eventually(lambda: member.missed_message)
    other = await updated(peer, found, delta=True)
    await eventually(lambda: other.gaps)
    assert not found.items()


async def test_who_comes_back_to_a_place_is_shown_all_of_it(peer: Peer, store: Store) -> None:
    gone = "fleets/berlin/v2/telemetry"
    await store.readings((TOPIC, Reading(1, {"a": 1, **PLACE})), (gone, Reading(1, {"a": 1, **PLACE})))
    found = await peer.subscribe("fleets/#", interval=0, signals=["a"], bbox=BOX)
    await eventually(lambda: len(found.items()) == 2)
    cursor = found.cursor
    await peer.ask("unsubscribe", subscriptionId=found.id)
    news = await peer.subscribe(gone, interval=0, snapshot=False)
    await store.readings((gone, Reading(2, {**PLACE, "CurrentLocation.Latitude": 9})))
    await eventually(lambda: news.items())  # the node has it
    again = await peer.subscribe("fleets/#", interval=0, signals=["a"], bbox=BOX, since=cursor)
    await eventually(lambda: again.frames)
    assert [(item["topic"], item["values"]) for item in again.items(snapshot=True)] == [(TOPIC, {"a": 1})]


# What can be wrong


BAD: list[tuple[str, dict[str, Any]]] = [
    ("unknown_action", {"action": "nope"}),
    ("bad_request", {}),
    ("bad_request", {"action": "ping", "more": 1}),
    ("bad_request", {"action": "subscribe", "topic": "#", "filter": "#"}),
    ("bad_request", {"action": "subscribe"}),
    ("bad_request", {"action": "subscribe", "topic": "#", "strategy": "all"}),
    ("bad_request", {"action": "subscribe", "topic": "#", "interval": 60_001}),
    ("bad_request", {"action": "subscribe", "topic": "#", "signals": []}),
    ("invalid_topic", {"action": "subscribe", "topic": "fleets/#/x"}),
    ("invalid_topic", {"action": "subscribe", "topic": "fleets//x"}),
    ("invalid_topic", {"action": "subscribe", "topic": "a b"}),
    ("invalid_topic", {"action": "subscribe", "topic": "/".join("a" * 17)}),
    ("invalid_topic", {"action": "get", "topic": "fleets/ü"}),
    ("invalid_topic", {"action": "history", "topic": "#/a"}),
    ("invalid_topic", {"action": "publish", "topic": "rooms/+", "data": 1}),
    ("invalid_topic", {"action": "publish", "topic": "nonsense", "data": 1}),
    ("forbidden_topic", {"action": "publish", "topic": TOPIC, "data": 1}),
    ("too_big", {"action": "publish", "topic": "rooms/ops", "data": "x" * 65_536}),
    ("invalid_cursor", {"action": "subscribe", "topic": "#", "since": "yesterday"}),
    ("invalid_cursor", {"action": "subscribe", "topic": "#", "since": ""}),
    ("invalid_cursor", {"action": "subscribe", "topic": "#", "strategy": "batch", "since": "1-٣"}),
    ("invalid_cursor", {"action": "history", "topic": "#", "after": "1"}),
    ("invalid_cursor", {"action": "history", "topic": "#", "after": "1" * 16 + "-0"}),
    ("unknown_subscription", {"action": "unsubscribe", "subscriptionId": "nope"}),
    ("unknown_subscription", {"action": "update", "subscriptionId": "nope", "interval": 5}),
    ("bad_request", {"action": "update", "interval": 5}),
    ("bad_request", {"action": "update", "subscriptionId": "nope", "topic": "#"}),
    ("bad_request", {"action": "update", "subscriptionId": "nope", "interval": 60_001}),
    ("bad_request", {"action": "update", "subscriptionId": "nope", "strategy": None}),
    ("bad_request", {"action": "subscribe", "topic": "#", "delta": True, "strategy": "batch"}),
    ("bad_request", {"action": "subscribe", "topic": "#", "bbox": [0, 1, 2]}),
    ("bad_request", {"action": "subscribe", "topic": "#", "window": []}),
]


@pytest.mark.parametrize(("reason", "fields"), BAD)
async def test_a_bad_command_is_told_and_the_session_lives(peer: Peer, reason: str, fields: dict[str, Any]) -> None:
    await peer.send({"requestId": "bad", **fields})
    await eventually(lambda: peer.messages)
    (reply,) = peer.messages
    assert refused(reply, reason)
    assert reply["requestId"] == "bad"
    assert reply.get("action") == fields.get("action")
    assert (await peer.ask("ping"))["action"] == "ping"
    assert not peer.session._node.hub.groups


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("frame", [b"", b"\xff\xff", b"nonsense", b"[]", b"\xc1", b"[" * 50_000])
async def test_a_frame_that_is_no_command_is_told_and_the_session_lives(
    node: Node, format: Format, frame: bytes
) -> None:
    async with joined(node, format) as peer:
        await peer.session.receive(frame)
        await eventually(lambda: peer.messages)
        (reply,) = peer.messages
        assert refused(reply, "bad_request")
        assert set(reply) == {"ts", "error"}
        assert (await peer.ask("ping"))["action"] == "ping"


@pytest.mark.parametrize("request_id", [None, 7, "", "x" * 65])
async def test_a_request_id_that_can_t_be_used_is_told(peer: Peer, request_id: Any) -> None:
    await peer.send({"action": "ping", "requestId": request_id})
    await eventually(lambda: peer.messages)
    assert refused(peer.messages[0], "bad_request")


@pytest.mark.parametrize("data", [msgpack.ExtType(5, b"x"), {1: 2}, b"bytes", msgpack.Timestamp(1)])
async def test_data_that_json_cannot_carry_is_refused_or_carried(node: Node, data: Any) -> None:
    async with joined(node, "msgpack") as peer, joined(node) as other:
        room = await other.subscribe("rooms/ops", interval=0, snapshot=False)
        frame = {"action": "publish", "requestId": "data", "topic": "rooms/ops", "data": data}
        await peer.session.receive(WRITE["msgpack"](frame))
        await eventually(lambda: peer.messages)
        (reply,) = peer.messages
        if "error" in reply:
            assert refused(reply, "bad_request")
        else:
            await eventually(room.items)


async def test_there_is_a_most_of_subscriptions_on_one_connection(node: Node) -> None:
    async with joined(node) as peer:
        for n in range(1_001):
            topic = f"fleets/a/v{n}/status"
            await peer.send({"action": "subscribe", "requestId": str(n), "topic": topic, "snapshot": False})
        await eventually(lambda: len(peer.messages) == 1_001)
        *replies, last = peer.messages
        assert all("error" not in reply for reply in replies)
        assert refused(last, "too_many_subscriptions")
        assert last["error"]["number"] == 429
        await peer.ask("unsubscribe", subscriptionId=replies[0]["subscriptionId"])
        await peer.subscribe("fleets/a/v1001/status")


async def test_errors_and_commands_are_counted(node: Node) -> None:
    async with joined(node) as peer:
        await peer.ask("ping")
        await peer.ask("unsubscribe", subscriptionId="nope")
        value = node.metrics.registry.get_sample_value
        assert value("fleetwire_stream_commands_total", {"action": "ping"}) == 1
        assert value("fleetwire_stream_errors_total", {"reason": "unknown_subscription"}) == 1


async def test_a_closed_session_leaves_nothing_behind(node: Node) -> None:
    async with joined(node) as peer:
        await peer.subscribe("fleets/#")
        await peer.subscribe("rooms/#")
    assert node.hub.groups == []
    assert not node._outboxes
    assert node._shards[0].interest._needed() == set()


# Grants


async def test_without_a_token_nothing_is_allowed_and_a_token_lets_in(locked: Node) -> None:
    async with joined(locked) as peer:
        for action, fields in (
            ("subscribe", {"topic": "fleets/a/#"}),
            ("get", {"topic": "fleets/a/#"}),
            ("history", {"topic": "fleets/a/#"}),
            ("publish", {"topic": "rooms/ops", "data": 1}),
        ):
            reply = await peer.ask(action, **fields)
            assert refused(reply, "unauthorized")
            assert reply["error"]["number"] == 401
        assert "error" not in await peer.ask("authorize", authorization=token(["fleets/a/#"], ["rooms/ops"]))
        await peer.subscribe("fleets/a/#")
        await peer.subscribe("fleets/a/+/telemetry")
        assert "error" not in await peer.ask("publish", topic="rooms/ops", data=1)


@pytest.mark.parametrize("topic", ["fleets/#", "#", "fleets/+/v1/telemetry", "fleets/b/v1/telemetry", "rooms/ops"])
async def test_a_filter_wider_than_the_grant_is_forbidden(locked: Node, topic: str) -> None:
    async with joined(locked, token=token(["fleets/a/#"], ["rooms/ops"])) as peer:
        for action in ("subscribe", "get", "history"):
            reply = await peer.ask(action, topic=topic)
            assert refused(reply, "forbidden_topic")
            assert reply["error"]["number"] == 403
        assert refused(await peer.ask("publish", topic="rooms/other", data=1), "forbidden_topic")


async def test_a_token_s_own_limits_count(locked: Node) -> None:
    claimed = claims("anna", ["#"], [], 60, limits={"subscriptions": 1, "commands": 0.1})
    async with joined(locked, token=sign_with_secret(KEY, claimed)) as peer:
        await peer.subscribe("rooms/a")
        assert refused(await peer.ask("subscribe", topic="rooms/b"), "too_many_subscriptions")
        assert refused(await peer.ask("ping"), "too_many_commands")
        assert (await peer.ask("ping"))["error"]["description"].startswith("at most 0.1 commands a second, and 2 at")


async def test_a_message_carries_who_sent_it(locked: Node) -> None:
    async with joined(locked, token=token(["rooms/#"], ["rooms/#"])) as peer:
        room = await peer.subscribe("rooms/ops", interval=0)
        await peer.ask("publish", topic="rooms/ops", data=1)
        await eventually(room.items)
        assert room.items()[0]["sender"] == "anna"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "nonsense",
        "a.b.c",
        token(["#"], key="x" * 32),
        token(["#"], seconds=-10),
        jwt.encode({"sub": "anna", "subscribe": ["#"]}, KEY, "HS256"),
        jwt.encode({"exp": 1 << 40, "subscribe": "#"}, KEY, "HS256"),
        jwt.encode({"exp": 1 << 40, "subscribe": ["#/#"]}, KEY, "HS256"),
        jwt.encode({"exp": 1 << 40, "subscribe": [7]}, KEY, "HS256"),
        jwt.encode({"exp": "soon", "subscribe": ["#"]}, KEY, "HS256"),
        jwt.encode({"exp": 1 << 40, "nbf": 1 << 40, "subscribe": ["#"]}, KEY, "HS256"),
        jwt.encode({"exp": 1 << 40, "subscribe": ["#"]}, None, "none"),
    ],
)
async def test_a_token_that_can_t_be_used_is_refused_and_not_repeated(locked: Node, bad: str) -> None:
    with pytest.raises(CommandError) as caught:
        await locked.authority.grants(bad)
    assert caught.value.reason == "invalid_token"
    async with joined(locked) as peer:
        reply = await peer.ask("authorize", authorization=bad)
        assert refused(reply, "invalid_token")
        assert len(bad) < 10 or bad not in json.dumps(reply)
        assert refused(await peer.ask("get", topic="#"), "unauthorized")


async def test_a_token_is_renewed_in_place_and_a_narrower_one_ends_what_it_does_not_cover(locked: Node) -> None:
    async with joined(locked, token=token(["fleets/#"])) as peer:
        wide, narrow = await peer.subscribe("fleets/#"), await peer.subscribe("fleets/a/#")
        await peer.ask("authorize", authorization=token(["fleets/a/#"]))
        told = [message for message in peer.messages if "error" in message]
        assert [refused(message, "forbidden_topic") for message in told] == [True]
        assert refused(await peer.ask("unsubscribe", subscriptionId=wide.id), "unknown_subscription")
        assert "error" not in await peer.ask("unsubscribe", subscriptionId=narrow.id)


async def test_a_token_that_expires_closes_the_session(locked: Node) -> None:
    async with joined(locked, token=token(["fleets/#"], seconds=1.5)) as peer:
        await peer.subscribe("fleets/#")
        await eventually(lambda: peer.closed)
        assert peer.closed == 4001


async def test_a_renewed_token_keeps_the_session_open(locked: Node) -> None:
    short = jwt.encode({"exp": int(time.time()) + 1, "subscribe": ["#"]}, KEY, "HS256")
    async with joined(locked, token=short) as peer, joined(locked, token=short) as other:
        await peer.ask("authorize", authorization=token(["#"]))
        await eventually(lambda: other.closed)
        assert peer.closed is None
        assert (await peer.ask("get", topic="#"))["data"] == []


def test_a_bad_filter_is_not_signed() -> None:
    with pytest.raises(TopicError):
        token(["fleets/#/x"])


async def test_a_client_that_reads_no_replies_is_asked_to_wait(node: Node) -> None:
    """Commands are carried out only while there is room for their replies."""
    async with joined(node) as peer:
        peer.reading.clear()
        big = {"action": "publish", "requestId": "1", "topic": "rooms/ops", "data": "x" * 60_000}
        for _ in range(8):
            await peer.send(big)

        async def ask() -> None:
            for n in range(3):
                await peer.send({"action": "history", "requestId": f"h{n}", "topic": "#"})

        asking = asyncio.ensure_future(ask())
        await eventually(lambda: counted(node, "commands_total", action="history") >= 1)
        assert not asking.done()
        peer.reading.set()
        await asking
