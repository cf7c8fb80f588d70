"""Commands and replies at a node: what may be published, what waits for a bridge then, and who sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client.samples import Sample
from redis.asyncio import Redis

from stream.app import create_app
from stream.auth import sign
from stream.limits import Limits
from stream.node import Node
from stream.settings import Settings
from tests.programs import eventually
from tests.stream.nodes import Event, Peer, Store, joined, running
from wire import keys
from wire.clock import now_ms
from wire.command import DEFAULT_TTL, MAX_TTL, Command, Reply, decode_command
from wire.protocol import ERRORS, Format
from wire.reading import Message, Reading, encode
from wire.store import SCRIPT, Entry, Retention, arguments

KEY = "k" * 32
V1 = "fleets/berlin/v1"
COMMANDS, REPLIES = f"{V1}/commands", f"{V1}/replies"
FORMATS: tuple[Format, ...] = ("json", "msgpack")
STOP = {"name": "stop", "force": [1, None, {"x": 0.5}]}


@pytest.fixture
async def store(redis_client: Redis) -> Store:
    found = Store(redis_client)
    await found.readings((f"{V1}/telemetry", Reading(1, {"Speed": 1})), (f"{V1}/status", Reading(1, {"a": 1})))
    return found


@pytest.fixture
async def node(valkey_url: str, store: Store) -> AsyncIterator[Node]:
    async with running(valkey_url) as found:
        yield found


@pytest.fixture(params=FORMATS)
async def peer(request: pytest.FixtureRequest, node: Node) -> AsyncIterator[Peer]:
    async with joined(node, request.param) as found:
        yield found


async def waiting(store: Store) -> dict[str, tuple[str, Command]]:
    """What waits for a bridge, by correlation."""
    found = await store.redis.xrange(keys.COMMANDS)
    return {id.decode(): (fields[b"topic"].decode(), decode_command(fields[b"b"])) for id, fields in found}


async def reply(store: Store, reply: Reply, topic: str = REPLIES) -> None:
    """Store a reply as a bridge does."""
    names, args = arguments([Entry(topic, encode(reply.message(now_ms())))], Retention())
    await store.redis.register_script(SCRIPT)(keys=names, args=args)


def refused(answer: Event, reason: str) -> bool:
    error = answer.get("error", {})
    return (error.get("number"), error.get("reason")) == (ERRORS[reason], reason) and bool(error["description"])


async def test_a_command_waits_for_a_bridge_under_its_correlation(peer: Peer, store: Store) -> None:
    before = now_ms()
    first = await peer.ask("publish", topic=COMMANDS, data=STOP)
    second = await peer.ask("publish", topic=COMMANDS, data={}, ttl=5)
    found = await waiting(store)
    assert list(found) == [first["id"], second["id"]]
    topic, command = found[first["id"]]
    assert (topic, command.data, command.ttl, command.sender) == (COMMANDS, STOP, DEFAULT_TTL, None)
    assert before <= command.ts <= now_ms()
    assert command.expires == command.ts + DEFAULT_TTL
    assert found[second["id"]][1].ttl == 5


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("unknown_vehicle", {"topic": "fleets/berlin/v2/commands", "data": {}}),
        ("unknown_vehicle", {"topic": "fleets/tokyo/v1/commands", "data": {}}),
        ("bad_request", {"topic": COMMANDS, "data": "stop"}),
        ("bad_request", {"topic": COMMANDS, "data": None}),
        ("bad_request", {"topic": COMMANDS, "data": {}, "ttl": 0}),
        ("bad_request", {"topic": COMMANDS, "data": {}, "ttl": MAX_TTL + 1}),
        ("bad_request", {"topic": COMMANDS, "data": {}, "ttl": "5"}),
        ("bad_request", {"topic": "rooms/ops", "data": {}, "ttl": 5}),
        ("too_big", {"topic": COMMANDS, "data": {"x": "y" * 65_536}}),
        *(
            ("invalid_topic", {"topic": topic, "data": {}})
            for topic in (
                "fleets/berlin/+/commands",
                "fleets/+/v1/commands",
                "fleets/+/+/commands",
                "fleets/berlin/#",
                "#",
                "fleets/berlin/v1/commands/#",
                "fleets/berlin/v1,v2/commands",
                "fleets/berlin/v1/../v2/commands",
                "$share/x/fleets/berlin/v1/commands",
            )
        ),
        ("forbidden_topic", {"topic": REPLIES, "data": {}}),
        ("forbidden_topic", {"topic": f"{V1}/telemetry", "data": {}, "ttl": 5}),
    ],
)
async def test_what_is_no_command_is_refused_and_does_not_wait(
    peer: Peer, store: Store, reason: str, fields: dict[str, Any]
) -> None:
    assert refused(await peer.ask("publish", **fields), reason)
    assert await waiting(store) == {}
    assert not await store.redis.exists(keys.log("fleets/berlin/v2/commands"), keys.log(COMMANDS))


async def test_a_token_says_who_may_command_what(valkey_url: str, store: Store) -> None:
    token = sign(KEY, "anna", ["rooms/#"], ["fleets/berlin/+/commands"], 60)
    async with running(valkey_url, jwt_key=KEY) as node, joined(node, token=token) as peer:
        answer = await peer.ask("publish", topic=COMMANDS, data={})
        assert (await waiting(store))[answer["id"]][1].sender == "anna"
        for topic in ("fleets/tokyo/v1/commands", "rooms/ops"):
            assert refused(await peer.ask("publish", topic=topic, data={}), "forbidden_topic")
        assert refused(await peer.ask("subscribe", topic=REPLIES), "forbidden_topic")


async def test_more_than_may_wait_are_refused_and_those_that_wait_stay(valkey_url: str, store: Store) -> None:
    async with running(valkey_url, limits=Limits(waiting_commands=3)) as node, joined(node) as peer:
        ids = [(await peer.ask("publish", topic=COMMANDS, data={"n": n}))["id"] for n in range(3)]
        answer = await peer.ask("publish", topic=COMMANDS, data={})
        assert refused(answer, "storage_full")
        assert "3 commands wait for a reply already" in answer["error"]["description"]
        assert list(await waiting(store)) == ids
        assert await store.redis.xlen(keys.log(COMMANDS)) == 3
        assert "error" not in await peer.ask("publish", topic="rooms/ops", data={})
        assert refused(await peer.ask("publish", topic="fleets/berlin/v2/commands", data={}), "unknown_vehicle")
        await store.redis.xdel(keys.COMMANDS, ids[0])  # a bridge has settled it
        assert "error" not in await peer.ask("publish", topic=COMMANDS, data={})
        found = [sample.value for sample in _errors(node) if sample.labels.get("reason") == "storage_full"]
        assert found[0] == 1


def _errors(node: Node) -> list[Sample]:
    return [sample for family in node.metrics.errors.collect() for sample in family.samples]


async def test_http_publishes_commands_too(valkey_url: str, store: Store) -> None:
    app = create_app(Settings(redis_url=valkey_url))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http,
    ):
        good = await http.post("/v1/publish", json={"topic": COMMANDS, "data": STOP, "ttl": 7})
        assert (await waiting(store))[good.json()["id"]][1].ttl == 7
        for status, fields in (
            (404, {"topic": "fleets/berlin/v2/commands"}),
            (400, {"topic": COMMANDS, "ttl": 0}),
            (400, {"topic": "rooms/ops", "ttl": 5}),
        ):
            answer = await http.post("/v1/publish", json={"data": {}} | fields)
            assert (answer.status_code, answer.json()["error"]["number"]) == (status, status)


@pytest.mark.parametrize("topic", [COMMANDS, "fleets/+/+/commands", "+/+/+/commands"])
async def test_commands_are_never_conflated(peer: Peer, topic: str) -> None:
    found = await peer.subscribe(topic, interval=50)
    sent = [(await peer.ask("publish", topic=COMMANDS, data={"n": n}))["id"] for n in range(5)]
    await eventually(lambda: len(found.items()) == 5)
    assert [(item["id"], item["topic"], item["data"]) for item in found.items()] == [
        (id, COMMANDS, {"n": n}) for n, id in enumerate(sent)
    ]
    assert not found.gaps
    assert all("conflated" not in frame for frame in found.frames)


async def test_replies_come_to_those_who_return_from_the_log(peer: Peer, node: Node, store: Store) -> None:
    async with joined(node) as before:
        found = await before.subscribe(REPLIES, interval=0)
        await reply(store, Reply("5-1", "IN_PROGRESS"))
        await eventually(lambda: len(found.items()) == 1)
    await reply(store, Reply("5-1", "SUCCEEDED", data={"a": 1}))
    await reply(store, Reply("6-1", "TIMED_OUT", "offline"))
    again = await peer.subscribe("fleets/berlin/+/replies", since=found.cursor)
    await eventually(lambda: len(again.items()) == 2)
    assert [item["data"] for item in again.items()] == [
        {"correlation": "5-1", "status": "SUCCEEDED", "data": {"a": 1}},
        {"correlation": "6-1", "status": "TIMED_OUT", "reason": "offline"},
    ]
    assert not again.gaps


async def test_history_has_commands_and_replies_and_state_has_not(peer: Peer, store: Store) -> None:
    id = (await peer.ask("publish", topic=COMMANDS, data=STOP))["id"]
    await reply(store, Reply(id, "FAILED", "flat battery"))
    history = (await peer.ask("history", topic=f"{V1}/#"))["data"]
    assert [item["topic"].rpartition("/")[2] for item in history] == ["telemetry", "status", "commands", "replies"]
    assert history[2]["id"] == history[3]["data"]["correlation"] == id
    states = (await peer.ask("get", topic=f"{V1}/#"))["data"]
    assert {item["topic"].rpartition("/")[2] for item in states} == {"telemetry", "status"}
    assert (await peer.ask("get", topic=COMMANDS))["data"] == []


async def test_a_wider_subscription_shows_them_live_and_is_told_of_no_gap(
    peer: Peer, node: Node, store: Store
) -> None:
    found = await peer.subscribe("fleets/#", interval=0)
    id = (await peer.ask("publish", topic=COMMANDS, data=STOP))["id"]
    await reply(store, Reply(id, "SUCCEEDED"))
    await eventually(lambda: REPLIES in found.states)
    assert found.states[COMMANDS]["data"] == STOP
    async with joined(node) as later:
        again = await later.subscribe("fleets/#", since=found.frames[0]["cursor"])
        await eventually(lambda: again.frames)
        assert not again.gaps


async def test_one_of_latest_that_falls_behind_is_told_of_rooms_only(valkey_url: str, store: Store) -> None:
    async with running(valkey_url, outbox_bytes=2_000) as node, joined(node) as slow, joined(node) as other:
        found = await slow.subscribe("#", interval=0, snapshot=False)
        slow.reading.clear()
        for n in range(50):
            await other.ask("publish", topic=COMMANDS, data={"n": n, "x": "y" * 100})
        await eventually(
            lambda: any(group.is_behind(member) for group in node.hub.groups for member in group.members)
        )
        slow.reading.set()
        await store.numbers([1])
        await eventually(lambda: found.states.get("fleets/berlin/v1/telemetry"))
        assert len(found.items()) < 51
        assert not found.gaps


async def test_a_message_of_redis_cli_is_shown_as_one(peer: Peer, store: Store) -> None:
    found = await peer.subscribe(REPLIES, interval=0)
    await store.redis.publish(REPLIES, b"9999999999999-0 " + encode(Message(1, {"any": "thing"}, "me")))
    await eventually(lambda: found.items())
    assert found.items()[0]["data"] == {"any": "thing"}
