"""The bridge as one would first write it: each message is awaited. `python naive.py MQTT_PORT REDIS_URL QOS`."""

from __future__ import annotations

import asyncio
import sys

import aiomqtt
from redis.asyncio import Redis


async def main(mqtt_port: int, redis_url: str, qos: int) -> None:
    """Runs until it is stopped."""
    async with Redis.from_url(redis_url) as redis, aiomqtt.Client("127.0.0.1", mqtt_port) as client:
        await client.subscribe("fleets/#", qos=qos)
        print("ready", flush=True)
        async for message in client.messages:
            await redis.publish(str(message.topic), message.payload)


if __name__ == "__main__":
    port, url, qos = sys.argv[1:]
    asyncio.run(main(int(port), url, int(qos)))
