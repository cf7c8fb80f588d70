"""What is stored about vehicles that commands wait for: whether they are online, and what they have replied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from redis.asyncio import Redis

from wire import keys
from wire.command import Reply, reply_of
from wire.ids import format_id, parse_id
from wire.partition import Partition
from wire.reading import UNREADABLE, Reading, decode_message, decode_reading
from wire.store import parse_entry, parse_state

__all__ = ["Answers", "Presence", "presence_in", "read_answers"]


class Presence(NamedTuple):
    """What a vehicle has said of its connection, and when (epoch ms, by its clock)."""

    state: str
    ts: int


class Answers(NamedTuple):
    """Of one vehicle: its newest presence, and replies in order, by their ids."""

    vehicle: str
    presence: Presence | None
    replies: list[tuple[int, Reply]]


async def read_answers(redis: Redis, partition: Partition, after: Mapping[str, int]) -> list[Answers]:
    """Of each vehicle, `fleets/FLEET/VEHICLE`, with the replies after an id. Raises redis.RedisError."""
    async with redis.pipeline(transaction=False) as pipe:
        for vehicle, order in after.items():
            pipe.hgetall(partition.key(keys.state(f"{vehicle}/status")))
            pipe.xrange(partition.key(keys.log(f"{vehicle}/replies")), f"({format_id(order)}")
        found = await pipe.execute(raise_on_error=False)  # a key of another type has nothing for us
    return [
        Answers(
            vehicle,
            _newest(fields if isinstance(fields, dict) else {}),
            list(_replies(entries if isinstance(entries, list) else [])),
        )
        for vehicle, fields, entries in zip(after, found[::2], found[1::2], strict=True)
    ]


def presence_in(reading: Reading) -> Presence | None:
    """What a reading says of the connection, if anything; one of long ago says nothing."""
    state = reading.values.get("connectionState")
    return Presence(state, reading.ts) if isinstance(state, str) and not reading.historical else None


def _newest(fields: Mapping[bytes, bytes]) -> Presence | None:
    newest: tuple[tuple[int, int], Presence | None] = ((-1, -1), None)
    for id, body in parse_state(fields):
        presence = presence_in(decode_reading(body))
        if presence is not None and (presence.ts, parse_id(id)) > newest[0]:
            newest = ((presence.ts, parse_id(id)), presence)
    return newest[1]


def _replies(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[tuple[int, Reply]]:
    """What can't be read was not written by a bridge, and answers nothing."""
    for id, fields in entries:
        try:
            yield parse_id(id), reply_of(decode_message(parse_entry(fields)))
        except (KeyError, *UNREADABLE):
            continue
