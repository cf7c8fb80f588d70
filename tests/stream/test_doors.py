"""The doors, over real sockets: WebSocket, Server-Sent Events and REST, of one node and of two."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import httpx
import msgpack
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from fleetwire.client import open_connection, subscribe
from stream import sse
from stream.app import create_app
from stream.auth import sign
from stream.limits import Limits
from stream.prepared import PreparedProtocol
from stream.settings import Settings
from tests.programs import Program, eventually, fleetwire, free_port
from tests.stream.nodes import TOPIC, Store
from wire.errors import CommandError
from wire.ids import parse_id
from wire.protocol import SUBPROTOCOLS, Format
from wire.reading import Reading

Event = dict[str, Any]
KEY = "k" * 32
WS: Any = None  # set by the fixture below
FORMATS: tuple[Format, ...] = ("json", "msgpack")


class Door(NamedTuple):
    """A node that is served in this process, and an HTTP client of it."""

    port: int
    app: Starlette
    http: httpx.AsyncClient

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/stream"


@pytest.fixture(autouse=True, params=[PreparedProtocol, "websockets-sansio"], ids=["prepared", "plain"])
def ws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What speaks WebSocket: ours, which takes prepared frames, and any other server's."""
    monkeypatch.setitem(globals(), "WS", request.param)
    return request.param


@asynccontextmanager
async def serving(redis_url: str, **changes: Any) -> AsyncIterator[Door]:
    """A node, served as `fleetwire.serve` serves it."""
    port = free_port()
    settings = Settings(redis_url=redis_url, **changes)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        port=port,
        http="httptools",
        ws=WS,
        ws_max_size=settings.frame_bytes,
        ws_per_message_deflate=False,
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    async with asyncio.TaskGroup() as group, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        group.create_task(server._serve())
        try:
            await eventually(lambda: server.started)
            await eventually(app.state.node.ready)
            yield Door(port, app, http)
        finally:
            app.state.drain()
            server.should_exit = True


@pytest.fixture
async def store(redis_client: Redis) -> Store:
    return Store(redis_client)


@pytest.fixture
async def door(valkey_url: str) -> AsyncIterator[Door]:
    async with serving(valkey_url) as found:
        yield found


@asynccontextmanager
async def socket(door: Door, *subprotocols: str, **headers: str) -> AsyncIterator[ClientConnection]:
    offered = [Subprotocol(name) for name in subprotocols] or None
    async with connect(
        door.url, subprotocols=offered, additional_headers=headers, compression=None, max_size=None
    ) as connection:
        yield connection


class Sse:
    """A stream of Server-Sent Events, as far as it was read."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[str | None, Event]:
        """Id and data of the next event."""
        id, data = None, None
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "id":
                id = value
            elif name == "data":
                data = json.loads(value)
            elif not line and data is not None:
                return id, data
        raise EOFError

    async def items(self, count: int) -> list[Event]:
        """So many items."""
        found: list[Event] = []
        while len(found) < count:
            found += (await self.next())[1].get("data", [])
        return found


@asynccontextmanager
async def sse_stream(door: Door, headers: dict[str, str] | None = None, **params: Any) -> AsyncIterator[Sse]:
    async with door.http.stream("GET", "/v1/events", params=params, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Sse(response)


async def metric(at: Door, name: str, **labels: str) -> float | None:
    text = (await at.http.get("/metrics")).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"fleetwire_stream_{name}" and sample.labels == labels:
                return sample.value
    return None


# WebSocket


@pytest.mark.parametrize("subprotocol", [*SUBPROTOCOLS, None])
async def test_each_subprotocol_speaks_its_format_and_without_one_it_is_json(
    door: Door, store: Store, subprotocol: str | None
) -> None:
    await store.numbers([1])
    write, read, kind = (
        (msgpack.packb, msgpack.unpackb, bytes)
        if subprotocol == "fleetwire.v1.msgpack"
        else (json.dumps, json.loads, str)
    )
    async with socket(door, *([subprotocol] if subprotocol else [])) as connection:
        assert connection.subprotocol == subprotocol
        await connection.send(write({"action": "subscribe", "requestId": "1", "topic": "fleets/#"}))
        frames = [await connection.recv(), await connection.recv()]
        assert all(isinstance(frame, kind) for frame in frames)
        reply, event = (read(frame) for frame in frames)
        assert (reply["action"], reply["requestId"]) == ("subscribe", "1")
        assert event["data"][0]["values"] == {"n": 1}


async def test_of_several_subprotocols_the_first_that_is_known_is_taken(door: Door) -> None:
    async with socket(door, "viss", "fleetwire.v1.msgpack", "fleetwire.v1.json") as connection:
        assert connection.subprotocol == "fleetwire.v1.msgpack"


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
@pytest.mark.parametrize("frame", ["", "nonsense", '{"action":"ping","requestId":"1"}', b"", b"\xff\x00"])
async def test_a_frame_of_either_kind_is_answered_and_the_connection_lives(
    door: Door, subprotocol: str, frame: str | bytes
) -> None:
    format = SUBPROTOCOLS[subprotocol]
    read = json.loads if format == "json" else msgpack.unpackb
    async with socket(door, subprotocol) as connection:
        await connection.send(frame)
        answer = read(await connection.recv())
        assert answer.get("error", {}).get("reason", "bad_request") == "bad_request"
        ping = {"action": "ping", "requestId": "2"}
        await connection.send(json.dumps(ping) if format == "json" else msgpack.packb(ping))
        assert read(await connection.recv())["requestId"] == "2"


async def test_a_frame_that_is_too_big_closes_the_connection(door: Door) -> None:
    async with socket(door) as connection:
        await connection.send("x" * (1 << 20))
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


async def test_clients_are_counted_while_they_are_here(door: Door) -> None:
    async with socket(door), sse_stream(door, topic="#") as events:
        await events.next()
        await eventually(lambda: _is(door, 1, "clients", door="websocket"))
        assert await metric(door, "clients", door="sse") == 1
        assert await metric(door, "groups") == 1
    await eventually(lambda: _is(door, 0, "clients", door="websocket"))
    await eventually(lambda: _is(door, 0, "clients", door="sse"))
    await eventually(lambda: _is(door, 0, "groups"))


async def _is(at: Door, wanted: float, name: str, **labels: str) -> bool:
    return await metric(at, name, **labels) == wanted


async def test_the_client_reads_a_snapshot_of_several_frames(door: Door, store: Store) -> None:
    topics = {f"fleets/a/v{n}/telemetry" for n in range(2_100)}
    await store.readings(*((topic, Reading(1, {"a": 1})) for topic in topics))
    found: list[str] = []
    async for event in subscribe([door.url], "fleets/#"):
        assert event["snapshot"]
        assert len(event["data"]) <= 1_000
        found += [item["topic"] for item in event["data"]]
        if len(found) >= len(topics):
            break
    assert len(found) == len(topics)
    assert set(found) == topics


async def test_a_client_that_takes_no_byte_is_closed_and_others_go_on(valkey_url: str, store: Store) -> None:
    async with serving(valkey_url, drain_s=0.3, outbox_bytes=4_096) as door:
        async with socket(door) as stuck, open_connection(door.url) as other:
            stuck.transport.pause_reading()
            await stuck.send(json.dumps({"action": "subscribe", "requestId": "1", "topic": "#", "interval": 0}))
            await eventually(lambda: _is(door, 1, "groups"))
            await other.request("subscribe", topic="#", strategy="batch", interval=0, meta=True, snapshot=False)
            sent, fat = 0, "x" * 50_000
            events = other.events()
            while await metric(door, "clients", door="websocket") == 2:
                await store.readings(*((TOPIC, Reading(n, {"a": fat}, n)) for n in range(sent, sent + 20)))
                sent += 20
            received: list[int] = []
            while len(received) < sent:
                received += [item["seq"] for item in (await anext(events))["data"]]
            assert received == list(range(sent))
            stuck.transport.resume_reading()
            with pytest.raises(ConnectionClosed):
                while True:
                    await stuck.recv()


# Server-Sent Events


async def test_events_stream_and_resume_after_the_last_id(door: Door, store: Store) -> None:
    await store.numbers([0])
    params = {"topic": "fleets/#", "strategy": "batch", "interval": 0, "meta": "true", "snapshot": "false"}
    async with sse_stream(door, **params) as events:
        id, reply = await events.next()
        assert (id, reply["action"]) == (None, "subscribe")
        await store.numbers([1])
        id, event = await events.next()
        assert [item["seq"] for item in event["data"]] == [1]
        assert id == event["cursor"]
    await store.numbers([2, 3])
    async with sse_stream(door, {"Last-Event-ID": str(id)}, **params) as events:
        await store.numbers([4])
        assert [item["seq"] for item in await events.items(3)] == [2, 3, 4]
    async with sse_stream(door, since="0-0", **params) as events:
        assert [item["seq"] for item in await events.items(5)] == [0, 1, 2, 3, 4]


async def test_events_of_latest_begin_with_the_state_and_resume_with_what_changed(door: Door, store: Store) -> None:
    other = "fleets/berlin/v2/telemetry"
    await store.readings((TOPIC, Reading(1, {"a": 1, "b": 1})), (other, Reading(1, {"a": 1})))
    async with sse_stream(door, topic="fleets/#", signals="a,c") as events:
        await events.next()
        id, event = await events.next()
        assert {item["topic"]: item["values"] for item in event["data"]} == {TOPIC: {"a": 1}, other: {"a": 1}}
    await store.readings((other, Reading(2, {"c": 2})))
    async with sse_stream(door, {"Last-Event-ID": str(id)}, topic="fleets/#", signals="a,c") as events:
        (item,) = await events.items(1)
        assert (item["topic"], item["values"]) == (other, {"a": 1, "c": 2})


async def test_events_of_just_what_is_asked_for(door: Door, store: Store) -> None:
    def at(ts: int, latitude: float, speed: float) -> Reading:
        return Reading(ts, {"CurrentLocation.Latitude": latitude, "CurrentLocation.Longitude": 0, "Speed": speed})

    params = {"topic": "fleets/#", "interval": 0, "signals": "Speed"}
    dead_band = [{"logic-op": "gt", "diff": "2", "combination-op": "OR"}, {"logic-op": "lt", "diff": "-2"}]
    filter = json.dumps({"Speed": {"variant": "change", "parameter": dead_band}})
    fence = json.dumps({"polygon": [[-1, -1], [1, -1], [1, 1], [-1, 1]], "events": ["leave"]})
    await store.readings((TOPIC, at(1, 0, 50)))
    async with (
        sse_stream(door, **params, bbox="-1,-1,1,1", delta="true", filter=filter) as box,
        sse_stream(door, **params, geofence=fence) as fenced,
        sse_stream(door, **params | {"interval": 1}, window="max,min") as window,
    ):
        for stream in (box, fenced, window):
            await stream.items(1)  # the snapshot
        await store.readings((TOPIC, at(2, 0.5, 51)))
        await store.readings((TOPIC, at(3, 0.5, 53)))
        assert [i["values"] for i in await box.items(1)] == [{"Speed": 53}]
        await store.readings((TOPIC, at(4, 9, 53)))
        assert [(i["values"], i["event"]) for i in await box.items(1)] == [({"Speed": 53}, "leave")]
        assert [(i["values"], i["event"]) for i in await fenced.items(1)] == [({"Speed": 53}, "leave")]
        (item,) = await window.items(1)
        assert item["values"]["Speed"].keys() == {"min", "max"}


async def test_a_quiet_stream_says_that_it_is_still_there(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "KEEPALIVE_SECONDS", 0.02)
    async with sse_stream(door, topic="fleets/none/#", snapshot="false") as events:
        await events.next()
        assert (await anext(events._lines)).startswith(":")


@pytest.mark.parametrize(
    ("number", "params"),
    [
        (400, {}),
        (400, {"topic": "#/x"}),
        (400, {"topic": "#", "nonsense": "1"}),
        (400, {"topic": "#", "interval": "soon"}),
        (400, {"topic": "#", "since": "yesterday"}),
        (400, {"topic": "#", "bbox": "1,2,3"}),
        (400, {"topic": "#", "bbox": "1,2,3,north"}),
        (400, {"topic": "#", "window": "median"}),
        (400, {"topic": "#", "delta": "maybe"}),
        (400, {"topic": "#", "filter": "{"}),
        (400, {"topic": "#", "filter": "[" * 10_000}),
        (400, {"topic": "#", "filter": '{"a":{"variant":"curvelog","parameter":{"maxerr":1,"bufsize":1}}}'}),
        (400, {"topic": "#", "geofence": '{"polygon":[[0,0],[1,1]]}'}),
        (400, {"topic": "#", "delta": "true", "window": "min"}),
    ],
)
async def test_a_bad_stream_is_an_error(door: Door, number: int, params: dict[str, str]) -> None:
    response = await door.http.get("/v1/events", params=params)
    error = response.json()["error"]
    assert response.status_code == error["number"] == number
    assert "\n" not in error["description"]
    assert all(name in error["description"] or name == "topic" for name in list(params)[1:] if name != "since")


# REST


async def test_state_and_history_over_http(door: Door, store: Store) -> None:
    await store.readings((TOPIC, Reading(1, {"a": 1}, 1)), (TOPIC, Reading(2, {"b": 2}, 2)))
    state = (await door.http.get("/v1/state", params={"topic": "fleets/#"})).json()["data"]
    assert [(item["topic"], item["values"]) for item in state] == [(TOPIC, {"a": 1, "b": 2})]
    response = await door.http.get("/v1/history", params={"topic": TOPIC, "meta": "true"})
    assert response.headers["content-type"] == "application/json"
    assert [item["seq"] for item in response.json()["data"]] == [1, 2]
    assert state[0]["id"] == response.json()["data"][1]["id"]


async def test_pages_of_history_give_everything_once(door: Door, store: Store) -> None:
    for n in range(0, 240, 4):
        await store.readings(*((f"fleets/a/v{m % 7}/telemetry", Reading(m, {"n": m}, m)) for m in range(n, n + 4)))
    for limit in (1, 13, 239, 240, 241):
        found: list[Event] = []
        params: dict[str, Any] = {"topic": "fleets/#", "limit": limit, "meta": "true"}
        while True:
            page = (await door.http.get("/v1/history", params=params)).json()
            assert len(page["data"]) <= limit
            found += page["data"]
            if "cursor" not in page:
                break
            params["after"] = page["cursor"]
        assert [item["seq"] for item in found] == list(range(240))


async def test_publish_over_http_reaches_a_websocket(door: Door) -> None:
    async with open_connection(door.url) as client:
        await client.request("subscribe", topic="rooms/#", snapshot=False, interval=0)
        response = await door.http.post("/v1/publish", json={"topic": "rooms/ops", "data": {"a": [1, None]}})
        assert response.status_code == 200
        event = await anext(client.events())
        assert (event["data"][0]["id"], event["data"][0]["data"]) == (response.json()["id"], {"a": [1, None]})


@pytest.mark.parametrize(
    ("number", "reason", "body"),
    [
        (400, "bad_request", b""),
        (400, "bad_request", b"nonsense"),
        (400, "bad_request", b"\xff"),
        (400, "bad_request", b"[" * 50_000),
        (400, "bad_request", b'{"topic":"rooms/ops"}'),
        (400, "bad_request", b'{"topic":"rooms/ops","data":1,"more":1}'),
        (400, "invalid_topic", b'{"topic":"rooms/#","data":1}'),
        (403, "forbidden_topic", b'{"topic":"fleets/a/v1/telemetry","data":1}'),
        (413, "too_big", b'{"topic":"rooms/ops","data":"' + b"x" * 65_536 + b'"}'),
        (413, "too_big", b"x" * (1 << 20)),
    ],
)
async def test_a_bad_publish_has_the_error_s_number_as_its_status(
    door: Door, number: int, reason: str, body: bytes
) -> None:
    response = await door.http.post("/v1/publish", content=body, headers={"Content-Type": "application/json"})
    error = response.json()["error"]
    assert (response.status_code, error["number"], error["reason"]) == (number, number, reason)


@pytest.mark.parametrize(
    ("path", "params", "reason"),
    [
        ("state", {}, "bad_request"),
        ("state", {"topic": "a b"}, "invalid_topic"),
        ("state", {"topic": "#", "x": "1"}, "bad_request"),
        ("history", {"topic": "#", "limit": "0"}, "bad_request"),
        ("history", {"topic": "#", "from": "now"}, "bad_request"),
        ("history", {"topic": "#", "after": "now"}, "invalid_cursor"),
    ],
)
async def test_a_bad_question_is_a_400(door: Door, path: str, params: dict[str, str], reason: str) -> None:
    response = await door.http.get(f"/v1/{path}", params=params)
    assert (response.status_code, response.json()["error"]["reason"]) == (400, reason)


async def test_tokens_at_every_door(valkey_url: str) -> None:
    good = {"Authorization": f"Bearer {sign(KEY, 'anna', ['fleets/a/#', 'rooms/#'], ['rooms/ops'], 60)}"}
    wrong = {"Authorization": f"Bearer {sign('x' * 32, 'anna', ['#'], ['#'], 60)}"}
    async with serving(valkey_url, jwt_key=KEY) as door:
        for path in ("/v1/state", "/v1/history", "/v1/events"):
            asked = [
                (await door.http.get(path, params={"topic": topic}, headers=headers)).status_code
                for topic, headers in (("fleets/a/#", {}), ("fleets/a/#", wrong), ("fleets/#", good))
            ]
            assert asked == [401, 401, 403]
        assert (await door.http.get("/v1/state", params={"topic": "fleets/a/#"}, headers=good)).status_code == 200
        message = {"topic": "rooms/ops", "data": 1}
        statuses = [(await door.http.post("/v1/publish", json=message, headers=h)).status_code for h in ({}, good)]
        assert statuses == [401, 200]
        async with socket(door, **wrong) as connection:
            with pytest.raises(ConnectionClosed) as caught:
                await connection.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 4001
        async with open_connection(door.url, token=good["Authorization"][7:]) as client:
            await client.request("subscribe", topic="fleets/a/#")
            with pytest.raises(CommandError):
                await client.request("subscribe", topic="fleets/b/#")


async def test_health_metrics_and_the_index(door: Door) -> None:
    assert (await door.http.get("/healthz")).json() == {"status": "ok"}
    assert (await door.http.get("/readyz")).json() == {"ready": True}
    assert await metric(door, "feed_live") == 1
    assert "Fleetwire" in (await door.http.get("/")).text  # the page, or how to build it
    door.app.state.drain()
    response = await door.http.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"ready": False})
    assert (await door.http.get("/healthz")).status_code == 200


# Two nodes


async def test_two_nodes_give_their_clients_the_same(valkey_url: str, store: Store) -> None:
    async with AsyncExitStack() as stack:
        doors = [await stack.enter_async_context(serving(valkey_url)) for _ in range(2)]
        clients = [await stack.enter_async_context(open_connection(door.url, format="json")) for door in doors]
        for client in clients:
            await client.request("subscribe", topic="#", strategy="batch", interval=0, snapshot=False, meta=True)
        async with asyncio.TaskGroup() as group:
            for vehicle in range(3):
                group.create_task(_drive(store, f"fleets/a/v{vehicle}/telemetry"))
            group.create_task(_talk(doors))
        found = [[item async for item in _items(client.events(), 3 * 50 + 20)] for client in clients]
    assert all(item.pop("read") for items in found for item in items if "values" in item)  # each node has its own
    assert found[0] == found[1]
    orders = [parse_id(item["id"]) for item in found[0]]
    assert orders == sorted(set(orders))
    assert sorted(item["data"] for item in found[0] if item["topic"] == "rooms/ops") == list(range(20))


async def _drive(store: Store, topic: str) -> None:
    for n in range(50):
        await store.numbers([n], topic)


async def _talk(doors: list[Door]) -> None:
    for n in range(20):
        await doors[n % 2].http.post("/v1/publish", json={"topic": "rooms/ops", "data": n})


async def _items(events: AsyncIterator[Event], count: int) -> AsyncIterator[Event]:
    async for event in events:
        for item in event["data"]:
            count -= 1
            yield item
        if count == 0:
            return


# Who is let in


async def test_a_full_node_says_so_at_each_door_and_takes_others_when_there_is_room(valkey_url: str) -> None:
    async with serving(valkey_url, limits=Limits(connections=1)) as door:
        async with socket(door):
            async with socket(door) as other:
                with pytest.raises(ConnectionClosed) as caught:
                    await other.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1013
            response = await door.http.get("/v1/events", params={"topic": "#"})
            assert (response.status_code, response.json()["error"]["reason"]) == (503, "node_full")
            assert response.headers["retry-after"] == "5"
            assert (await door.http.get("/v1/state", params={"topic": "#"})).status_code == 200
        await eventually(lambda: not door.app.state.node.gate._inside)
        async with sse_stream(door, topic="#"):
            pass
        await eventually(lambda: not door.app.state.node.gate._inside)
        assert await metric(door, "refusals_total", reason="connections") == 2


async def test_a_subject_has_so_many_connections_at_all_doors(valkey_url: str) -> None:
    async with serving(valkey_url, jwt_key=KEY, limits=Limits(subject_connections=1)) as door:
        mine, other = (f"Bearer {sign(KEY, name, ['#'], [], 60)}" for name in ("mine", "other"))
        async with socket(door, Authorization=mine), socket(door, Authorization=other):
            response = await door.http.get("/v1/events", params={"topic": "#"}, headers={"Authorization": mine})
            assert (response.status_code, response.json()["error"]["reason"]) == (429, "too_many_connections")
            async with socket(door) as late:
                await late.send(json.dumps({"action": "authorize", "requestId": "1", "authorization": mine[7:]}))
                assert json.loads(await late.recv())["error"]["reason"] == "too_many_connections"
        await eventually(lambda: not door.app.state.node.gate._inside)
        async with sse_stream(door, {"Authorization": mine}, topic="#"):
            pass


# A process of its own


@asynccontextmanager
async def process(redis_url: str, *args: str) -> AsyncIterator[tuple[Program, int]]:
    port = free_port()
    with fleetwire("stream", "--redis-url", redis_url, "--port", str(port), *args) as program:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            await eventually(lambda: _ready(http))
        yield program, port


async def _ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_sends_clients_elsewhere_and_is_no_failure(
    valkey_url: str, store: Store, number: signal.Signals
) -> None:
    await store.numbers([1])
    async with process(valkey_url) as (program, port), httpx.AsyncClient() as http:
        async with open_connection(f"ws://127.0.0.1:{port}") as client:
            await client.request("subscribe", topic="#")
            assert (await anext(client.events()))["data"][0]["values"] == {"n": 1}
            async with http.stream("GET", f"http://127.0.0.1:{port}/v1/events", params={"topic": "#"}) as response:
                lines = response.aiter_lines()
                assert "subscribe" in await anext(lines)
                program.signal(number)
                rest = [line async for line in lines]
                assert '"n":1' in "".join(rest)
                assert [event async for event in client.events()] == []
            assert client.closed is not None
            assert client.closed.rcvd is not None
            assert client.closed.rcvd.code == 1012
        assert await asyncio.to_thread(program.wait) == 0
        assert "Traceback" not in program.output


async def test_a_client_comes_back_to_another_node_and_misses_nothing(valkey_url: str, store: Store) -> None:
    received: list[int] = []
    states: list[str] = []

    async def watch(urls: list[str]) -> None:
        options = {"strategy": "batch", "interval": 0, "snapshot": False, "meta": True}
        async for event in subscribe(urls, "fleets/#", on_state=states.append, **options):
            received.extend(item["seq"] for item in event["data"])

    async with (
        process(valkey_url) as (first, first_port),
        serving(valkey_url) as second,
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(watch([f"ws://127.0.0.1:{first_port}", second.url]))
        await eventually(lambda: states)
        for n in range(60):
            await store.numbers([n])
            if n == 20:
                await eventually(lambda: received)
                first.signal(signal.SIGTERM)
        await eventually(lambda: len(received) >= 60)
        task.cancel()
    assert received == list(range(60))
