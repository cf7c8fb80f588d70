"""Readings stored as the bridge stores them, without a broker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from redis.asyncio import Redis

from ingest.state import Shapes
from wire import keys
from wire.reading import Reading, encode
from wire.store import SCRIPT, Entry, Retention, arguments
from wire.topics import Vehicle, parse

__all__ = ["Feeder"]


class Feeder:
    """Stores readings of vehicles that were introduced."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(SCRIPT)
        self._shapes = Shapes()

    async def introduce(self, topics: Iterable[str]) -> None:
        """Tell Redis of the vehicles."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for topic in topics:
                parsed = parse(topic)
                assert isinstance(parsed, Vehicle)
                pipe.sadd(keys.FLEETS, parsed.fleet)
                pipe.sadd(keys.fleet(parsed.fleet), parsed.vehicle)
            await pipe.execute()

    async def store(self, readings: Sequence[tuple[str, Reading]]) -> None:
        """Store readings of topics, in one call."""
        entries = [
            Entry(topic, encode(reading), reading.ts, self._shapes.parts(topic, reading))
            for topic, reading in readings
        ]
        names, values = arguments(entries, Retention(entries=100))
        await self._script(keys=names, args=values)
