"""Commands end to end: client, node, Redis, bridge, broker, device, and back; and each way to come to nothing."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import pytest

from fleetwire.client import Connection, open_connection
from tests.conftest import DEPLOYED, Servers
from tests.e2e.system import System, get, system
from tests.programs import Program, eventually, fleetwire, free_port
from tests.stored import stored
from wire.errors import CommandError
from wire.urls import parse_mqtt

CAR = "fleets/test/car1"
Reply = dict[str, Any]

# rumqttd can give no properties to a device of MQTT 3.1.1, and keeps no session over a crash: the demo is its test.
deployed = pytest.mark.parametrize("servers", DEPLOYED, indirect=True)


class Client:
    """A dashboard that commands `car1`, and sees every reply."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.replies: list[Reply] = []

    async def send(self, name: str, topic: str = f"{CAR}/commands", **options: Any) -> str:
        """Publish a command: its correlation."""
        return str((await self._connection.request("publish", topic=topic, data={"name": name}, **options))["id"])

    async def read(self) -> None:
        async for event in self._connection.events():
            self.replies += [item["data"] for item in event["data"]]

    def replies_to(self, correlation: str) -> list[Reply]:
        return [reply for reply in self.replies if reply["correlation"] == correlation]

    async def answered(self, correlation: str, timeout: float = 10) -> Reply:
        """The first reply to a command, once it is there."""
        return (await eventually(lambda: self.replies_to(correlation), timeout))[0]


class Device:
    """`car1`, online, with what it was told."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.told: list[str] = []

    async def next(self) -> str:
        """The correlation of the next command."""
        async with asyncio.timeout(30):
            message = await anext(aiter(self.client.messages))
        assert isinstance(message.payload, bytes)
        self.told.append(json.loads(message.payload)["correlation"])
        return self.told[-1]

    async def answer(self, correlation: str, status: str = "SUCCEEDED") -> None:
        await self.client.publish(f"{CAR}/replies", json.dumps({"correlation": correlation, "status": status}), qos=1)


@asynccontextmanager
async def car(servers: Servers) -> AsyncIterator[Device]:
    """A device of MQTT 3.1.1 that subscribes before it says ONLINE."""
    broker = parse_mqtt(servers.mqtt_v311)
    async with aiomqtt.Client(broker.host, broker.port) as client:
        await client.subscribe(f"{CAR}/commands", qos=1)
        await client.publish(f"{CAR}/status", b'{"values":{"connectionState":"ONLINE"}}', qos=1, retain=True)
        yield Device(client)
        await client.publish(f"{CAR}/status", b'{"values":{"connectionState":"OFFLINE"}}', qos=1, retain=True)


@asynccontextmanager
async def client(running: System) -> AsyncIterator[Client]:
    node = running.nodes[0]
    async with open_connection(node.url) as connection:
        await connection.request("subscribe", topic="fleets/+/+/replies", interval=0)
        found = Client(connection)
        reading = asyncio.create_task(found.read())
        try:
            yield found
        finally:
            reading.cancel()


async def known(running: System, state: str) -> None:
    """Until the node shows that state of `car1`."""
    path = f"/v1/state?topic={CAR}/status"
    await eventually(lambda: f'"{state}"' in get(running.nodes[0].port, path))


@deployed
async def test_a_simulated_fleet_does_what_it_is_told(servers: Servers) -> None:
    with system(servers) as running:
        await running.ready()
        fleet = ("--fleet", "test", "--vehicles", "3", "--hz", "5")
        async with client(running) as someone:
            with fleetwire("simulate", "--mqtt-url", servers.mqtt_v311, *fleet):
                await eventually(
                    lambda: '"ONLINE"' in get(running.nodes[0].port, "/v1/state?topic=fleets/test/v2/status")
                )
                ping, fly = [await someone.send(name, "fleets/test/v2/commands") for name in ("ping", "fly")]
                assert await someone.answered(ping) == {
                    "correlation": ping, "status": "SUCCEEDED", "data": {"name": "ping"},
                }  # fmt: skip
                assert await someone.answered(fly) == {
                    "correlation": fly, "status": "FAILED", "reason": "unknown_command",
                }  # fmt: skip


@deployed
async def test_whatever_comes_to_nothing_is_told_with_a_reason(servers: Servers) -> None:
    with system(servers) as running:
        await running.ready()
        async with client(running) as someone:
            with pytest.raises(CommandError) as caught:
                await someone.send("stop")
            assert caught.value.reason == "unknown_vehicle"
            async with car(servers) as device:
                await known(running, "ONLINE")
                silent = await someone.send("stop", ttl=500)
                assert await device.next() == silent
                assert (await someone.answered(silent))["reason"] == "no_answer"
            await known(running, "OFFLINE")
            away = await someone.send("stop", ttl=500)
            assert await someone.answered(away) == {"correlation": away, "status": "TIMED_OUT", "reason": "offline"}


@deployed
async def test_a_vehicle_that_comes_back_gets_what_is_still_alive(servers: Servers) -> None:
    with system(servers) as running:
        await running.ready()
        async with client(running) as someone:
            async with car(servers):
                await known(running, "ONLINE")
            await known(running, "OFFLINE")
            gone, alive = await someone.send("stop", ttl=300), await someone.send("stop")
            await someone.answered(gone)
            async with car(servers) as device:
                assert await device.next() == alive
                await device.answer(alive, "IN_PROGRESS")
                await device.answer(alive)
                await eventually(lambda: len(someone.replies_to(alive)) == 2)
            assert [reply["status"] for reply in someone.replies_to(alive)] == ["IN_PROGRESS", "SUCCEEDED"]
            assert device.told == [alive]


def bridge(servers: Servers, client_id: str) -> Any:
    options = ("--client-id", client_id, "--metrics-port", str(free_port()))
    return fleetwire("ingest", "--mqtt-url", servers.mqtt, "--redis-url", servers.redis, *options)


async def settled(servers: Servers) -> bool:
    async with stored(servers.redis) as redis:
        return not await redis.commands()


@deployed
async def test_bridges_that_are_killed_lose_no_command(servers: Servers) -> None:
    with system(servers, bridges=0) as running:
        await running.ready()
        async with client(running) as someone:
            program: Program
            with bridge(servers, "one") as program:
                async with car(servers) as device:
                    await known(running, "ONLINE")
                    taken = await someone.send("stop")
                    assert await device.next() == taken
                    program.kill()
                    # Nobody is there to send these, and to say that one of them was too late.
                    late, kept = await someone.send("stop", ttl=100), await someone.send("stop")
                    with bridge(servers, "one") as program:  # comes back: goes on at once
                        assert {await device.next(), await device.next()} == {taken, kept}
                        await device.answer(taken)
                        assert (await someone.answered(taken))["status"] == "SUCCEEDED"
                        assert await someone.answered(late) == {
                            "correlation": late, "status": "TIMED_OUT", "reason": "expired",
                        }  # fmt: skip
                        program.kill()
                    with bridge(servers, "two"):  # does not come back: another succeeds it
                        while await device.next() != kept:
                            pass
                        await device.answer(kept)
                        assert (await someone.answered(kept))["status"] == "SUCCEEDED"
                        await eventually(lambda: settled(servers))
            assert len(someone.replies) == 3


async def test_the_demo_s_vehicles_answer() -> None:
    port = free_port()
    with fleetwire("demo", "--port", str(port), "--vehicles", "2") as program:
        await eventually(lambda: '"ONLINE"' in get(port, "/v1/state?topic=fleets/berlin/v2/status"), 30)
        for name, status in (("stop", 0), ("go", 0), ("fly", 1)):
            words = (
                "command",
                "fleets/berlin/v2/commands",
                json.dumps({"name": name}),
                "--url",
                f"ws://127.0.0.1:{port}",
            )
            with fleetwire(*words) as command:
                assert await asyncio.to_thread(command.wait, 30) == status, command.output
        program.signal(signal.SIGINT)
        assert await asyncio.to_thread(program.wait, 30) == 0, program.output
        assert "lost 0, duplicates 0" in program.output
