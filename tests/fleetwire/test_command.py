"""`fleetwire command`: a line of JSON for each reply, and an exit status that a script can use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiomqtt
import pytest

from tests.conftest import Servers
from tests.e2e.system import get, system
from tests.programs import eventually, fleetwire, mosquitto, redis_server
from wire.urls import parse_mqtt

CAR = "fleets/test/car1"


class Known(NamedTuple):
    """A node's URL, and a device that is known there."""

    url: str
    device: aiomqtt.Client


@pytest.fixture
async def known() -> AsyncIterator[Known]:
    with mosquitto() as mqtt, redis_server() as store:
        servers = Servers(mqtt.url, mqtt.url, store.url)
        broker = parse_mqtt(mqtt.url)
        with system(servers) as running:
            await running.ready()
            async with aiomqtt.Client(broker.host, broker.port) as device:
                await device.subscribe(f"{CAR}/commands", qos=1)
                await device.publish(f"{CAR}/status", b'{"connectionState":"ONLINE"}', qos=1)
                node = running.nodes[0]
                await eventually(lambda: "ONLINE" in get(node.port, f"/v1/state?topic={CAR}/status"))
                yield Known(node.url, device)


async def test_each_reply_is_a_line_and_the_last_decides(known: Known) -> None:
    for status, code in (("SUCCEEDED", 0), ("FAILED", 1)):
        with fleetwire("command", f"{CAR}/commands", '{"name":"stop"}', "--url", known.url) as program:
            message = await anext(aiter(known.device.messages))
            assert isinstance(message.payload, bytes)
            asked = json.loads(message.payload)
            assert asked["data"] == {"name": "stop"}
            assert asked["expires"] - asked["ts"] == 60_000
            for answer in ({"status": "IN_PROGRESS"}, {"status": status, "reason": "tired", "data": [1]}):
                reply = {"correlation": asked["correlation"]} | answer
                await known.device.publish(f"{CAR}/replies", json.dumps(reply), qos=1)
            assert await asyncio.to_thread(program.wait, 20) == code, program.output
            lines = program.output.splitlines()
        assert [json.loads(line)["status"] for line in lines[:2]] == ["IN_PROGRESS", status]
        assert json.loads(lines[1])["data"] == [1]
        assert lines[2:] == ([] if code == 0 else ["fleetwire: the command has failed: tired"])


async def test_what_comes_to_nothing_is_said(known: Known) -> None:
    options = ("--url", "ws://127.0.0.1:1", "--url", known.url)  # the first does not answer
    with fleetwire("command", f"{CAR}/commands", "{}", "--ttl", "0.5", *options) as program:
        assert await asyncio.to_thread(program.wait, 20) == 1, program.output
        lines = program.output.splitlines()
        assert json.loads(lines[-2]) | {"correlation": ""} == {
            "correlation": "", "status": "TIMED_OUT", "reason": "no_answer",
        }  # fmt: skip
        assert lines[-1] == "fleetwire: the command has timed out: no_answer"
    with fleetwire("command", "fleets/test/car2/commands", "{}", "--url", known.url) as program:
        assert await asyncio.to_thread(program.wait, 20) == 2
        assert program.output == "fleetwire: nobody has heard of car2 of test\n"
