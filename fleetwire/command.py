"""Sends a command to a vehicle, and tells what comes of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from fleetwire.client import open_connection, subscribe
from wire.command import DEFAULT_TTL, Reply
from wire.errors import SettingsError, TopicError, Unavailable
from wire.topics import Vehicle, parse

__all__ = ["command"]

PATIENCE_SECONDS = 30.0  # beyond the command's time: another bridge may have to take it over first


async def command(urls: Sequence[str], topic: str, data: str, ttl_s: float | None, token: str | None) -> bool:
    """Send `data`, a map in JSON, and print each reply as a line of JSON, until the last: whether it has succeeded.

    Raises SettingsError, CommandError when the node refuses, Unavailable when no node answers or no reply comes.
    """
    vehicle, wanted = _vehicle(topic), _map(data)
    ttl = DEFAULT_TTL if ttl_s is None else max(1, round(ttl_s * 1000))
    async with aclosing(subscribe(urls, f"{vehicle}/replies", token=token, interval=0)) as events:
        await anext(events)  # the beginning, which is empty: from here on nothing is missed
        id = await _publish(urls, topic, wanted, ttl, token)
        try:
            async with asyncio.timeout(ttl / 1000 + PATIENCE_SECONDS):
                return await _follow(events, id)
        except TimeoutError:
            raise Unavailable("no reply came in time: is a bridge (fleetwire ingest) running?") from None


async def _follow(events: AsyncIterator[dict[str, Any]], id: str) -> bool:
    async for event in events:
        for item in event.get("data", []):
            reply = msgspec.convert(item["data"], Reply)
            if reply.correlation == id:
                print(msgspec.json.encode(reply).decode(), flush=True)
                if reply.final:
                    return _judge(reply)
    raise Unavailable("the subscription ended")


def _judge(reply: Reply) -> bool:
    if reply.status != "SUCCEEDED":
        words = reply.status.lower().replace("_", " ")
        print(f"fleetwire: the command has {words}{f': {reply.reason}' if reply.reason else ''}", file=sys.stderr)
    return reply.status == "SUCCEEDED"


async def _publish(urls: Sequence[str], topic: str, data: dict[str, Any], ttl: int, token: str | None) -> str:
    """At the first node that answers: the command's id."""
    for url in urls[:-1]:
        try:
            return await _publish([url], topic, data, ttl, token)
        except Unavailable:
            continue
    async with open_connection(urls[-1], token=token) as connection:
        return str((await connection.request("publish", topic=topic, data=data, ttl=ttl))["id"])


def _vehicle(topic: str) -> str:
    try:
        parsed = parse(topic)
    except TopicError as error:
        raise SettingsError(f"TOPIC: {error}") from None
    if not isinstance(parsed, Vehicle) or parsed.kind != "commands":
        raise SettingsError(f"TOPIC must be fleets/FLEET/VEHICLE/commands, got {topic!r}")
    return topic.removesuffix("/commands")


def _map(data: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise SettingsError(f'DATA must be a map in JSON, like \'{{"name":"ping"}}\': {error}') from None
