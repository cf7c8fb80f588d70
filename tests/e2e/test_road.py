"""The main job, end to end, on the embedded servers and on Debian's: a fleet publishes, dashboards see it live."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from fleetwire.client import subscribe
from tests.conftest import Servers
from tests.e2e.system import get, system
from tests.programs import eventually, fleetwire
from wire.urls import parse_mqtt

STATUS = b'{"values":{"connectionState":"%s"}}'


async def collect(urls: list[str], topic: str, done: Any, **options: Any) -> list[dict[str, Any]]:
    """Items of a subscription until `done(items)`."""
    items: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        async for event in subscribe(urls, topic, **options):
            items += event.get("data", [])
            if done(items):
                return items
    raise AssertionError("the subscription ended")


def verified(manifest: Path, url: str) -> dict[str, int]:
    with fleetwire("verify", "--manifest", str(manifest), "--url", url, "--json") as program:
        assert program.wait(30) == 0, program.output
        found: dict[str, int] = json.loads(program.output)
        return found


async def test_two_bridges_share_a_fleet_and_every_reading_is_stored_once(servers: Servers, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    with system(servers, bridges=2, nodes=1) as running:
        await running.ready()
        fleet = ("--vehicles", "30", "--hz", "10", "--seconds", "3", "--manifest", str(truth))
        with fleetwire("simulate", "--mqtt-url", servers.mqtt_v311, *fleet) as simulator:
            assert simulator.wait(30) == 0, simulator.output
        assert verified(truth, running.nodes[0].url) == {
            "topics": 30, "sent": 900, "lost": 0, "duplicates": 0, "invented": 0, "trimmed": 0,
        }  # fmt: skip
        shares = [stored(bridge.port) for bridge in running.bridges]
        assert all(share > 0 for share in shares), shares


def stored(port: int) -> float:
    lines = get(port, "/metrics").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("fleetwire_ingest_stored_total"))


async def test_recorded_tracks_are_replayed_and_nothing_is_lost(
    servers: Servers, traces: Path, tmp_path: Path
) -> None:
    kinds = {".gpx": "--gpx", ".json": "--route", ".jsonl": "--trace"}
    paths = sorted(traces.iterdir())  # noqa: ASYNC240 - nothing else runs yet
    tracks = [(kinds[path.suffix], str(path)) for path in paths if path.suffix in kinds]
    assert len(tracks) == 5
    truth = tmp_path / "truth.json"
    with system(servers, options=("--log-entries", "10000")) as running:
        await running.ready()
        options = (*(word for track in tracks for word in track), "--speedup", "200", "--manifest", str(truth))
        with fleetwire("simulate", "--mqtt-url", servers.mqtt_v311, *options) as simulator:
            assert simulator.wait(60) == 0, simulator.output
        found = verified(truth, running.nodes[0].url)
        assert found["topics"] == 5
        assert found["sent"] > 1_000
        assert found["lost"] == found["duplicates"] == found["invented"] == found["trimmed"] == 0


async def test_a_device_of_ones_own_is_seen_and_its_death_too(servers: Servers) -> None:
    broker = parse_mqtt(servers.mqtt_v311)
    with system(servers) as running:
        await running.ready()
        node = running.nodes[0]
        watching = asyncio.create_task(
            collect([node.url], "fleets/test/#", lambda items: len(items) == 3, strategy="batch", snapshot=False)
        )
        will = aiomqtt.Will("fleets/test/car1/status", STATUS % b"CONNECTIONBROKEN", qos=1, retain=True)
        await eventually_subscribed(node.port)
        with pytest.raises(aiomqtt.MqttError):
            async with aiomqtt.Client(broker.host, broker.port, will=will) as device:
                await device.publish(will.topic, STATUS % b"ONLINE", qos=1, retain=True)
                await device.publish("fleets/test/car1/telemetry", '{"values":{"Speed":42}}', qos=1)
                device._client.socket().shutdown(2)  # type: ignore[union-attr]  # dies without DISCONNECT
                async for _ in device.messages:
                    pass
        items = await watching
        assert [item["values"] for item in items] == [
            {"connectionState": "ONLINE"}, {"Speed": 42}, {"connectionState": "CONNECTIONBROKEN"},
        ]  # fmt: skip
        state = json.loads(get(node.port, "/v1/state?topic=fleets/test/car1/status"))
        assert state["data"][0]["values"] == {"connectionState": "CONNECTIONBROKEN"}


async def eventually_subscribed(port: int) -> None:
    await eventually(lambda: "fleetwire_stream_groups 1.0" in get(port, "/metrics"))


async def test_two_nodes_show_the_same_bytes_and_share_their_rooms(servers: Servers) -> None:
    with system(servers, nodes=2) as running:
        await running.ready()
        one, two = running.nodes
        streams = [
            asyncio.create_task(
                collect(
                    [node.url], "fleets/berlin/+/telemetry", lambda i: len(i) == 60, strategy="batch", snapshot=False
                )
            )
            for node in (one, two)
        ]
        for node in (one, two):
            await eventually_subscribed(node.port)
        fleet = ("--vehicles", "3", "--hz", "10", "--seconds", "2")
        with fleetwire("simulate", "--mqtt-url", servers.mqtt_v311, *fleet) as simulator:
            assert simulator.wait(30) == 0, simulator.output
        first, second = await asyncio.gather(*streams)
        assert by_topic(first) == by_topic(second)
        assert len({(item["topic"], item["id"]) for item in first}) == 60
        if "cluster" not in servers.redis:  # where the vehicles of all partitions have one order
            assert first == second


def by_topic(items: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {topic: [item for item in items if item["topic"] == topic] for topic in {item["topic"] for item in items}}


async def test_a_client_of_a_node_that_stops_goes_on_at_another(servers: Servers) -> None:
    with system(servers, nodes=2) as running:
        await running.ready()
        states: list[str] = []
        seen = asyncio.Event()

        def done(items: list[dict[str, Any]]) -> bool:
            seen.set()
            return len(items) == 100

        watching = asyncio.create_task(
            collect(
                [node.url for node in running.nodes],
                "fleets/berlin/+/telemetry",
                done,
                strategy="batch",
                snapshot=False,
                on_state=states.append,
            )
        )
        await eventually_subscribed(running.nodes[0].port)
        fleet = ("--vehicles", "5", "--hz", "10", "--seconds", "2")
        with fleetwire("simulate", "--mqtt-url", servers.mqtt_v311, *fleet) as simulator:
            await seen.wait()
            running.nodes[0].program.signal(signal.SIGTERM)
            assert running.nodes[0].program.wait(15) == 0, running.nodes[0].program.output
            items = await watching
            assert simulator.wait(30) == 0
        assert any("1012" in state for state in states), states
        seqs: dict[str, list[str]] = {}
        for item in items:
            seqs.setdefault(item["topic"], []).append(item["id"])
        assert {topic: len(ids) for topic, ids in seqs.items()} == {
            f"fleets/berlin/v{n}/telemetry": 20 for n in range(1, 6)
        }
        assert all(len(set(ids)) == 20 and ids == sorted(ids, key=order) for ids in seqs.values())


def order(id: str) -> tuple[int, ...]:
    return tuple(map(int, id.split("-")))
