"""What a session refuses: commands that come too fast, nonsense, and clients that show no token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stream import session as module
from stream.auth import sign
from stream.limits import Limits
from stream.node import Node
from tests.programs import eventually
from tests.stream.nodes import Event, Peer, counted, joined, running

KEY = "k" * 32


@asynccontextmanager
async def peer_of(url: str, *, key: str | None = None, **limits: Any) -> AsyncIterator[tuple[Node, Peer]]:
    async with running(url, jwt_key=key, limits=Limits(**limits)) as node, joined(node) as peer:
        yield node, peer


def reasons(peer: Peer) -> list[str | None]:
    """What the errors were, of all that was answered."""
    return [message.get("error", {}).get("reason") for message in peer.messages]


async def pings(peer: Peer, count: int) -> list[Event]:
    return [await peer.ask("ping") for _ in range(count)]


async def test_more_commands_than_may_come_at_once_are_refused(valkey_url: str) -> None:
    async with peer_of(valkey_url, commands_s=0.01, commands_burst=5) as (node, peer):
        assert not any("error" in answer for answer in await pings(peer, 5))
        answer = await peer.ask("subscribe", topic="#")
        assert answer["error"]["number"] == 429
        assert answer["error"]["reason"] == "too_many_commands"
        assert "at most 0.01 commands a second, and 5 at once: try again in " in answer["error"]["description"]
        assert counted(node, "refusals_total", reason="commands") == 1
        assert peer.closed is None


async def test_they_may_come_as_fast_as_they_are_earned(valkey_url: str) -> None:
    async with peer_of(valkey_url, commands_s=1_000_000, commands_burst=1) as (_, peer):
        assert not any("error" in answer for answer in await pings(peer, 50))


async def test_without_a_limit_they_may_come_as_they_like(valkey_url: str) -> None:
    async with peer_of(valkey_url, commands_s=0, commands_burst=1) as (_, peer):
        assert not any("error" in answer for answer in await pings(peer, 50))


async def test_who_goes_on_and_on_is_closed(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PENANCE_SECONDS", 0)
    async with peer_of(valkey_url, commands_s=0.01, commands_burst=5) as (node, peer):
        await pings(peer, 10)
        assert peer.closed is None
        await peer.send({"action": "ping", "requestId": "last"})
        await eventually(lambda: peer.closed == 4029)
        await peer.send({"action": "ping", "requestId": "after the last"})
        assert reasons(peer) == [None] * 5 + ["too_many_commands"] * 5
        assert counted(node, "refusals_total", reason="flood") == 1


@pytest.mark.parametrize("nonsense", ["nonsense", {"action": "dance", "requestId": "1"}, {"action": "ping"}])
async def test_nonsense_counts_as_ten(valkey_url: str, nonsense: Any) -> None:
    async with peer_of(valkey_url, commands_s=0.01, commands_burst=25) as (_, peer):
        for _ in range(3):
            await peer.send(nonsense)
        await pings(peer, 5)
        await eventually(lambda: len(peer.messages) == 8)
        assert reasons(peer)[2:] == ["too_many_commands"] + [None] * 5
        assert (await peer.ask("ping"))["error"]["reason"] == "too_many_commands"


async def test_what_has_wildcards_counts_as_five(valkey_url: str) -> None:
    async with peer_of(valkey_url, commands_s=0.01, commands_burst=24) as (_, peer):
        await peer.subscribe("fleets/a/v1/telemetry")
        wide = await peer.subscribe("fleets/#")
        for action, fields in (
            ("update", {"subscriptionId": wide.id, "interval": 1_000}),
            ("get", {"topic": "fleets/+/v1/status"}),
            ("history", {"topic": "#"}),
        ):
            assert "error" not in await peer.ask(action, **fields)
        await pings(peer, 3)
        assert (await peer.ask("ping"))["error"]["reason"] == "too_many_commands"


async def test_few_subscriptions_have_wildcards(valkey_url: str) -> None:
    async with peer_of(valkey_url, wide_subscriptions=2) as (_, peer):
        await peer.subscribe("fleets/#")
        wide = await peer.subscribe("fleets/+/v1/telemetry")
        answer = await peer.ask("subscribe", topic="#")
        assert answer["error"]["reason"] == "too_many_subscriptions"
        assert "at most 2 with wildcards" in answer["error"]["description"]
        await peer.subscribe("fleets/a/v1/telemetry")
        await peer.ask("unsubscribe", subscriptionId=wide.id)
        await peer.subscribe("#")


async def test_bad_tokens_count_as_more(valkey_url: str) -> None:
    async with peer_of(valkey_url, key=KEY, commands_s=0.01, commands_burst=25) as (_, peer):
        answers = [await peer.ask("authorize", authorization="x") for _ in range(4)]
        found = [answer["error"]["reason"] for answer in answers]
        assert found == ["invalid_token", "invalid_token", "invalid_token", "too_many_commands"]


async def test_who_shows_no_token_in_time_is_closed(valkey_url: str) -> None:
    async with peer_of(valkey_url, key=KEY, authorize_s=0.05) as (node, peer):
        assert (await peer.ask("authorize", authorization="x"))["error"]["reason"] == "invalid_token"
        await eventually(lambda: peer.closed == 4001)
        assert counted(node, "refusals_total", reason="authorize") == 1


async def test_who_shows_one_stays_as_long_as_it_is_good(valkey_url: str) -> None:
    async with peer_of(valkey_url, key=KEY, authorize_s=30) as (_, peer):
        now = asyncio.get_running_loop().time()
        assert peer.session._expiry is not None
        assert peer.session._expiry.when() < now + 31
        assert "error" not in await peer.ask("authorize", authorization=sign(KEY, "a", [], ["#"], 600))
        assert peer.session._expiry.when() > now + 500


async def test_without_a_key_nobody_needs_one(valkey_url: str) -> None:
    async with (
        running(valkey_url, jwt_key=KEY, limits=Limits(authorize_s=0.05)) as closed,
        running(valkey_url, limits=Limits(authorize_s=0.05)) as open,
        joined(open) as peer,
        joined(closed) as silent,
    ):
        await eventually(lambda: silent.closed == 4001)
        assert peer.closed is None
