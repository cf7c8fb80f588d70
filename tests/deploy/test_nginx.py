"""Nodes behind nginx: the very nginx.conf in a real nginx, before two real nodes."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from fleetwire.client import open_connection, subscribe
from stream.settings import Settings
from tests.authority import Authority
from tests.deploy.deployed import check, edited_folder, services
from tests.programs import Program, eventually, fleetwire, free_port, nginx, valkey
from wire.reading import Reading, encode
from wire.store import SCRIPT, Entry, Retention, arguments, pack_parts

NODES = ("stream-1", "stream-2")


class Node(NamedTuple):
    """A node, and where it is without nginx."""

    port: int
    program: Program

    async def clients(self) -> int:
        """How many WebSocket clients it has; none when it is down."""
        try:
            async with httpx.AsyncClient() as http:
                text = (await http.get(f"http://127.0.0.1:{self.port}/metrics")).text
        except httpx.TransportError:
            return 0
        return sum(
            int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "fleetwire_stream_clients" and sample.labels["door"] == "websocket"
        )

    async def healthy(self) -> bool:
        """What the health check of Compose says."""
        return (await asyncio.to_thread(check, "stream-1", {"8000": str(self.port)})).returncode == 0


class Deployment(NamedTuple):
    """Two nodes behind nginx."""

    port: int
    redis: str
    nodes: tuple[Node, ...]
    nginx: Program

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"ws://127.0.0.1:{self.port}"

    def http(self) -> httpx.AsyncClient:
        """A client of nginx."""
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=10)


@contextmanager
def balancer(ports: tuple[int, ...], more: Mapping[str, str] | None = None) -> Iterator[tuple[int, Program]]:
    """The nginx of docker-compose.yml before nodes on these ports; with `more` changed."""
    port = free_port()
    changes = before(ports) | {"listen 8000": f"listen 127.0.0.1:{port}"} | dict(more or {})
    with nginx(edited_folder("deploy/nginx", changes), "nginx.conf", port) as it:
        yield port, it.program


def before(ports: tuple[int, ...]) -> dict[str, str]:
    return {f"{name}:8000": f"127.0.0.1:{own}" for name, own in zip(NODES, ports, strict=True)}


@contextmanager
def deployment() -> Iterator[Deployment]:
    with ExitStack() as stack:
        redis = stack.enter_context(valkey())
        ports = (free_port(), free_port())
        layer = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-test-")), "layer.geojson")
        layer.write_text('{"type":"Point","coordinates":[13.4,52.5]}')
        nodes = []
        for name, port in zip(NODES, ports, strict=True):
            environment = services()[name]["environment"] | {
                "FLEETWIRE_REDIS_URL": redis,
                "FLEETWIRE_HOST": "127.0.0.1",
                "FLEETWIRE_PORT": port,
                "FLEETWIRE_MAP_LAYER": layer,
            }
            set_ones = {key: str(value) for key, value in environment.items() if value is not None}
            nodes.append(Node(port, stack.enter_context(fleetwire("stream", env=set_ones))))
        port, program = stack.enter_context(balancer(ports))
        asyncio.run(ready(nodes))
        yield Deployment(port, redis, tuple(nodes), program)


async def ready(nodes: list[Node]) -> None:
    for node in nodes:
        assert await eventually(node.healthy)


@pytest.fixture(scope="module")
def shared() -> Iterator[Deployment]:
    """A deployment for tests that stop nothing."""
    with deployment() as running:
        yield running


@pytest.fixture
def own() -> Iterator[Deployment]:
    """A deployment for one test."""
    with deployment() as running:
        yield running


async def say(http: httpx.AsyncClient, room: str, data: Any) -> None:
    response = await http.post("/v1/publish", json={"topic": f"rooms/{room}", "data": data})
    assert response.status_code == 200, response.text


class Subscriber:
    """A client that keeps what it gets, over every loss of a node."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.states: list[str] = []

    async def run(self, url: str, topic: str) -> None:
        """Until cancelled."""
        events = subscribe([url], topic, on_state=self.states.append, strategy="batch", interval=0)
        async for event in events:
            assert event["action"] == "subscription", event
            self.items += event["data"]

    @property
    def said(self) -> list[Any]:
        """What was said in a room."""
        return [item["data"] for item in self.items]


@asynccontextmanager
async def subscriber(deployed: Deployment, topic: str) -> AsyncIterator[Subscriber]:
    """A connected subscriber."""
    found = Subscriber()
    task = asyncio.create_task(found.run(deployed.url, topic))
    try:
        await eventually(lambda: found.states or task.done())
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_who_asks_too_fast_is_told_to_wait_and_streams_are_not_counted(shared: Deployment) -> None:
    few = {"rate=100r/s": "rate=1r/m", "burst=1000": "burst=3"}
    with balancer(tuple(node.port for node in shared.nodes), few) as (port, _):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
            found = [(await http.get("/v1/state", params={"topic": "#"})).status_code for _ in range(6)]
            assert found == [200] * 4 + [429] * 2
        async with open_connection(f"ws://127.0.0.1:{port}") as connection:
            await connection.request("ping")


async def test_live_messages_and_readings_come_through(shared: Deployment) -> None:
    async with subscriber(shared, "rooms/live") as room, subscriber(shared, "fleets/live/#") as fleet:
        async with shared.http() as http:
            await say(http, "live", "hello")
        entry = Entry("fleets/live/v1/telemetry", encode(Reading(1, {"Speed": 54.2}, received=1)), 1, pack_parts([]))
        names, args = arguments([entry], Retention())
        async with Redis.from_url(shared.redis) as redis:
            await redis.register_script(SCRIPT)(keys=names, args=args)
        await eventually(lambda: room.items and fleet.items)
        assert room.said == ["hello"]
        assert [item["values"] for item in fleet.items] == [{"Speed": 54.2}]


@pytest.mark.parametrize(
    "path", ["/", "/client/fleetwire.js", "/v1/map/layer", "/v1/asyncapi.json", "/v1/openapi.json"]
)
async def test_the_page_and_what_it_asks_for_come_through(shared: Deployment, path: str) -> None:
    async with shared.http() as http:
        expected = await http.get(f"http://127.0.0.1:{shared.nodes[0].port}{path}")
        found = await http.get(path)
    assert (found.status_code, found.text) == (expected.status_code, expected.text)
    for name in ("content-type", "cache-control", "access-control-allow-origin"):
        assert found.headers.get(name) == expected.headers.get(name)


async def test_answers_are_compressed_on_their_way(shared: Deployment) -> None:
    async with shared.http() as http:
        found = await http.get("/v1/asyncapi.json")
        assert found.headers["content-encoding"] == "gzip"
        plain = await http.get("/v1/asyncapi.json", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == found.content


async def test_clients_are_spread_evenly(shared: Deployment) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(open_connection(shared.url))
        assert [await node.clients() for node in shared.nodes] == [5, 5]

    async def gone() -> bool:
        return not any([await node.clients() for node in shared.nodes])

    await eventually(gone)


async def test_events_are_not_held_back(shared: Deployment) -> None:
    async with shared.http() as http, http.stream("GET", "/v1/events?topic=rooms/sse&interval=0") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        async with asyncio.timeout(10):
            for number in range(3):
                await say(http, "sse", number)
                assert await said(lines) == [number]  # while the answer is still being sent


async def said(lines: AsyncIterator[str]) -> list[Any]:
    """What the next event with something in it carries."""
    async for line in lines:
        kind, _, value = line.partition(": ")
        if kind == "data" and (data := json.loads(value).get("data")):
            return [item["data"] for item in data]
    pytest.fail("the stream has ended")


async def test_an_upload_bigger_than_a_node_takes_is_refused(shared: Deployment) -> None:
    most = Settings().frame_bytes
    payload = {"topic": "rooms/big", "data": ""}
    spare = most - len(json.dumps(payload))
    async with shared.http() as http:
        http.headers["Content-Type"] = "application/json"
        fits = await http.post("/v1/publish", content=json.dumps(payload | {"data": "x" * (spare - 1_000)}))
        assert fits.status_code == 200
        refused = await http.post("/v1/publish", content=json.dumps(payload | {"data": "x" * (spare + 1)}))
        assert refused.status_code == 413
        assert "nginx" in refused.text  # no node has seen it


async def test_metrics_are_not_for_everyone(shared: Deployment) -> None:
    async with shared.http() as http:
        assert (await http.get("/readyz")).json() == {"ready": True}
        assert (await http.get("/metrics")).status_code == 404


def test_nginx_is_not_root(shared: Deployment) -> None:
    status = Path(f"/proc/{shared.nginx.pid}/status").read_text()
    assert "\nUid:\t0" not in status


async def test_nginx_is_healthy_without_nodes() -> None:
    with balancer((free_port(), free_port())) as (port, program):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert (await http.get("/healthz")).text == "ok\n"
            assert (await http.get("/v1/state?topic=rooms/ops")).status_code == 502
        assert (await asyncio.to_thread(check, "nginx", {"8000": str(port)})).returncode == 0
        program.stop()
        assert (await asyncio.to_thread(check, "nginx", {"8000": str(port)})).returncode != 0


class Secure(NamedTuple):
    """tls.conf before the nodes of a deployment."""

    port: int
    plain_port: int
    authority: Authority


@pytest.fixture(scope="module")
def secure(shared: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    issued = authority.issue("127.0.0.1")
    port, plain_port = free_port(), free_port()
    changes = {
        "listen 8443": f"listen 127.0.0.1:{port}",
        "listen 8080": f"listen 127.0.0.1:{plain_port}",
        "/run/secrets/tls_cert": "node.pem",
        "/run/secrets/tls_key": "node.key",
    }
    files = edited_folder("deploy/nginx", before(tuple(node.port for node in shared.nodes)) | changes)
    files |= {"node.pem": issued.cert.read_text(), "node.key": issued.key.read_text()}
    with nginx(files, "tls.conf", port):
        yield Secure(port, plain_port, authority)


async def test_by_tls_all_comes_through_and_a_browser_is_told_to_stay(secure: Secure) -> None:
    trusting = secure.authority.trusting()
    async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{secure.port}", verify=trusting) as http:
        for path in ("/", "/v1/state?topic=rooms/x", "/healthz"):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]
    async with connect(f"wss://127.0.0.1:{secure.port}/v1/stream", ssl=trusting) as socket:
        await socket.send('{"action":"ping","requestId":"1"}')
        assert '"ping"' in str(await socket.recv())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_not_spoken(secure: Secure) -> None:
    old = secure.authority.trusting()
    old.minimum_version, old.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    async with httpx.AsyncClient(verify=old) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(f"https://127.0.0.1:{secure.port}/healthz")


async def test_who_comes_without_tls_is_sent_there(secure: Secure) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{secure.plain_port}") as http:
        answer = await http.get("/v1/state?topic=rooms/x")
        assert answer.status_code == 308
        assert answer.headers["location"] == "https://127.0.0.1/v1/state?topic=rooms/x"
        assert (await http.get("/healthz")).text == "ok\n"


def test_no_log_has_a_query() -> None:
    with tempfile.TemporaryDirectory(prefix="fleetwire-test-") as folder:
        Path(folder).chmod(0o777)
        requests = Path(folder, "requests.log")
        more = {"access_log off;": f"access_log {requests} path;"}
        with balancer((free_port(), free_port()), more) as (port, program):
            url = f"http://127.0.0.1:{port}/v1"
            assert httpx.get(f"{url}/state?topic=rooms/ops&token=canary").status_code == 502
            assert httpx.post(f"{url}/publish?token=canary", content=b"x" * 100_000).status_code == 413
            program.stop()
            logs = requests.read_text()
            said = [line.split()[2:5] for line in logs.splitlines()]
            assert said == [["GET", "/v1/state", "502"], ["POST", "/v1/publish", "413"]]
            assert "canary" not in logs + program.output


async def test_a_stopping_node_hands_its_clients_over(own: Deployment) -> None:
    states = await moved(own, lambda node: node.program.signal(signal.SIGTERM))
    assert any("1012" in state for state in states), states


async def test_clients_of_a_node_that_dies_come_back(own: Deployment) -> None:
    await moved(own, lambda node: node.program.kill())


async def moved(deployed: Deployment, end: Callable[[Node], None]) -> list[str]:
    """End the node that serves a client, while somebody publishes: the client must miss nothing and get nothing
    twice. Gives what the client said of its connection."""
    async with subscriber(deployed, "rooms/ops") as client, deployed.http() as http:
        clients = [await node.clients() for node in deployed.nodes]
        assert sorted(clients) == [0, 1]
        serving, other = deployed.nodes if clients == [1, 0] else deployed.nodes[::-1]
        for number in range(30):
            await say(http, "ops", number)
        await eventually(lambda: len(client.said) == 30)
        end(serving)
        for number in range(30, 60):  # while the client is on its way
            await say(http, "ops", number)

        async def arrived() -> bool:
            return await other.clients() == 1

        assert await eventually(arrived)
        for number in range(60, 90):
            await say(http, "ops", number)
        await eventually(lambda: len(client.said) >= 90)
        assert client.said == list(range(90))
        return client.states
