"""The browser client in Node, against a real node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.client.driven import Driven, Refused, Told, driven
from tests.client.streams import Stream, stream
from tests.programs import eventually
from wire.ids import format_id

FLEET = "fleets/berlin/+/telemetry"
TOPIC = "fleets/berlin/v1/telemetry"


@pytest.fixture
async def node(valkey_url: str) -> AsyncIterator[Stream]:
    async with stream(valkey_url) as running:
        yield running


@pytest.fixture
async def client(node: Stream) -> AsyncIterator[Driven]:
    async with driven(node.url) as connected:
        yield connected


async def stored(node: Stream, topic: str = TOPIC) -> list[tuple[str, str]]:
    return [(topic, format_id(order)) for order, _ in await node.store.log(topic)]


def numbers(told: Told) -> list[Any]:
    """The values outside of snapshots."""
    return [item["values"]["n"] for item in told.items(snapshot=False)]


@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_everything_in_both_formats(node: Stream, format: str) -> None:
    await node.store.numbers(range(1, 6))
    async with driven(node.url, format=format) as client:
        fleet = await client.subscribe(FLEET, strategy="batch", interval=0, meta=True)
        room = await client.subscribe("rooms/ops")
        await fleet.begun()
        await room.begun()
        assert fleet.states == {TOPIC: {"n": 5}}
        assert fleet.events[0]["snapshot"]
        assert fleet.events[0]["whole"]
        await node.store.numbers(range(6, 9))
        await eventually(lambda: len(fleet.keys) == 3)
        assert fleet.keys == (await stored(node))[5:]
        assert [item["seq"] for item in fleet.items(snapshot=False)] == [6, 7, 8]

        said = {"a": [1, 2.5, None, True, "ä€😀"], "big": 2**53 - 1, "small": -(2**53) + 1, "exact": 0.1}
        id = await client.call("publish", "rooms/ops", said)
        await eventually(lambda: room.keys)
        assert room.items(snapshot=False)[0]["data"] == said
        assert room.keys == [("rooms/ops", id)]

        [state] = await client.call("get", FLEET)
        assert state["values"] == {"n": 8}
        page = await client.call("history", {"topic": FLEET, "limit": 5})
        assert [item["values"]["n"] for item in page["data"]] == [1, 2, 3, 4, 5]
        rest = await client.call("history", {"topic": FLEET, "after": page["cursor"]})
        assert [item["values"]["n"] for item in rest["data"]] == [6, 7, 8]
        assert "cursor" not in rest
        pages = await client.call("pages", {"topic": FLEET, "limit": 3})
        assert [len(page["data"]) for page in pages] == [3, 3, 2]

        await fleet.on("unsubscribe")
        await node.store.numbers([9])
        await client.call("publish", "rooms/ops", "later")
        await eventually(lambda: len(room.keys) == 2)
        assert len(fleet.keys) == 3
        stats = await client.stats()
        assert (stats["items"], stats["connects"]) == (1 + 3 + 2, 1)
        assert stats["node"]
        assert 0 < stats["latencyMs"] < 5_000
        assert abs(stats["clockOffsetMs"]) < 1_000


async def test_what_a_node_refuses(client: Driven) -> None:
    with pytest.raises(Refused) as refused:
        await client.call("get", "fleets/berlin#")
    assert (refused.value.name, refused.value.number, refused.value.reason) == (
        "FleetwireError",
        400,
        "invalid_topic",
    )
    bad = await client.subscribe(FLEET, bbox=[0, 2, 0, 1])
    await eventually(lambda: bad.events)
    [error] = bad.events
    assert (error["kind"], error["number"], error["reason"]) == ("error", 400, "bad_request")
    assert client.state == "live"


async def test_an_update_goes_on(node: Stream, client: Driven) -> None:
    await node.store.numbers([1])
    told = await client.subscribe(FLEET, strategy="batch", interval=0, snapshot=False)
    await client.call("get", FLEET)
    await node.store.numbers([2])
    await eventually(lambda: numbers(told) == [2])
    await told.on("update", {"interval": 20, "meta": True})
    await node.store.numbers([3])
    await eventually(lambda: numbers(told) == [2, 3])
    assert [item.get("seq") for item in told.items()] == [None, 3]
    with pytest.raises(Refused, match="bad_request"):
        await told.on("update", {"delta": True})
    await node.store.numbers([4])
    await eventually(lambda: numbers(told) == [2, 3, 4])
    look = await told.look()
    assert look["ask"] == {"topic": FLEET, "strategy": "batch", "interval": 20, "snapshot": False, "meta": True}


async def test_an_update_of_what_is_shown_shows_everything(node: Stream, client: Driven) -> None:
    other = TOPIC.replace("v1", "v2")
    await node.store.numbers([1])
    await node.store.numbers([7], other)
    told = await client.subscribe(FLEET, interval=0)
    await told.begun()
    await told.on("update", {"interval": 10})
    await told.on("update", {"filter": {"n": {"variant": "range", "parameter": {"logic-op": "gt", "boundary": 5}}}})
    await eventually(lambda: told.events[-1]["whole"] and len(told.events) > 1)
    assert [event["whole"] for event in told.events] == [True, False, True]
    assert told.states == {other: {"n": 7}}


@pytest.mark.parametrize("ask", [{"strategy": "batch"}, {}, {"bbox": [-180, -90, 180, 90]}, {"delta": True}])
async def test_two_that_ask_for_the_same(node: Stream, client: Driven, ask: dict[str, Any]) -> None:
    from wire.reading import Reading

    async def drive(*numbers: int) -> None:
        place = {"CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4}
        await node.store.readings(*[(TOPIC, Reading(n, {"n": n, **place}, n)) for n in numbers])

    await drive(1)
    first = await client.subscribe(FLEET, interval=50, **ask)
    await first.begun()
    await drive(2, 3)
    second = await client.subscribe(FLEET, interval=50, **ask)
    third = await client.subscribe(FLEET, **{"interval": 50, "meta": False, **ask})
    await drive(4, 5)
    await second.begun()
    await third.begun()
    assert {event["whole"] for told in (second, third) for event in told.events[:1]} == {True}
    await drive(6)
    everybody = (first, second, third)
    await eventually(lambda: all(told.states[TOPIC]["n"] == 6 for told in everybody))
    if ask.get("strategy") == "batch":
        assert numbers(first) == [2, 3, 4, 5, 6]
        for told in (second, third):
            shown = told.events[0]["items"][0]["values"]["n"]
            assert numbers(told) == list(range(shown + 1, 7))

    await second.on("unsubscribe")
    heard = len(second.events)
    await first.on("update", {"interval": 20})
    await drive(7)
    await eventually(lambda: all(told.states[TOPIC]["n"] == 7 for told in (first, third)))
    await first.on("unsubscribe")
    await drive(8)
    await eventually(lambda: third.states[TOPIC]["n"] == 8)
    assert len(second.events) == heard
    assert (await third.look())["stats"]["gaps"] == 0


async def test_the_same_in_other_words(node: Stream, client: Driven) -> None:
    """What the client takes for two, and the node for one."""

    def above(boundary: Any) -> dict[str, Any]:
        return {"n": {"variant": "range", "parameter": {"logic-op": "gte", "boundary": boundary}}}

    first = await client.subscribe(FLEET, strategy="batch", interval=0, filter=above(2))
    await first.begun()
    await node.store.numbers(range(5))
    second = await client.subscribe(FLEET, strategy="batch", interval=0, filter=above("2"))
    await node.store.numbers(range(5, 10))
    await second.begun()
    await eventually(lambda: numbers(first) == list(range(2, 10)))
    await eventually(lambda: second.states[TOPIC] == {"n": 9})
    await node.store.numbers([10])
    await eventually(lambda: numbers(first)[-1:] == numbers(second)[-1:] == [10])
    assert numbers(first) == list(range(2, 11))


async def test_a_replay(node: Stream, client: Driven) -> None:
    await node.store.numbers(range(1, 11))
    begin = int((await stored(node))[0][1].split("-")[0])
    told = await client.replay(FLEET, strategy="batch", interval=0, speed=100, **{"from": begin})
    await eventually(lambda: told.kind("replay") and told.kind("replay")[-1]["state"] == "live")
    assert told.kind("replay")[0]["position"] == begin
    assert numbers(told) == list(range(1, 11))
    assert "from" not in (await told.look())["ask"]
    await node.store.numbers([11])
    await eventually(lambda: numbers(told)[-1] == 11)

    del told.events[:]
    await told.on("update", {"from": begin - 60_000, "speed": 0})
    # Nothing is to be seen before the first ones: it stands there, and shows what was stored in that millisecond.
    await eventually(lambda: numbers(told) == list(range(1, 11)))
    assert {event["state"] for event in told.kind("replay")} == {"paused"}
    del told.events[:]
    await told.on("seek", begin)
    await told.on("play", 100)
    await eventually(lambda: numbers(told) == list(range(1, 12)))
    await told.on("live")
    await node.store.numbers([12])
    await eventually(lambda: numbers(told) == list(range(1, 13)))
    assert not told.kind("gap")


async def test_one_of_two_goes_back(node: Stream, client: Driven) -> None:
    await node.store.numbers(range(1, 4))
    begin = int((await stored(node))[0][1].split("-")[0])
    stays, goes = [await client.subscribe(FLEET, strategy="batch", interval=0, snapshot=False) for _ in range(2)]
    await client.call("get", FLEET)
    await goes.on("seek", begin)
    await eventually(lambda: numbers(goes) == [1, 2, 3])
    await node.store.numbers([4])
    await eventually(lambda: numbers(goes) == [1, 2, 3, 4] and numbers(stays) == [4])


async def test_who_does_not_keep_up_misses_nothing(node: Stream, client: Driven) -> None:
    told = await client.subscribe(FLEET, strategy="batch", interval=0, snapshot=False, iterate={"buffer": 5})
    room = await client.subscribe("rooms/ops")
    await room.begun()
    for number in range(1, 31):
        await node.store.numbers([number])
        await asyncio.sleep(0.01)  # so that frames are many
    await client.call("publish", "rooms/ops", "all is said")
    await eventually(lambda: room.keys)
    assert (await told.look())["stats"]["overflows"] == 1
    assert (await told.look())["stats"]["items"] < 10
    taken: list[Any] = []
    while len(taken) < 30:
        [event] = await client.call("take", told.number, 1)
        taken += [(item["topic"], item["id"]) for item in event["items"]]
    assert taken == await stored(node)
    await client.call("breaking", told.number)
    assert await client.call("take", told.number, 1) == []


async def test_a_big_snapshot_comes_whole(node: Stream, client: Driven) -> None:
    from wire.reading import Reading

    topics = [f"fleets/berlin/v{number}/telemetry" for number in range(2_500)]
    await node.store.readings(*[(topic, Reading(1, {"n": 1}, 1)) for topic in topics])
    told = await client.subscribe(FLEET, iterate={"buffer": 1})
    events = await client.call("take", told.number, 3)
    assert [(event["whole"], event["more"]) for event in events] == [(True, True), (True, True), (True, False)]
    assert {item["topic"] for event in events for item in event["items"]} == set(topics)
