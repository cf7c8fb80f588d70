"""Tokens of the browser client: renewed in place, asked for anew, refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from stream.auth import claims, sign, sign_with_secret
from tests.client.driven import Refused, driven
from tests.client.streams import Stream, stream
from tests.programs import eventually
from wire.reading import Reading

KEY = "a-key-for-tests,-which-has-at-least-32-characters"
FLEET = "fleets/berlin/+/telemetry"


def token(seconds: float = 600, subscribe: tuple[str, ...] = ("fleets/berlin/#", "rooms/#")) -> str:
    return sign(KEY, "ann", list(subscribe), ["rooms/#"], seconds)


@pytest.fixture
async def node(valkey_url: str) -> AsyncIterator[Stream]:
    async with stream(valkey_url, "--jwt-key", KEY) as running:
        await running.store.numbers([1])
        yield running


async def test_a_token_is_renewed_in_place(node: Stream) -> None:
    tokens = [token(5), token(6), token(600)]
    async with driven(node.url, tokens=list(tokens)) as client:
        told = await client.subscribe(FLEET, interval=0)
        await eventually(lambda: client.asked == tokens, 20)
        assert [state["name"] for state in client.states] == ["connecting", "live"]
        assert (await client.stats())["connects"] == 1
        await node.store.numbers([2])
        await eventually(lambda: told.states == {"fleets/berlin/v1/telemetry": {"n": 2}})


async def test_after_its_time_the_client_comes_with_a_new_one(node: Stream) -> None:
    """The renewal in place fails: what it is given is no token."""
    good = token(600)
    async with driven(node.url, tokens=[token(4), "nonsense", good]) as client:
        told = await client.subscribe(FLEET, strategy="batch", interval=0)
        await eventually(lambda: told.events)
        await eventually(lambda: client.asked[-1] == good, 20)
        await client.becomes("live")
        await node.store.numbers([2])
        await eventually(lambda: len(told.keys) == 1)
        assert "token expired" in [state.get("reason") for state in client.states]


async def test_without_a_token_a_client_is_denied_until_it_has_one(node: Stream) -> None:
    async with driven(node.url) as client:
        told = await client.subscribe(FLEET)
        denied = await client.becomes("denied")
        assert (denied["number"], denied["reason"]) == (401, "unauthorized")
        with pytest.raises(Refused, match="unauthorized"):
            await client.call("get", FLEET)
        with pytest.raises(Refused, match="invalid_token"):
            await client.call("authorize", "nonsense")
        assert client.states[-1]["reason"] == "invalid_token"
        await client.call("authorize", token())
        await client.becomes("live")
        await eventually(lambda: told.states)
        assert not told.kind("error")


async def test_an_expired_token_is_denied(node: Stream) -> None:
    async with driven(node.url, token=token(-10)) as client:
        assert (await client.becomes("denied"))["reason"] == "invalid_token"


async def test_what_is_not_granted_is_an_error_of_its_own(node: Stream) -> None:
    async with driven(node.url, token=token()) as client:
        refused = await client.subscribe("fleets/paris/+/telemetry")
        told = await client.subscribe(FLEET)
        await eventually(lambda: refused.events and told.states)
        assert [event["reason"] for event in refused.events] == ["forbidden_topic"]
        with pytest.raises(Refused, match="forbidden_topic"):
            await client.call("get", "fleets/paris/+/telemetry")
        assert client.state == "live"


async def test_other_signals_are_shown_as_a_new_token_says(node: Stream) -> None:
    await node.store.readings(("fleets/berlin/v2/telemetry", Reading(1, {"n": 2, "m": 3}, 1)))
    topic = "fleets/berlin/v2/telemetry"
    few = sign_with_secret(KEY, claims("ann", ["fleets/#"], [], 600, signals=["n"]))
    async with driven(node.url, token=few) as client:
        states = await client.subscribe(topic, interval=0)
        readings = await client.subscribe(topic, strategy="batch", interval=0)
        await eventually(lambda: states.states == {topic: {"n": 2}} and readings.events)
        await client.call("authorize", token())
        await eventually(lambda: states.states == {topic: {"n": 2, "m": 3}})
        await node.store.readings((topic, Reading(2, {"m": 4}, 2)))
        await eventually(lambda: readings.items() and readings.items()[-1]["values"] == {"m": 4})
        assert not states.kind("error")
        assert not readings.kind("error")
        assert (await client.stats())["connects"] == 1


async def test_a_token_that_grants_less_ends_what_it_does_not_grant(node: Stream) -> None:
    async with driven(node.url, token=token()) as client:
        fleet = await client.subscribe(FLEET, strategy="batch", interval=0)
        room = await client.subscribe("rooms/ops")
        await eventually(lambda: fleet.events and room.events)
        await client.call("authorize", token(subscribe=("fleets/berlin/#",)))
        await eventually(lambda: room.kind("error"))
        await node.store.numbers([2, 3])
        await eventually(lambda: len(fleet.keys) == 2)
        assert not fleet.kind("error")
        with pytest.raises(Refused, match="invalid_token"):
            await client.call("authorize", "nonsense")
        assert client.state == "live"
