"""Simulated devices that are told to do something: by themselves, and through a broker."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from itertools import count, islice
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulator.commands import Driver, Told
from simulator.fleet import Car, Fleet
from simulator.run import SimulatorSettings, simulate
from simulator.track import Track
from simulator.way import Point
from tests.conftest import Servers
from tests.programs import eventually

START = 1_764_000_000_000
TRACK = Track("tour", (Point(0, {"Speed": 1}), Point(1_000, {"Speed": 2})))
V1, TOUR = "fleets/berlin/v1", "fleets/berlin/tour"
names = (f"told{number}" for number in count())


@pytest.fixture
def fleet() -> Fleet:
    return Fleet("berlin", vehicles=2, hz=1, seed=3, tracks=[TRACK])


@pytest.fixture
def driver(fleet: Fleet) -> Driver:
    return Driver(fleet.devices)


def command(data: Any, correlation: str | None = "5-1") -> bytes:
    return json.dumps({"correlation": correlation, "ts": 1, "expires": 2, "data": data}).encode()


def said(told: Told | None) -> tuple[str, dict[str, Any]]:
    assert told is not None
    return told.topic, json.loads(told.payload)


def test_a_ping_comes_back(driver: Driver) -> None:
    data = {"name": "ping", "n": [1, None]}
    for vehicle in (V1, TOUR):
        topic, reply = said(driver.tell(f"{vehicle}/commands", command(data, vehicle)))
        assert topic == f"{vehicle}/replies"
        assert reply == {"correlation": vehicle, "status": "SUCCEEDED", "data": data}


def test_what_a_device_does_not_know_fails(driver: Driver) -> None:
    for n, (vehicle, data) in enumerate(
        [(V1, {"name": "fly"}), (V1, {}), (V1, {"name": ["x"]}), (TOUR, {"name": "go"})]
    ):
        _, reply = said(driver.tell(f"{vehicle}/commands", command(data, str(n))))
        assert reply == {"correlation": str(n), "status": "FAILED", "reason": "unknown_command"}


def test_the_properties_of_the_message_come_first(driver: Driver) -> None:
    told = driver.tell(f"{V1}/commands", command({"name": "ping"}), "answers/here", b"7-2")
    assert said(told)[0] == "answers/here"
    assert said(told)[1]["correlation"] == "7-2"
    assert said(driver.tell(f"{V1}/commands", command({}, None), None, b"8-1"))[1]["correlation"] == "8-1"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (f"{V1}/commands", b"nonsense"),
        (f"{V1}/commands", command({"name": "ping"}, None)),
        (f"{V1}/commands", command("ping")),
        ("fleets/berlin/v9/commands", command({"name": "ping"})),
        ("fleets/berlin/gateway/commands", command({"name": "ping"})),
    ],
)
def test_nothing_is_replied_to_what_is_no_command_of_theirs(driver: Driver, topic: str, payload: bytes) -> None:
    assert driver.tell(topic, payload) is None


def test_a_command_that_comes_again_is_carried_out_once(fleet: Fleet, driver: Driver) -> None:
    first = driver.tell(f"{V1}/commands", command({"name": "stop"}, "1-0"))
    driver.tell(f"{V1}/commands", command({"name": "go"}, "2-0"))
    assert driver.tell(f"{V1}/commands", command({"name": "stop"}, "1-0")) == first
    assert isinstance(fleet.devices[0], Car)
    assert not fleet.devices[0].orders.stand


def test_a_car_stops_and_drives_on_and_the_others_do_not_care(fleet: Fleet, driver: Driver) -> None:
    readings, others = fleet.devices[0].emissions(START), fleet.devices[1].emissions(START)

    def speeds(number: int) -> list[float]:
        return [json.loads(one.payload)["values"]["Speed"] for one in islice(readings, number)]

    assert max(speeds(60)) > 0
    driver.tell(f"{V1}/commands", command({"name": "stop"}, "1-0"))
    braking = speeds(60)
    assert braking[-30:] == [0.0] * 30
    driver.tell(f"{V1}/commands", command({"name": "go"}, "2-0"))
    assert max(speeds(120)) > 0
    untold = Fleet("berlin", vehicles=2, hz=1, seed=3).devices[1].emissions(START)
    assert list(islice(others, 240)) == list(islice(untold, 240))


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("gateway", [False, True])
async def test_a_fleet_answers_through_a_broker(servers: Servers, version: Any, gateway: bool) -> None:
    url = servers.mqtt if version == "5" else servers.mqtt_v311
    name, stop = next(names), asyncio.Event()
    settings = replace(
        SimulatorSettings(), mqtt_url=url, mqtt_version=version, fleet=name, vehicles=2, hz=5, gateway=gateway
    )
    online: set[str] = set()
    replies: list[tuple[str, dict[str, Any], Any]] = []
    protocol = aiomqtt.ProtocolVersion.V5 if version == "5" else aiomqtt.ProtocolVersion.V311
    port = int(url.rpartition(":")[2])

    async def listen(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            found = json.loads(message.payload)
            if message.topic.value.endswith("/status"):
                online.add(message.topic.value)
            else:
                replies.append((message.topic.value, found, message.properties))

    async with aiomqtt.Client("127.0.0.1", port, protocol=protocol) as client, asyncio.TaskGroup() as group:
        await client.subscribe(f"fleets/{name}/+/status", qos=1)
        await client.subscribe(f"fleets/{name}/+/replies", qos=1)
        await client.subscribe(f"answers/{name}", qos=1)
        listener = group.create_task(listen(client))
        run = group.create_task(simulate(settings, None, stop))
        await eventually(lambda: len(online) == 2 + gateway)
        properties = None
        if version == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ResponseTopic = f"answers/{name}"
            properties.CorrelationData = b"9-1"
        topic = f"fleets/{name}/v2/commands"
        await client.publish(topic, command({"name": "ping"}), qos=1, properties=properties)
        await eventually(lambda: replies)
        answered, reply, _ = replies[0]
        assert answered == (f"answers/{name}" if version == "5" else f"fleets/{name}/v2/replies")
        assert reply == {
            "correlation": "9-1" if version == "5" else "5-1", "status": "SUCCEEDED", "data": {"name": "ping"},
        }  # fmt: skip
        stop.set()
        assert (await run).dropped == 0
        listener.cancel()
    assert len(replies) == 1
