"""What clients publish: into Redis by the same write as readings, so that every node's clients see it."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, OutOfMemoryError

from store.lives import begin
from store.places import Places
from stream.answering import answering
from wire import keys
from wire.clock import now_ms
from wire.command import DEFAULT_TTL, Command
from wire.data import MAX_MESSAGE_BYTES, check_data
from wire.errors import CommandError
from wire.partition import Partition
from wire.reading import Message, encode
from wire.store import SCRIPT, SHA, Entry, Retention, arguments
from wire.topics import Room, Topic, Vehicle, parse

__all__ = ["Publisher"]


class Publisher:
    """Writes messages of rooms and commands to vehicles. Use it as a context manager."""

    def __init__(self, places: Places, retention: Retention, waiting_commands: int = 0) -> None:
        """`waiting_commands`: how many may wait for their last reply, in each partition; 0: any number."""
        # A write whose answer is lost may have been carried out: it is not tried again, the client is told.
        self._layout = places.layout
        self._redis = [places.redis(partition) for partition in places.layout.partitions]
        self._retention = retention
        self._waiting_commands = waiting_commands

    async def __aenter__(self) -> Publisher:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for redis in self._redis:
            await redis.aclose()

    async def publish(self, topic: str, data: Any, sender: str | None, ttl: int | None = None) -> str:
        """Say something in a room, or command a vehicle: the id that Redis stored it with. `ttl`: of a command, ms.

        Raises CommandError: `forbidden_topic` elsewhere, `unknown_vehicle`, `bad_request` for data that JSON can't
        carry, a command that is no map, or a `ttl` of what is none, `too_big`, `storage_full`, `unavailable`.
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
        entry, partition = Entry(topic, _encode(message)), self._layout.of(topic)
        redis = self._redis[partition.number]
        async with answering():
            try:
                await self._admit(redis, partition, parsed)
                id, _, *refused = await _store(redis, partition, entry, self._retention)
            except OutOfMemoryError:
                raise CommandError("storage_full", "Redis has no room for it (maxmemory)") from None
        if refused:
            raise CommandError("unavailable", f"Redis refused it: {refused[1].decode()}")
        return str(id.decode())

    async def _admit(self, redis: Redis, partition: Partition, topic: Topic) -> None:
        """Rooms come to be when somebody speaks there; vehicles by themselves only. Those who publish at the same
        moment may go beyond what may wait."""
        if isinstance(topic, Room):
            await redis.sadd(partition.key(keys.ROOMS), topic.room)
            return
        async with redis.pipeline(transaction=False) as pipe:
            pipe.sismember(partition.key(keys.fleet(topic.fleet)), topic.vehicle)
            pipe.xlen(partition.key(keys.COMMANDS))
            known, waiting = await pipe.execute()
        if not known:
            raise CommandError("unknown_vehicle", f"nobody has heard of {topic.vehicle} of {topic.fleet}")
        if waiting >= self._waiting_commands > 0:
            text = f"{waiting} commands wait for a reply already: no bridge takes them, or vehicles do not answer"
            raise CommandError("storage_full", text)


async def _store(redis: Redis, partition: Partition, entry: Entry, retention: Retention) -> Any:
    names, args = arguments([entry], retention, partition=partition)
    try:
        return await redis.evalsha(SHA, len(names), *names, *args)
    except NoScriptError:  # it has just begun: what it lost is told from what is stored now
        await begin(redis, partition, 0)
        return await redis.eval(SCRIPT, len(names), *names, *args)


def _encode(message: Message | Command) -> bytes:
    try:
        check_data(message.data)
    except ValueError as error:
        raise CommandError("bad_request", str(error)) from None
    body = encode(message)
    if len(body) > MAX_MESSAGE_BYTES:
        raise CommandError("too_big", f"{len(body)} bytes, at most {MAX_MESSAGE_BYTES} are taken")
    return body
