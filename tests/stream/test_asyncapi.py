"""What a real node says is what the AsyncAPI document says that it says."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from jsonschema import Draft7Validator
from redis.asyncio import Redis

from stream.app import create_app
from stream.auth import sign
from stream.settings import Settings
from tests.programs import eventually
from tests.stream.nodes import TOPIC, Store, joined, running
from wire.asyncapi import document
from wire.protocol import Format
from wire.reading import Reading

DOCUMENT = document()
OPERATIONS = DOCUMENT["operations"]
KEY = "k" * 32
NEAR = {"CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4, "Speed": 5.5, "Gear": "D"}
FENCE = {"polygon": [[13, 52], [14, 52], [14, 53], [13, 53]]}
CURVE = {"Speed": {"variant": "curvelog", "parameter": {"maxerr": 0.1, "bufsize": 2}}}


def valid(frame: Any, operation: dict[str, Any]) -> bool:
    """Whether it is one, and only one, of an operation's messages."""
    names = [reference["$ref"].rpartition("/")[2] for reference in operation["messages"]]
    schemas = [{"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]} for name in names]
    return sum(Draft7Validator(schema).is_valid(frame) for schema in schemas) == 1


async def test_a_node_serves_it(valkey_url: str) -> None:
    app = create_app(Settings(redis_url=valkey_url))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        for _ in range(2):
            found = await http.get("/v1/asyncapi.json")
            assert (found.status_code, found.headers["content-type"]) == (200, "application/json")
            assert found.json() == DOCUMENT


@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_each_command_is_answered_as_it_says(valkey_url: str, redis_client: Redis, format: Format) -> None:
    token = sign(KEY, "anna", ["#"], ["#"], 60)
    async with running(valkey_url, jwt_key=KEY) as node, joined(node, format, token) as peer:
        await Store(redis_client).readings((TOPIC, Reading(1, NEAR, 7, received=9)))
        asked: dict[str, dict[str, Any]] = {
            "subscribe": {"topic": "#", "meta": True},
            "update": {"subscriptionId": "", "interval": 10},
            "unsubscribe": {"subscriptionId": ""},
            "publish": {"topic": "rooms/ops", "data": {"text": "hi"}},
            "get": {"topic": "#", "meta": True},
            "history": {"topic": "#", "window": 1_000},
            "authorize": {"authorization": token},
            "ping": {},
        }
        assert asked.keys() == {name for name, found in OPERATIONS.items() if found["action"] == "receive"}
        id = ""
        for action, fields in asked.items():
            known = {"subscriptionId": id} if "subscriptionId" in fields else {}
            reply = await peer.ask(action, **fields | known)
            assert "error" not in reply
            assert valid(reply, OPERATIONS[action]["reply"]), reply
            id = reply.get("subscriptionId", id)
            refused = await peer.ask(action, **fields, more=1)
            assert refused["error"]["reason"] == "bad_request"
            assert valid(refused, OPERATIONS[action]["reply"]), refused


@pytest.mark.parametrize(
    ("shape", "action"),
    [
        ({"meta": True}, "subscription"),
        ({"window": ["min", "mean"]}, "subscription"),
        ({"geofence": FENCE}, "subscription"),
        ({"filter": CURVE}, "subscription"),
        ({"from": 0, "speed": 0}, "replay"),
        ({"from": 0, "speed": 100}, "replay"),
    ],
)
async def test_each_event_is_as_it_says(
    valkey_url: str, redis_client: Redis, shape: dict[str, Any], action: str
) -> None:
    store = Store(redis_client)
    async with running(valkey_url) as node, joined(node) as peer:
        await store.readings((TOPIC, Reading(1, NEAR, 7, received=9)))
        found = await peer.subscribe("fleets/#", interval=5, **shape)
        for n in range(2, 12):
            await store.readings((TOPIC, Reading(n, NEAR | {"Speed": n * n}, n)))
        await peer.ask("publish", topic="rooms/ops", data=None)
        await eventually(lambda: [event for event in found.events if event["action"] == action])
        for event in found.events:
            assert valid(event, OPERATIONS[event["action"]]), event
