"""Every door, and every kind of token: who gets in, who does not, and that each door says the same."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from stream.prepared import PreparedProtocol
from tests.stream import test_doors
from tests.stream.nodes import Store
from tests.stream.signing import SECRETS, private, public_pem, token
from tests.stream.test_doors import Door, serving
from wire.protocol import BEARER, SUBPROTOCOLS
from wire.reading import Reading

AUDIENCE, ISSUER = "fleetwire", "https://id.example"
TOPIC = "fleets/a/v1/telemetry"
HIDDEN = "a value that nobody may see"
KINDS = ("RS256", "ES256", "EdDSA")
AROUND = {"filter": json.dumps({"Hidden": {"variant": "change", "parameter": {"logic-op": "ne", "diff": 0}}})}

Outcome = str | None  # the reason of a refusal


def secret(**claims: Any) -> str:
    return token(SECRETS[0], "HS256", **{"aud": AUDIENCE, "iss": ISSUER, **claims})


def signed(kind: str, **claims: Any) -> str:
    return token(private(kind), kind[:5], aud=AUDIENCE, iss=ISSUER, **claims)


def unsigned(algorithm: str, **header: Any) -> str:
    claims = jwt.decode(secret(), options={"verify_signature": False})
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "typ": "JWT", **header}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def confused() -> str:
    """Signed with a public key as if it were a secret (PyJWT itself refuses to, so by hand)."""
    head = unsigned("HS256").rstrip(".")
    found = hmac.new(public_pem("RS256"), head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(found).rstrip(b'=').decode()}"


def tampered() -> str:
    head, _, signature = secret(subscribe=["fleets/b/#"]).split(".")
    return f"{head}.{secret().split('.')[1]}.{signature}"


class Case(NamedTuple):
    """A token (None: none is shown), what is asked for, and what comes of it: to see it, and to publish."""

    token: Callable[[], str | None]
    topic: str
    read: Outcome
    publish: Outcome


def every(outcome: Outcome, shown: Callable[[], str | None], topic: str = TOPIC) -> Case:
    return Case(shown, topic, outcome, outcome)


def asks(grants: list[str], topic: str, read: Outcome) -> Case:
    return Case(lambda: secret(subscribe=grants), topic, read, None)


CASES = {
    "none": every("unauthorized", lambda: None),
    "empty": every("invalid_token", lambda: ""),
    "no token": every("invalid_token", lambda: "nonsense"),
    "three parts of nothing": every("invalid_token", lambda: "a.b.c"),
    "too long": every("invalid_token", lambda: "a" * 17_000),
    "wrong secret": every("invalid_token", lambda: token("x" * 32, "HS256", aud=AUDIENCE, iss=ISSUER)),
    **{f"wrong key, {kind}": every("invalid_token", lambda kind=kind: signed(f"{kind}2")) for kind in KINDS},
    "tampered": every("invalid_token", tampered),
    "alg none": every("invalid_token", lambda: unsigned("none")),
    "alg None": every("invalid_token", lambda: unsigned("None")),
    "no signature": every("invalid_token", lambda: unsigned("HS256")),
    "public key as a secret": every("invalid_token", confused),
    "HS512": every("invalid_token", lambda: token(SECRETS[0] * 2, "HS512", aud=AUDIENCE, iss=ISSUER)),
    "a key of its own in the header": every(
        "invalid_token", lambda: unsigned("HS256", jwk={"kty": "oct", "k": "eA"})
    ),
    "a key id that leads out": every("invalid_token", lambda: unsigned("HS256", kid="../../dev/null")),
    "expired": every("invalid_token", lambda: secret(exp=int(time.time()) - 1)),
    "never expires": every("invalid_token", lambda: secret(exp=None)),
    "not yet": every("invalid_token", lambda: secret(nbf=int(time.time()) + 60)),
    "wrong audience": every("invalid_token", lambda: secret(aud="elsewhere")),
    "no audience": every("invalid_token", lambda: secret(aud=None)),
    "wrong issuer": every("invalid_token", lambda: secret(iss="https://evil.example")),
    "no issuer": every("invalid_token", lambda: secret(iss=None)),
    "grants that are no list": every("invalid_token", lambda: secret(subscribe="#")),
    "grants that are no filters": every("invalid_token", lambda: secret(subscribe=["#/#"])),
    "limits that are none": every("invalid_token", lambda: secret(limits={"everything": 1})),
    "no grants": every("unauthorized", lambda: secret(subscribe=[], publish=[])),
    "to publish only": Case(lambda: secret(subscribe=[]), TOPIC, "forbidden_topic", None),
    "to subscribe only": Case(lambda: secret(publish=[]), TOPIC, None, "forbidden_topic"),
    "good": every(None, secret),
    "good, old secret": every(None, lambda: token(SECRETS[1], "HS256", aud=AUDIENCE, iss=ISSUER)),
    **{f"good, {kind}": every(None, lambda kind=kind: signed(kind)) for kind in KINDS},
    "good, several audiences": every(None, lambda: secret(aud=["elsewhere", AUDIENCE])),
    "all of a fleet, by its filter": asks(["fleets/a/#"], "fleets/a/#", None),
    "all fleets, of one": asks(["fleets/a/#"], "fleets/+/#", "forbidden_topic"),
    "everything, of one": asks(["fleets/a/#"], "#", "forbidden_topic"),
    "too narrow by one level": asks(["fleets/a/+"], TOPIC, "forbidden_topic"),
    "too narrow by a wildcard": asks([TOPIC], "fleets/a/+/telemetry", "forbidden_topic"),
    "too narrow by a kind": asks(["fleets/a/+/telemetry"], "fleets/a/#", "forbidden_topic"),
    "another fleet": asks(["fleets/a/#"], "fleets/b/#", "forbidden_topic"),
    "a longer name": asks(["fleets/a/#"], "fleets/ab/#", "forbidden_topic"),
    "rooms": asks(["fleets/#"], "rooms/#", "forbidden_topic"),
}


@pytest.fixture
async def store(redis_client: Redis) -> Store:
    found = Store(redis_client)
    await found.readings((TOPIC, Reading(1, {"Speed": 1, "Hidden": HIDDEN}, 1)))
    return found


@pytest.fixture
async def door(valkey_url: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(test_doors, "WS", PreparedProtocol, raising=False)
    keys = tmp_path / "keys.pem"
    keys.write_bytes(b"".join(map(public_pem, KINDS)))
    names = {"jwt_audience": AUDIENCE, "jwt_issuer": ISSUER}
    async with serving(valkey_url, jwt_key=" ".join(SECRETS), jwt_keys=str(keys), **names) as found:
        yield found


def bearer(shown: str | None) -> dict[str, str]:
    return {} if shown is None else {"Authorization": f"Bearer {shown}"}


async def _answer(response: Any, shown: str | None) -> Outcome:
    body = (await response.aread()).decode()
    assert not shown or shown not in body or len(shown) < 10
    if response.status_code == 200:
        return None
    error = json.loads(body)["error"]
    assert response.status_code == error["number"]
    return str(error["reason"])


async def over_http(door: Door, path: str, shown: str | None, **params: str) -> Outcome:
    """What is asked for with GET."""
    response = await door.http.get(f"/v1/{path}", params=params, headers=bearer(shown))
    return await _answer(response, shown)


async def events(door: Door, shown: str | None, **params: str) -> Outcome:
    """As far as the head: a stream of events has no end."""
    async with door.http.stream("GET", "/v1/events", params=params, headers=bearer(shown)) as response:
        return None if response.status_code == 200 else await _answer(response, shown)


async def publishing(door: Door, shown: str | None) -> Outcome:
    message = {"topic": "rooms/ops", "data": 1}
    return await _answer(await door.http.post("/v1/publish", json=message, headers=bearer(shown)), shown)


async def conversation(door: Door, shown: str | None, way: str, **command: Any) -> Outcome:
    """One command over a WebSocket, with the token shown in one of three ways."""
    headers = bearer(shown) if way == "header" else {}
    offered = [next(iter(SUBPROTOCOLS))]
    if way == "subprotocol" and shown is not None:
        offered.append(BEARER + shown)
    async with connect(door.url, additional_headers=headers, subprotocols=offered) as line:  # type: ignore[arg-type]
        assert line.subprotocol == offered[0]
        try:
            if way == "authorize" and shown is not None:
                await line.send(json.dumps({"action": "authorize", "requestId": "0", "authorization": shown}))
                if "error" in (reply := json.loads(await line.recv())):
                    assert len(shown) < 10 or shown not in json.dumps(reply)
                    return str(reply["error"]["reason"])
            await line.send(json.dumps({"requestId": "1", **command}))
            reply = json.loads(await line.recv())
        except ConnectionClosed as closed:
            return "invalid_token" if closed.rcvd is not None and closed.rcvd.code == 4001 else str(closed)
    return str(reply["error"]["reason"]) if "error" in reply else None


Reads = Callable[[Door, str | None, str], Awaitable[Outcome]]

READS: dict[str, Reads] = {
    "state": lambda door, shown, topic: over_http(door, "state", shown, topic=topic),
    "history": lambda door, shown, topic: over_http(door, "history", shown, topic=topic),
    "history, csv": lambda door, shown, topic: over_http(door, "history", shown, topic=topic, format="csv"),
    "events": lambda door, shown, topic: events(door, shown, topic=topic),
    **{
        f"{action} by {way}": lambda door, shown, topic, way=way, action=action: conversation(  # type: ignore[misc]
            door, shown, way, action=action, topic=topic
        )
        for way in ("header", "subprotocol", "authorize")
        for action in ("subscribe", "get", "history")
    },
}
PUBLISHES: dict[str, Callable[[Door, str | None], Awaitable[Outcome]]] = {
    "publish": publishing,
    **{
        f"publish by {way}": lambda door, shown, way=way: conversation(  # type: ignore[misc]
            door, shown, way, action="publish", topic="rooms/ops", data=1
        )
        for way in ("header", "subprotocol", "authorize")
    },
}


def can_be_shown(case: Case, name: str) -> bool:
    """An empty token is no subprotocol and no header, and 17 KB are too much for a header."""
    shown = case.token()
    return "authorize" in name or shown is None or 0 < len(shown) < 4_096


@pytest.mark.parametrize("name", READS)
async def test_every_kind_of_token_where_something_is_to_be_seen(door: Door, name: str) -> None:
    cases = {kind: case for kind, case in CASES.items() if can_be_shown(case, name)}
    found = {kind: await READS[name](door, case.token(), case.topic) for kind, case in cases.items()}
    assert found == {kind: case.read for kind, case in cases.items()}


@pytest.mark.parametrize("name", PUBLISHES)
async def test_every_kind_of_token_where_something_is_said(door: Door, name: str) -> None:
    cases = {kind: case for kind, case in CASES.items() if can_be_shown(case, name)}
    found = {kind: await PUBLISHES[name](door, case.token()) for kind, case in cases.items()}
    assert found == {kind: case.publish for kind, case in cases.items()}


async def test_a_command_wants_a_grant_to_publish_to_that_vehicle(door: Door) -> None:
    async def outcome(publish: list[str]) -> Outcome:
        command = {"action": "publish", "topic": "fleets/a/v1/commands", "data": {"name": "ping"}}
        return await conversation(door, secret(publish=publish), "header", **command)

    for grants in (["rooms/#"], ["fleets/a/v2/#"], ["fleets/a/+/telemetry"], ["fleets/a"], []):
        assert await outcome(grants) == "forbidden_topic"
    for grants in (["fleets/a/v1/commands"], ["fleets/+/+/commands"], ["fleets/a/#"]):
        assert await outcome(grants) is None


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("state", {}),
        ("state", {"meta": "true"}),
        ("history", {}),
        ("history", {"meta": "true", "format": "msgpack"}),
        ("history", {"format": "csv"}),
        ("history", {"format": "ndjson"}),
        ("history", {"window": "60000"}),
        ("history", {"window": "60000", "format": "csv"}),
    ],
)
async def test_a_signal_that_is_not_granted_leaves_by_no_door(door: Door, path: str, params: dict[str, str]) -> None:
    shown = bearer(secret(signals=["Speed"]))
    answer = await door.http.get(f"/v1/{path}", params={"topic": TOPIC, **params}, headers=shown)
    assert answer.status_code == 200
    assert b"Speed" in answer.content
    assert b"Hidden" not in answer.content
    assert HIDDEN.encode() not in answer.content
    nothing = bearer(secret(signals=["Elsewhere"]))
    answer = await door.http.get(f"/v1/{path}", params={"topic": TOPIC, **params}, headers=nothing)
    assert TOPIC.encode() not in answer.content


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"strategy": "batch", "since": "0-0"},
        {"meta": True},
        {"delta": True},
        {"window": ["min"]},
        {"from": 0},
        {"from": 0, "speed": 100, "strategy": "batch"},
    ],
)
async def test_nor_by_a_subscription(door: Door, store: Store, fields: dict[str, Any]) -> None:
    offered = [next(iter(SUBPROTOCOLS)), BEARER + secret(signals=["Speed"])]
    async with connect(door.url, subprotocols=offered) as line:  # type: ignore[arg-type]
        await line.send(json.dumps({"action": "subscribe", "requestId": "1", "topic": "fleets/a/#", **fields}))
        assert json.loads(await line.recv())["signals"] == ["Speed"]
        await store.readings(
            (TOPIC, Reading(2, {"Hidden": HIDDEN}, 2)), (TOPIC, Reading(3, {"Speed": 3, "Hidden": HIDDEN}, 3))
        )
        told = ""
        while '"ts":3' not in told and '"Speed":{"min":3' not in told:
            told += str(await line.recv())
        assert "Hidden" not in told
        assert HIDDEN not in told


@pytest.mark.parametrize(
    "params",
    [{"signals": "Speed,Hidden"}, {"signals": "*"}, AROUND, {"bbox": "0,0,1,1"}, {"signals": "Speed", **AROUND}],
)
async def test_nor_may_it_be_asked_for(door: Door, params: dict[str, str]) -> None:
    shown = secret(signals=["Speed"])
    assert await events(door, shown, topic="fleets/a/#", **params) == "forbidden_signal"
    if params.keys() == {"signals"}:
        assert await over_http(door, "history", shown, topic="fleets/a/#", **params) == "forbidden_signal"


async def test_a_token_in_a_url_is_none(door: Door) -> None:
    assert await over_http(door, "state", None, topic=TOPIC, access_token=secret()) == "unauthorized"
    async with connect(f"{door.url}?access_token={secret()}") as line:
        await line.send(json.dumps({"action": "get", "requestId": "1", "topic": TOPIC}))
        assert json.loads(await line.recv())["error"]["reason"] == "unauthorized"
