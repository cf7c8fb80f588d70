"""`make bench-history`: what it fills Redis with, how it knows that something is wrong, and one short run."""

from __future__ import annotations

import httpx
from redis.asyncio import Redis

from bench.filler import FLEETS, fill, fleet_of, topic_of
from bench.history import Client
from stream.history import History
from tests.bench.benches import bench
from tests.stream.nodes import Store
from wire.partition import WHOLE
from wire.topics import parse


def test_vehicles_are_spread_over_the_fleets() -> None:
    topics = {topic_of(vehicle) for vehicle in range(1_000)}
    assert len(topics) == 1_000
    for fleet in {fleet_of(vehicle) for vehicle in range(FLEETS)}:
        assert sum(topic.startswith(f"fleets/{fleet}/") for topic in topics) == 100
    for topic in topics:
        parse(topic)


async def test_fills_the_logs_in_the_order_of_ids(valkey_url: str, redis_client: Redis) -> None:
    end = 1_000_000
    await fill(int(valkey_url.rpartition(":")[2]), vehicles=20, seconds=3, end=end)
    store, history = Store(redis_client), History(redis_client, WHOLE)
    names = await history.topics("#")
    telemetry = sorted(name for name in names if name.endswith("/telemetry"))
    assert telemetry == sorted(map(topic_of, range(20)))
    entries = [entry for name in telemetry for entry in await store.log(name)]
    assert len(entries) == 60
    by_id = [reading.ts for _, reading in sorted(entries, key=lambda entry: entry[0])]
    assert by_id == sorted(by_id)
    assert max(order for order, _ in entries) <= await history.last()
    assert end - 3_000 <= min(by_id) <= max(by_id) < end


async def test_sees_that_an_answer_is_not_complete() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "format" in request.url.params:
            return httpx.Response(200, text="topic,id,ts,signal,value\r\n1,2,3,4,5\r\n")
        return httpx.Response(200, json={"data": [{"count": 3}]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://node") as http:
        client = Client(http, vehicles=20, seconds=4)
        await client.vehicle()
        await client.windows()
        await client.download()
    assert sorted(client.problems) == [
        "1 readings of one vehicle, but there are 4",
        "2 rows of CSV, but there are 9",
        "3 readings in windows, but there are 8",
    ]


async def test_every_answer_is_complete() -> None:
    ended = await bench("bench.history", "--vehicles", "20", "--seconds", "100", "--runs", "2", "--json")
    assert ended.status == 0, ended.out + ended.err
    figures = ended.figures
    assert figures["readings of that fleet"] == 200
    assert figures["memory of Redis, a reading"] > 100
    assert figures["all readings of one vehicle"] > 0
