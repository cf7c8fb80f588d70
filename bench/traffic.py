"""A city full of simulated cars, stored straight in Redis as the bridge stores them.

As a process: port of the Redis, cars, readings a second of each. To each line it answers how many readings were
stored so far; it ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench.child import say
from bench.feeder import Feeder
from simulator.fleet import Fleet
from wire.clock import now_ms
from wire.reading import Reading

TICK_MS = 20


async def drive(port: int, vehicles: int, hz: float) -> None:
    """Drive until the input ends. Raises RedisError when Redis goes away."""
    stop, stored = asyncio.Event(), 0

    def asked() -> None:
        if sys.stdin.readline():
            say(stored=stored)
        else:
            stop.set()

    fleet = Fleet("berlin", vehicles=vehicles, hz=hz)
    topics = [device.topic for device in fleet.devices]
    status = Reading(now_ms(), {"connectionState": "ONLINE"})
    async with Redis(port=port) as client:
        feeder = Feeder(client)
        await feeder.introduce(topics)
        await feeder.store([(topic.replace("/telemetry", "/status"), status) for topic in topics])
        asyncio.get_running_loop().add_reader(sys.stdin, asked)
        start, due = now_ms(), []
        say()
        for emission in fleet.emissions(start):
            if stop.is_set():
                break
            due.append((emission.topic, msgspec.json.decode(emission.payload, type=Reading)))
            ahead = start + emission.due_ms - now_ms()
            if ahead > TICK_MS or len(due) >= vehicles:
                await feeder.store(due)
                stored, due = stored + len(due), []
                await asyncio.sleep(max(0, ahead) / 1e3)


def main() -> None:
    port, vehicles, hz = sys.argv[1:]
    try:
        asyncio.run(drive(int(port), int(vehicles), float(hz)))
    except RedisError as error:
        say(error=f"the load stopped: {error}")


if __name__ == "__main__":
    main()
