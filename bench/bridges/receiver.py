"""A receiver that stores nothing, and acknowledges by hand what it has counted: `receiver.py KIND MQTT_PORT QOS`.

KIND is codec (the bridge's own source), mqttium, or aiomqtt. It prints `ready`, then its count whenever that has
grown.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import aiomqtt
import mqttium.api
import uvloop
from mqttium.enums import MQTTProtocolVersion

from ingest.metrics import Metrics
from ingest.settings import Settings
from ingest.source_v5 import connect

COUNT_SECONDS = 0.02
WINDOW = 10_000


async def codec(port: int, qos: int) -> AsyncIterator[int]:
    """How many messages came, again and again."""
    settings = Settings(mqtt_url=f"mqtt://127.0.0.1:{port}", client_id="receiver")
    async with connect(settings, Metrics()) as source:
        yield 0
        async for batch in source.batches():
            source.ack(batch)
            yield sum(len(messages) for _, messages in batch)


async def of_mqttium(port: int, qos: int) -> AsyncIterator[int]:
    """The same."""
    client = mqttium.api.AsyncClient(
        "receiver", protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True, max_inbound_inflight=WINDOW
    )
    await client.connect("127.0.0.1", port)
    await client.subscribe("fleets/#", qos=qos)
    yield 0
    async for message in client.messages():
        if message.qos:
            await client.ack(message)
        yield 1


async def of_aiomqtt(port: int, qos: int) -> AsyncIterator[int]:
    """The same. The acknowledgement by hand is paho's."""
    client = aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5)
    client._client.manual_ack_set(True)
    async with client:
        await client.subscribe("fleets/#", qos=qos)
        yield 0
        async for message in client.messages:
            if message.qos:
                client._client.ack(message.mid, message.qos)
            yield 1


async def main(kind: str, port: int, qos: int) -> None:
    """Runs until it is stopped."""
    receivers = {"codec": codec, "mqttium": of_mqttium, "aiomqtt": of_aiomqtt}
    count = 0

    async def say() -> None:
        said = 0
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            if count != said:
                said = count
                print(said, flush=True)

    async with asyncio.TaskGroup() as group:
        async for came in receivers[kind](port, qos):
            if not came:
                print("ready", flush=True)
                group.create_task(say())
            count += came


if __name__ == "__main__":
    kind, port, qos = sys.argv[1:]
    run = uvloop.run if kind == "codec" else asyncio.run  # the others do not run on uvloop, or are slower there
    run(main(kind, int(port), int(qos)))
