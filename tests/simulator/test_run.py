"""A whole run against real brokers: what a subscriber got is what the manifest says, and presence tells the truth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from simulator.fleet import Fleet
from simulator.run import Progress, SimulatorSettings, simulate
from simulator.truth import Manifest
from wire.errors import SettingsError, Unavailable

names = (f"fleet{number}" for number in count())

GPX = "<gpx><trk>{}</trk></gpx>"
POINT = '<trkpt lat="52" lon="13.{0:03}"><time>2024-05-01T10:00:{0:02}Z</time></trkpt>'


@pytest.fixture
def settings(broker_port: int) -> SimulatorSettings:
    """A small and quick fleet of a name of its own."""
    return SimulatorSettings(
        mqtt_url=f"mqtt://127.0.0.1:{broker_port}", fleet=next(names), vehicles=4, hz=30, seconds=0.3
    )


class Subscriber:
    """Everything that a broker says about one fleet."""

    def __init__(self, client: aiomqtt.Client, fleet: str) -> None:
        self._client = client
        self._fleet = fleet
        self.readings: dict[str, list[dict[str, Any]]] = {}
        self.payloads: dict[str, list[bytes]] = {}
        self.presence: dict[str, list[str]] = {}
        self.order: list[str] = []

    async def until(self, enough: Callable[[], bool]) -> None:
        """Listen until there is enough."""
        async with asyncio.timeout(10):
            while not enough():
                self._take(await anext(aiter(self._client.messages)))

    async def rest(self) -> None:
        """Listen to everything that the broker got before now."""
        end = f"fleets/{self._fleet}/end/status"
        await self._client.publish(end, b'{"values":{"connectionState":"end"}}', qos=1)
        await self.until(lambda: "end" in self.presence)
        del self.presence["end"]

    def sequences(self) -> dict[str, list[int]]:
        return {topic: [one["seq"] for one in readings] for topic, readings in self.readings.items()}

    def received(self) -> int:
        return sum(map(len, self.readings.values()))

    def _take(self, message: aiomqtt.Message) -> None:
        assert isinstance(message.payload, bytes)
        topic, payload = str(message.topic), json.loads(message.payload)
        _, _, vehicle, kind = topic.split("/")
        if kind == "status":
            state = payload["values"]["connectionState"]
            assert ("ts" in payload) == (state in ("ONLINE", "OFFLINE"))
            self.presence.setdefault(vehicle, []).append(state)
            self.order.append(f"{vehicle} {state}")
        else:
            self.readings.setdefault(topic, []).append(payload)
            self.payloads.setdefault(topic, []).append(message.payload)
            self.order.append(f"{vehicle} {payload['seq']}")


@asynccontextmanager
async def subscribed(settings: SimulatorSettings, port: int) -> AsyncIterator[Subscriber]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(f"fleets/{settings.fleet}/#", qos=1)
        yield Subscriber(client, settings.fleet)


class Road:
    """A TCP relay between the fleet and the broker that can be cut, and opened again."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Road]:
        await self.open()
        try:
            yield self
        finally:
            self.cut()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break all connections without a goodbye, and refuse new ones."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        self._open |= {writer, back_writer}
        try:
            await asyncio.gather(self._pass(reader, back_writer), self._pass(back_reader, writer))
        finally:
            self._open -= {writer, back_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


def assert_agrees(manifest: Manifest, subscriber: Subscriber) -> None:
    """Every reading of the manifest was received, in order, exactly once."""
    sequences = subscriber.sequences()
    assert set(sequences) == set(manifest.topics)
    for topic, counted in manifest.topics.items():
        assert sequences[topic] == list(range(counted.first, counted.last + 1))
        assert len(sequences[topic]) == counted.sent
        assert counted.first == 1


@pytest.mark.parametrize("gateway", [False, True])
@pytest.mark.parametrize("qos", [0, 1])
async def test_the_manifest_is_what_a_subscriber_received(
    settings: SimulatorSettings, broker_port: int, gateway: bool, qos: int
) -> None:
    settings = replace(settings, gateway=gateway, qos=qos, seed=3, start_ms=1_700_000_000_000)
    async with subscribed(settings, broker_port) as subscriber:
        manifest = await simulate(settings)
        await subscriber.until(lambda: subscriber.received() >= 36)
        await subscriber.rest()
    assert manifest.sent == 4 * 9
    assert manifest.dropped == 0
    assert (manifest.fleet, manifest.seed, manifest.qos) == (settings.fleet, 3, qos)
    assert manifest.started == 1_700_000_000_000
    assert manifest.ended >= manifest.started + 250
    assert_agrees(manifest, subscriber)
    vehicles = {"v1", "v2", "v3", "v4"} | ({"gateway"} if gateway else set())
    assert subscriber.presence == {vehicle: ["ONLINE", "OFFLINE"] for vehicle in vehicles}
    fleet = Fleet(settings.fleet, vehicles=4, hz=30, seed=3)
    for device in fleet.devices:
        expected = [one.payload for one, _ in zip(device.emissions(1_700_000_000_000), range(9), strict=False)]
        assert subscriber.payloads[device.topic] == expected


async def test_a_late_fleet_sends_everything(settings: SimulatorSettings, broker_port: int) -> None:
    settings = replace(settings, vehicles=5, hz=1_000, seconds=0.3, gateway=True)
    async with subscribed(settings, broker_port) as subscriber:
        async with asyncio.TaskGroup() as group:
            run = group.create_task(simulate(settings))
            group.create_task(subscriber.until(lambda: subscriber.received() >= 1_500))
        await subscriber.rest()
    assert run.result().sent == 1_500
    assert_agrees(run.result(), subscriber)


async def test_a_stop_in_mid_run_is_clean(settings: SimulatorSettings, broker_port: int) -> None:
    settings, stop = replace(settings, seconds=None), asyncio.Event()
    progress: list[Progress] = []
    async with subscribed(settings, broker_port) as subscriber, asyncio.TaskGroup() as group:
        run = group.create_task(simulate(settings, progress.append, stop))
        await subscriber.until(lambda: subscriber.received() >= 20)
        stop.set()
        manifest = await run
        await subscriber.rest()
    assert manifest.sent >= 20
    assert_agrees(manifest, subscriber)
    assert set(map(tuple, subscriber.presence.values())) == {("ONLINE", "OFFLINE")}
    assert (progress[-1].sent, progress[-1].dropped) == (manifest.sent, 0)


async def test_cancelling_says_offline(settings: SimulatorSettings, broker_port: int) -> None:
    settings = replace(settings, seconds=None)
    async with subscribed(settings, broker_port) as subscriber:
        run = asyncio.create_task(simulate(settings))
        await subscriber.until(lambda: subscriber.received() >= 8)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await subscriber.rest()
    assert set(map(tuple, subscriber.presence.values())) == {("ONLINE", "OFFLINE")}


@pytest.mark.parametrize("gateway", [False, True])
async def test_a_broken_connection_is_told_by_the_last_will_and_renewed(
    settings: SimulatorSettings, broker_port: int, gateway: bool
) -> None:
    settings = replace(settings, vehicles=2, hz=50, seconds=1, gateway=gateway)
    mouth = "gateway" if gateway else "v1"
    async with subscribed(settings, broker_port) as subscriber, Road(broker_port).laid() as road:
        driving = replace(settings, mqtt_url=f"mqtt://127.0.0.1:{road.port}")
        async with asyncio.TaskGroup() as group:
            run = group.create_task(simulate(driving))
            await subscriber.until(lambda: subscriber.received() >= 20)
            road.cut()
            await subscriber.until(lambda: "CONNECTIONBROKEN" in subscriber.presence[mouth])
            await road.open()
            manifest = await run
        await subscriber.rest()
    assert subscriber.presence[mouth][:3] == ["ONLINE", "CONNECTIONBROKEN", "ONLINE"]
    assert {states[-1] for states in subscriber.presence.values()} == {"OFFLINE"}
    assert (manifest.sent, manifest.dropped) == (100, 0)
    for topic, seqs in subscriber.sequences().items():
        assert list(dict.fromkeys(seqs)) == list(range(1, manifest.topics[topic].sent + 1)), "lost or out of order"


@pytest.mark.parametrize("seconds", [None, 0.6])
async def test_a_broker_that_stays_away_ends_in_counted_drops(
    settings: SimulatorSettings, broker_port: int, seconds: float | None
) -> None:
    settings, stop = replace(settings, seconds=seconds, hz=50, wait_s=0.2), asyncio.Event()
    async with subscribed(settings, broker_port) as subscriber, Road(broker_port).laid() as road:
        driving = replace(settings, mqtt_url=f"mqtt://127.0.0.1:{road.port}")
        async with asyncio.TaskGroup() as group:
            run = group.create_task(simulate(driving, None, stop))
            await subscriber.until(lambda: subscriber.received() >= 20)
            road.cut()
            await subscriber.until(lambda: all("CONNECTIONBROKEN" in said for said in subscriber.presence.values()))
            if seconds is None:
                stop.set()
            manifest = await run
        await subscriber.rest()
    assert manifest.dropped > 0
    if seconds is not None:
        assert manifest.sent + manifest.dropped == 4 * 50 * seconds
    for topic, counted in manifest.topics.items():
        assert counted.sent == counted.last
        assert set(range(1, counted.sent + 1)) <= set(subscriber.sequences()[topic])


@pytest.mark.parametrize("gateway", [False, True])
async def test_tracks_drive_and_end(
    settings: SimulatorSettings, broker_port: int, tmp_path: Path, gateway: bool
) -> None:
    short, long = tmp_path / "short.gpx", tmp_path / "long trip.gpx"
    short.write_text(GPX.format("".join(map(POINT.format, range(3)))))
    long.write_text(GPX.format("".join(map(POINT.format, range(30)))))
    settings = replace(settings, vehicles=0, seconds=None, tracks=(short, long), speedup=60, gateway=gateway)
    async with subscribed(settings, broker_port) as subscriber:
        manifest = await simulate(settings)
        await subscriber.rest()
    assert_agrees(manifest, subscriber)
    assert {topic.split("/")[2]: counted.sent for topic, counted in manifest.topics.items()} == {
        "short": 3,
        "long-trip": 30,
    }
    order = subscriber.order
    assert order.index("short 3") < order.index("short OFFLINE") < order.index("long-trip 30")
    assert order.index("long-trip 30") < order.index("long-trip OFFLINE")
    assert subscriber.presence["short"] == ["ONLINE", "OFFLINE"]


async def test_presence_is_retained(settings: SimulatorSettings, broker_port: int) -> None:
    await simulate(replace(settings, seconds=0.1))
    async with subscribed(settings, broker_port) as subscriber:
        await subscriber.until(lambda: len(subscriber.presence) == 4)
        await subscriber.rest()
    assert subscriber.presence == {f"v{n}": ["OFFLINE"] for n in range(1, 5)}
    assert subscriber.readings == {}


async def test_many_vehicles(settings: SimulatorSettings, broker_port: int) -> None:
    settings = replace(settings, vehicles=120, hz=2, seconds=0.5)
    async with subscribed(settings, broker_port) as subscriber:
        manifest = await simulate(settings)
        await subscriber.until(lambda: subscriber.received() >= 120)
        await subscriber.rest()
    assert_agrees(manifest, subscriber)
    assert len(manifest.topics) == len(subscriber.presence) == 120


async def test_progress(settings: SimulatorSettings) -> None:
    progress: list[Progress] = []
    manifest = await simulate(replace(settings, seconds=1.2), progress.append)
    assert max(seen.connected for seen in progress) == 4
    assert (progress[-1].connected, progress[-1].connections) == (0, 4)
    assert progress[-1].sent == manifest.sent == 4 * 36
    assert 0 < progress[0].sent < 4 * 36
    assert progress[-1].elapsed_s >= 1.1


@pytest.mark.parametrize("gateway", [False, True])
async def test_a_broker_that_is_not_there(free_port: int, gateway: bool) -> None:
    url = f"mqtt://me:secret@127.0.0.1:{free_port}"
    with pytest.raises(Unavailable) as caught:
        await simulate(SimulatorSettings(mqtt_url=url, gateway=gateway, wait_s=0.2))
    assert str(caught.value).startswith(f"MQTT broker not reachable at mqtt://me@127.0.0.1:{free_port}: ")
    assert "secret" not in str(caught.value)


async def test_a_stop_while_the_broker_is_not_there(free_port: int) -> None:
    stop = asyncio.Event()
    stop.set()
    settings = SimulatorSettings(mqtt_url=f"mqtt://127.0.0.1:{free_port}", wait_s=0.2)
    assert (await simulate(settings, None, stop)).sent == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"vehicles": -1}, "vehicles"),
        ({"vehicles": 0}, "vehicles"),
        ({"hz": 0}, "hz"),
        ({"hz": float("nan")}, "hz"),
        ({"seconds": 0}, "seconds"),
        ({"qos": 2}, "qos"),
        ({"speedup": 0}, "speedup"),
        ({"start_ms": -1}, "start_ms"),
        ({"fleet": "a/b"}, "fleet"),
        ({"mqtt_url": "http://x"}, "MQTT URL"),
        ({"tracks": (Path("none.gpx"),)}, "none.gpx"),
    ],
)
async def test_a_setting_that_can_not_be_used_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        await simulate(replace(SimulatorSettings(), **change))
