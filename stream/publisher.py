"""What clients publish: into Redis by the same write as readings, so that every node's clients see it."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream.answering import REDIS_TIMEOUT_SECONDS, answering
from wire import keys
from wire.clock import now_ms
from wire.command import DEFAULT_TTL, Command
from wire.data import MAX_MESSAGE_BYTES, check_data
from wire.errors import CommandError
from wire.reading import Message, encode
from wire.store import SCRIPT, Entry, Retention, arguments
from wire.topics import Room, Topic, Vehicle, parse

__all__ = ["Publisher"]


class Publisher:
    """Writes messages of rooms and commands to vehicles. Use it as a context manager."""

    def __init__(self, redis_url: str, retention: Retention) -> None:
        # A write whose answer is lost may have been carried out: it is not tried again, the client is told.
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=None,  # `answering` bounds each use
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._store = self._redis.register_script(SCRIPT)
        self._retention = retention

    async def __aenter__(self) -> Publisher:
        await self._redis.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._redis.aclose()

    async def publish(self, topic: str, data: Any, sender: str | None, ttl: int | None = None) -> str:
        """Say something in a room, or command a vehicle: the id that Redis stored it with. `ttl`: of a command, ms.

        Raises CommandError: `forbidden_topic` elsewhere, `unknown_vehicle`, `bad_request` for data that JSON can't
        carry, a command that is no map, or a `ttl` of what is none, `too_big`, `unavailable`.
        """
        parsed = parse(topic)
        message: Message | Command
        if isinstance(parsed, Vehicle) and parsed.kind == "commands":
            if not isinstance(data, dict):
                raise CommandError("bad_request", "the data of a command must be a map")
            message = Command(now_ms(), data, DEFAULT_TTL if ttl is None else ttl, sender)
        elif isinstance(parsed, Room):
            if ttl is not None:
                raise CommandError("bad_request", "only a command has a ttl")
            message = Message(now_ms(), data, sender)
        else:
            raise CommandError("forbidden_topic", "clients publish to rooms/ROOM and fleets/FLEET/VEHICLE/commands")
        names, args = arguments([Entry(topic, _encode(message))], self._retention)
        async with answering():
            await self._admit(parsed)
            id, _, *refused = await self._store(keys=names, args=args)
        if refused:
            raise CommandError("unavailable", f"Redis refused it: {refused[1].decode()}")
        return str(id.decode())

    async def _admit(self, topic: Topic) -> None:
        """Rooms come to be when somebody speaks there; vehicles by themselves only."""
        if isinstance(topic, Room):
            await self._redis.sadd(keys.ROOMS, topic.room)
        elif not await self._redis.sismember(keys.fleet(topic.fleet), topic.vehicle):
            raise CommandError("unknown_vehicle", f"nobody has heard of {topic.vehicle} of {topic.fleet}")


def _encode(message: Message | Command) -> bytes:
    try:
        check_data(message.data)
    except ValueError as error:
        raise CommandError("bad_request", str(error)) from None
    body = encode(message)
    if len(body) > MAX_MESSAGE_BYTES:
        raise CommandError("too_big", f"{len(body)} bytes, at most {MAX_MESSAGE_BYTES} are taken")
    return body
