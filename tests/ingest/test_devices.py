"""The list of devices that are let in: what others send is a dead letter, whatever it is."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ingest.devices import Devices, read_roster
from tests.ingest.bridge import Bridge, dead_letters, device, flood, numbers, payload, publish, running
from tests.programs import eventually, mosquitto
from wire import keys
from wire.errors import SettingsError, TopicError

STATUS = b'{"values":{"connectionState":"ONLINE"}}'
REPLY = b'{"correlation":"1","status":"SUCCEEDED"}'


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is retained here, so the bridge need not listen for it for long; and the file is looked at often."""
    monkeypatch.setattr("ingest.presence.QUIET_SECONDS", 0.05)
    monkeypatch.setattr("ingest.devices.LOOK_SECONDS", 0.02)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "devices.txt"
    path.write_text("# ours\n\nberlin/v1   # the first\n  munich/+\n")
    return path


def test_who_is_in_the_list(listed: Path) -> None:
    devices = Devices(str(listed))
    for topic in ("fleets/berlin/v1/telemetry", "fleets/berlin/v1/status", "fleets/munich/any/replies"):
        assert devices.let_in(topic)
    for topic in ("fleets/berlin/v2/telemetry", "fleets/berlin/V1/status", "fleets/munic/v1/alerts"):
        assert not devices.let_in(topic)
    for topic in ("fleets/berlin/+/telemetry", "rooms/ops", "fleets/berlin/v1", "fleets/berlin/v1/nothing"):
        with pytest.raises(TopicError):
            devices.let_in(topic)


def test_without_a_list_everybody_is_let_in_and_with_an_empty_one_nobody(tmp_path: Path) -> None:
    assert Devices(None).let_in("fleets/berlin/v1/telemetry")
    (tmp_path / "none").write_text("# nobody yet\n")
    assert not Devices(str(tmp_path / "none")).let_in("fleets/berlin/v1/telemetry")


@pytest.mark.parametrize(
    "line",
    ["berlin", "berlin/", "/v1", "berlin/v1/telemetry", "+/v1", "+/+", "berlin/#", "ber lin/v1", "berlin/é", "*"],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "devices.txt"
    path.write_text(f"berlin/v1\n# more\n{line}\nberlin/v2\n")
    with pytest.raises(SettingsError, match="line 3"):
        read_roster(path)
    with pytest.raises(
        SettingsError, match=r"^--devices \(FLEETWIRE_DEVICES\) can't be used: .*devices.txt, line 3: "
    ):
        Devices(str(path))


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\(FLEETWIRE_DEVICES\) can't be used: .*nowhere: No such file"):
        Devices(str(tmp_path / "nowhere"))
    (tmp_path / "bytes").write_bytes(b"berlin/\xff\n")
    with pytest.raises(SettingsError, match="no UTF-8"):
        Devices(str(tmp_path / "bytes"))


async def unknown(bridge: Bridge, count: int) -> bool:
    return await bridge.count("dead_letters", reason="unknown_device") == count


async def test_readings_statuses_and_replies_of_others_are_dead_letters(
    listed: Path, valkey_url: str, redis_client: Redis
) -> None:
    with mosquitto() as broker:
        async with running(broker.url, valkey_url, devices=str(listed)) as bridge, device(broker.url) as client:
            for who in ("berlin/v1", "munich/any", "berlin/v2"):
                await client.publish(f"fleets/{who}/telemetry", payload(1), qos=1)
                await client.publish(f"fleets/{who}/status", STATUS, qos=1)
                await client.publish(f"fleets/{who}/replies", REPLY, qos=1)
            await client.publish("fleets/berlin/v2/telemetry", b"{", qos=1)
            await client.publish("fleets/berlin/v2/commands", b"{}", qos=1)  # ours come back: they are from no device
            await eventually(lambda: stored(bridge, 6))
            await eventually(lambda: unknown(bridge, 4))
            assert await bridge.count("dead_letters") == 4
            assert await bridge.count("ignored", reason="commands") == 1
    letters = await dead_letters(redis_client)
    kinds = ["telemetry", "status", "replies", "telemetry"]
    assert [letter["topic"].decode() for letter in letters] == [f"fleets/berlin/v2/{kind}" for kind in kinds]
    assert {letter["reason"] for letter in letters} == {b"unknown_device"}
    assert await redis_client.smembers(keys.fleet("berlin")) == {b"v1"}


def write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


async def test_the_list_is_read_again_when_it_changes(
    listed: Path, valkey_url: str, redis_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    topic = "fleets/berlin/v2/telemetry"
    with mosquitto() as broker, caplog.at_level(logging.INFO, "fleetwire.ingest.devices"):
        async with running(broker.url, valkey_url, devices=str(listed)) as bridge, device(broker.url) as client:
            await publish(client, [1], topic)
            await eventually(lambda: unknown(bridge, 1))
            write(listed, "berlin/v1\nberlin/v2\nmunich/+\n")
            await eventually(lambda: "2 devices and 1 whole fleets are let in" in caplog.text)
            await publish(client, [2], topic)
            await eventually(lambda: redis_client.exists(keys.log(topic)))

            write(listed, "berlin/v2\nberlin/\n")
            await eventually(lambda: "the list of devices stays as it was" in caplog.text)
            assert f"{listed}, line 2: 'berlin/' is not FLEET/VEHICLE" in caplog.text
            write(listed, None)
            await eventually(lambda: "No such file" in caplog.text)
            await publish(client, [3], topic)
            await eventually(lambda: stored(bridge, 2))

            write(listed, "berlin/v1\n")
            await eventually(lambda: "1 devices and 0 whole fleets are let in" in caplog.text)
            await publish(client, [4], topic)
            await eventually(lambda: unknown(bridge, 2))
    assert await numbers(redis_client, topic) == [2, 3]
    assert caplog.text.count("stays as it was") == 2


async def stored(bridge: Bridge, count: int) -> bool:
    return await bridge.count("stored") == count


async def test_a_flood_of_strangers_is_held_as_one(listed: Path, valkey_url: str, redis_client: Redis) -> None:
    limits = {"device_rate": 1, "device_burst_s": 2, "devices": str(listed)}
    with mosquitto() as broker:
        async with running(broker.url, valkey_url, **limits) as bridge:
            names = [f"fleets/berlin/x{n}/telemetry" for n in range(500)]
            await flood(
                broker.url, [*((name, payload(1)) for name in names), ("fleets/berlin/v1/telemetry", payload(1))]
            )
            await eventually(lambda: stored(bridge, 1))
            buried = await bridge.count("dead_letters", reason="unknown_device")
            assert buried + await bridge.count("surplus") == 500
            assert 3 <= buried < 50


async def test_devices_that_a_gateway_names_are_looked_up_one_by_one(
    listed: Path, valkey_url: str, redis_client: Redis
) -> None:
    layout = "gateways/{fleet}/up=thingsboard-gateway"
    found = {name: [{"ts": 1, "values": {"Speed": 1}}] for name in ("v1", "v2", "v3")}
    with mosquitto() as broker:
        async with running(broker.url, valkey_url, layout=layout, devices=str(listed)) as bridge:
            await flood(broker.url, [("gateways/berlin/up", json.dumps(found).encode())])
            await eventually(lambda: stored(bridge, 1))
            assert await unknown(bridge, 2)
    assert [letter["topic"] for letter in await dead_letters(redis_client)] == [
        b"fleets/berlin/v2/telemetry",
        b"fleets/berlin/v3/telemetry",
    ]
    assert await redis_client.smembers(keys.fleet("berlin")) == {b"v1"}
