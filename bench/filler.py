"""Logs as the bridge leaves them behind, full at once: the script would give all readings the ids of now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice

from hiredis import Reader, ReplyError, pack_command

from wire import keys
from wire.errors import Unavailable
from wire.reading import Reading, Value, encode

__all__ = ["fill", "fleet_of", "topic_of"]

COMMANDS = 5_000  # under way at once
READ_BYTES = 262_144
FLEETS = 10
DELAY_MS = 12  # from the device's clock to Redis
PERIOD_MS = 1_000


def fleet_of(vehicle: int) -> str:
    """Neighbours are of different fleets."""
    return f"f{vehicle % FLEETS}"


def topic_of(vehicle: int) -> str:
    """Where a vehicle's readings are."""
    return f"fleets/{fleet_of(vehicle)}/v{vehicle // FLEETS}/telemetry"


async def fill(port: int, vehicles: int, seconds: int, end: int) -> None:
    """A reading a second and vehicle, up to `end`, epoch ms. Raises Unavailable when Redis refuses one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        commands = _commands(vehicles, seconds, end)
        replies = Reader()
        while some := [pack_command(command) for command in islice(commands, COMMANDS)]:
            writer.write(b"".join(some))
            await writer.drain()
            left = len(some)
            while left:
                replies.feed(await reader.read(READ_BYTES))
                while (reply := replies.gets()) is not False:
                    if isinstance(reply, ReplyError):
                        raise Unavailable(f"Redis took not all readings: {reply}")
                    left -= 1
    finally:
        writer.close()


def _commands(vehicles: int, seconds: int, end: int) -> Iterator[tuple[str | bytes, ...]]:
    for vehicle in range(vehicles):
        topic = topic_of(vehicle)
        _, fleet, name, _ = topic.split("/")
        yield "SADD", keys.FLEETS, fleet
        yield "SADD", keys.fleet(fleet), name
        first = end - seconds * PERIOD_MS + vehicle * PERIOD_MS // vehicles
        for n in range(seconds):
            ts = first + n * PERIOD_MS
            body = encode(Reading(ts, _values(vehicle, n), seq=n, received=ts + DELAY_MS // 2))
            yield "XADD", keys.log(topic), f"{ts + DELAY_MS}-{vehicle}", "b", body
    yield "SET", keys.CLOCK, f"{end + DELAY_MS}-0"


def _values(vehicle: int, n: int) -> dict[str, Value]:
    """The signals of a simulated vehicle, with as many digits."""
    return {
        "Speed": (n * 7 + vehicle) % 1_300 / 10,
        "CurrentLocation.Latitude": 52 + (n * 17 + vehicle) % 1_000_000 / 1e6,
        "CurrentLocation.Longitude": 13 + (n * 13 + vehicle) % 1_000_000 / 1e6,
        "CurrentLocation.Heading": (n * 11 + vehicle) % 3_600 / 10,
        "TraveledDistance": n * 2 / 100,
        "Powertrain.TractionBattery.StateOfCharge.Current": (10_000 - n % 10_000) / 100,
        "Powertrain.TractionBattery.Temperature.Average": (200 + n % 100) / 10,
    }
