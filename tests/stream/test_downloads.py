"""History over HTTP, in its four formats; downloads that end, and those that break."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgpack
import pytest
import uvicorn
from redis.asyncio import Redis

from stream import logs
from stream.app import create_app
from stream.auth import sign
from stream.settings import Settings
from tests.programs import eventually, free_port, redis_server
from tests.stream.nodes import TOPIC, Store, joined, running
from wire import keys
from wire.protocol import Format
from wire.reading import Reading

KEY = "k" * 32
OTHER = "fleets/berlin/v2/telemetry"
FILTER = "fleets/berlin/+/telemetry"


@asynccontextmanager
async def serving(redis_url: str, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a node that is served in this process."""
    port = free_port()
    app = create_app(Settings(redis_url=redis_url, **changes))
    config = uvicorn.Config(app, port=port, http="httptools", interface="asgi3", lifespan="on", log_config=None)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    async with asyncio.TaskGroup() as group, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        group.create_task(server._serve())
        try:
            await eventually(lambda: server.started)
            await eventually(app.state.node.ready)
            yield http
        finally:
            server.should_exit = True


@pytest.fixture
async def store(redis_client: Redis) -> Store:
    return Store(redis_client)


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(valkey_url) as client:
        yield client


async def get(http: httpx.AsyncClient, accept: str = "*/*", **params: Any) -> httpx.Response:
    return await http.get("/v1/history", params={"topic": FILTER, **params}, headers={"Accept": accept})


async def some(store: Store) -> None:
    """An hour of two vehicles, a reading a minute."""
    for n in range(60):
        reading = Reading(n * 60_000, {"Speed": n, "name": f"n{n}", "on": n % 2 == 0})
        await store.readings((TOPIC, reading), (OTHER, reading))


def cells(response: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


async def test_all_formats_say_the_same(http: httpx.AsyncClient, store: Store) -> None:
    await some(store)
    page = (await get(http)).json()
    data = page["data"]
    assert len(data) == 120
    assert page.keys() == {"ts", "data"}

    packed = await get(http, "application/msgpack")
    assert packed.headers["content-type"] == "application/msgpack"
    assert msgpack.unpackb(packed.content)["data"] == data

    lines = await get(http, "application/x-ndjson")
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == data

    table = await get(http, "text/csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert [(row["topic"], row["id"], row["ts"], row["signal"], row["value"]) for row in cells(table)] == [
        (item["topic"], item["id"], str(item["ts"]), name, value if isinstance(value, str) else json.dumps(value))
        for item in data
        for name, value in item["values"].items()
    ]
    for response, format in ((lines, "ndjson"), (table, "csv")):
        assert response.headers["content-disposition"] == f'attachment; filename="history.{format}"'
        assert "fleetwire-trimmed" not in response.headers
        assert (await get(http, format=format)).content == response.content


async def test_windows_in_all_formats(http: httpx.AsyncClient, store: Store) -> None:
    await some(store)
    data = (await get(http, window=600_000)).json()["data"]
    assert [(item["topic"], item["ts"], item["count"]) for item in data] == [
        (topic, begin * 600_000, 10) for topic in (TOPIC, OTHER) for begin in range(6)
    ]
    speed = {"min": 10, "max": 19, "mean": 14.5}
    assert data[1]["values"] == {"Speed": speed, "name": {"last": "n19"}, "on": {"last": False}}
    projected = (await get(http, window=600_000, signals="Speed,o*")).json()["data"]
    assert [item["values"].keys() for item in projected] == [{"Speed", "on"}] * 12
    assert msgpack.unpackb((await get(http, format="msgpack", window=600_000)).content)["data"] == data
    lines = await get(http, format="ndjson", window=600_000)
    assert [json.loads(line) for line in lines.text.splitlines()] == data
    rows = cells(await get(http, format="csv", window=600_000, signals="Speed"))
    assert [
        {"topic": row["topic"], "ts": int(row["ts"]), "mean": float(row["mean"]), "last": row["last"]} for row in rows
    ] == [
        {"topic": item["topic"], "ts": item["ts"], "mean": item["values"]["Speed"]["mean"], "last": ""}
        for item in data
    ]


async def test_pages_of_windows_go_on_by_topic(http: httpx.AsyncClient, store: Store) -> None:
    await some(store)
    first = (await get(http, window=600_000, limit=11)).json()
    assert len(first["data"]) == 6
    second = (await get(http, window=600_000, limit=11, after=first["cursor"])).json()
    assert {item["topic"] for item in second["data"]} == {OTHER}
    assert "cursor" not in second


@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_windows_over_a_websocket(valkey_url: str, store: Store, format: Format) -> None:
    await some(store)
    async with running(valkey_url) as node, joined(node, format) as peer:
        reply = await peer.ask("history", topic=FILTER, window=1_800_000, signals=["Speed"], limit=3)
        assert [(item["ts"], item["values"]["Speed"]["max"]) for item in reply["data"]] == [(0, 29), (1_800_000, 59)]
        reply = await peer.ask("history", topic=FILTER, window=1_800_000, after=reply["cursor"])
        assert {item["topic"] for item in reply["data"]} == {OTHER}
        reply = await peer.ask("history", topic=FILTER, window=60_000, limit=59)
        assert reply["error"]["reason"] == "bad_request"
        assert "ask for a larger window" in reply["error"]["description"]
        reply = await peer.ask("history", topic=TOPIC, signals=["on"], limit=1)
        assert [item["values"] for item in reply["data"]] == [{"on": True}]


@pytest.mark.parametrize(
    ("reason", "params"),
    [
        ("bad_request", {"format": "xml"}),
        ("bad_request", {"format": "csv", "limit": "5"}),
        ("bad_request", {"window": "999"}),
        ("bad_request", {"window": "86400001"}),
        ("bad_request", {"window": "min,max"}),
        ("bad_request", {"window": "60000", "meta": "true"}),
        ("bad_request", {"window": "60000", "topic": "rooms/#", "format": "ndjson"}),
        ("bad_request", {"signals": ""}),
        ("invalid_cursor", {"window": "60000", "after": "1-1", "format": "csv"}),
        ("invalid_topic", {"topic": "a b", "format": "csv"}),
    ],
)
async def test_a_bad_question_is_a_400(http: httpx.AsyncClient, reason: str, params: dict[str, str]) -> None:
    response = await get(http, **params)
    assert (response.status_code, response.json()["error"]["reason"]) == (400, reason)


async def test_a_download_wants_a_token_as_a_page_does(valkey_url: str) -> None:
    async with serving(valkey_url, jwt_key=KEY) as http:
        assert (await get(http, format="csv")).status_code == 401
        http.headers["Authorization"] = f"Bearer {sign(KEY, 'anna', ['fleets/hamburg/#'], [], 60)}"
        assert (await get(http, format="csv")).status_code == 403
        assert (await get(http, format="csv", topic="fleets/hamburg/#")).status_code == 200


async def test_a_download_says_what_the_log_no_longer_has(http: httpx.AsyncClient, store: Store) -> None:
    await some(store)
    await store.redis.xtrim(keys.log(TOPIC), maxlen=10, approximate=False)
    for params in ({}, {"window": 600_000}):
        page = (await get(http, **params)).json()
        for format in ("csv", "ndjson"):
            assert (await get(http, format=format, **params)).headers["fleetwire-trimmed"] == page["trimmed"]


async def test_a_download_that_can_t_go_on_breaks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logs, "READ_ENTRIES", 10)
    with redis_server() as server:
        async with Redis.from_url(server.url) as redis, serving(server.url) as http:
            store = Store(redis)
            for n in range(400):
                await store.readings((TOPIC, Reading(n, {"a": "x" * 50_000})))
            whole = await get(http, format="ndjson")
            assert len(whole.content) > 20_000_000
            params = {"topic": FILTER, "format": "ndjson"}
            received = 0
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                async with http.stream("GET", "/v1/history", params=params) as response:
                    assert response.status_code == 200
                    async for piece in response.aiter_raw():
                        if not received:
                            server.program.kill()
                        received += len(piece)
            assert 0 < received < len(whole.content)
            assert any("a download was cut off: Redis is away" in record.message for record in caplog.records)
            assert not any(record.exc_info for record in caplog.records if record.name.startswith("uvicorn"))
            response = await get(http, format="ndjson")
            assert (response.status_code, response.json()["error"]["reason"]) == (503, "unavailable")


async def test_a_client_that_goes_leaves_nothing_behind(
    http: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "READ_ENTRIES", 10)
    for n in range(400):
        await store.readings((TOPIC, Reading(n, {"a": "x" * 50_000})))
    await get(http, limit=1)

    async def connections() -> int:
        return len(await store.redis.client_list())

    before = await connections()
    async with http.stream("GET", "/v1/history", params={"topic": FILTER, "format": "csv"}) as response:
        await anext(response.aiter_raw())
        assert await connections() > before
    await eventually(lambda: _are(connections, before))


async def _are(connections: Any, before: int) -> bool:
    return bool(await connections() <= before)
