"""What a real node answers is what the OpenAPI document says that it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgpack
from jsonschema import Draft202012Validator
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Route

from stream import page
from stream.app import create_app
from stream.auth import sign
from stream.settings import Settings
from stream.tables import Csv, Ndjson
from tests.programs import eventually
from tests.stream.nodes import TOPIC, Store
from wire.openapi import document
from wire.reading import Reading

DOCUMENT = document()
KEY = "k" * 32
MIXED = {"Speed": 5.5, "Gear": "D", "On": True, "Off": None}


@asynccontextmanager
async def serving(redis_url: str, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a node in this process."""
    app = create_app(Settings(redis_url=redis_url, **changes))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        await eventually(app.state.node.ready)
        yield http


def check(response: httpx.Response) -> None:
    """The answer is one of its operation's: its status, its type, its headers, and what is in it."""
    request = response.request
    answers = DOCUMENT["paths"][request.url.path][request.method.lower()]["responses"]
    answer = answers[str(response.status_code)]
    kind = response.headers["content-type"].partition(";")[0]
    schema = answer["content"][kind]["schema"]
    for name, header in answer.get("headers", {}).items():
        assert name in response.headers or not header.get("required")
    found: Any = response.text
    if kind.endswith("json") and not kind.endswith("ndjson"):
        found = response.json()
    elif kind == "application/msgpack":
        found = msgpack.unpackb(response.content)
    problems = Draft202012Validator(schema | {"components": DOCUMENT["components"]}).iter_errors(found)
    assert [(list(problem.path), problem.message) for problem in problems] == []


def test_each_route_is_in_it_and_nothing_else() -> None:
    app: Starlette = create_app(Settings())
    pages = {route.path for route in page.routes()}
    served = {
        (route.path, method)
        for route in app.routes
        if isinstance(route, Route) and route.path not in pages
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == served


def test_downloads_are_of_the_types_that_it_names() -> None:
    content = DOCUMENT["paths"]["/v1/history"]["get"]["responses"]["200"]["content"]
    assert {table.media_type.partition(";")[0] for table in (Csv, Ndjson)} < set(content)


async def test_each_answer_is_as_it_says(valkey_url: str, redis_client: Redis) -> None:
    async with serving(valkey_url) as http:
        await Store(redis_client).readings((TOPIC, Reading(1, MIXED, 7, received=9)))
        check(await http.post("/v1/publish", json={"topic": "rooms/ops", "data": {"a": [1, None]}}))
        asked: list[tuple[str, dict[str, Any]]] = [
            ("/v1/state", {"topic": "#", "meta": "true"}),
            ("/v1/history", {"topic": "#", "meta": "true", "limit": 1}),
            ("/v1/history", {"topic": "#", "signals": "Speed,Gear"}),
            ("/v1/history", {"topic": "#", "window": 1000}),
            ("/v1/history", {"topic": "#", "format": "msgpack"}),
            ("/v1/history", {"topic": "#", "format": "msgpack", "window": 1000}),
            ("/v1/history", {"topic": "#", "format": "csv"}),
            ("/v1/history", {"topic": "#", "format": "ndjson"}),
            *(
                (path, {})
                for path in DOCUMENT["paths"]
                if path not in ("/v1/publish", "/v1/events", "/v1/state", "/v1/history")
            ),
        ]
        for path, params in asked:
            response = await http.get(path, params=params)
            assert response.status_code == 200, response.text
            check(response)


async def test_each_refusal_is_as_it_says(valkey_url: str) -> None:
    narrow = {"Authorization": f"Bearer {sign(KEY, 'anna', ['rooms/a'], ['rooms/a'], 60)}"}
    everything = {"Authorization": f"Bearer {sign(KEY, 'anna', ['#'], ['#'], 60)}"}
    json = {"Content-Type": "application/json"}
    async with serving(valkey_url, jwt_key=KEY) as http:
        for path in ("/v1/state", "/v1/history", "/v1/events"):
            for status, params, headers in (
                (400, {}, everything),
                (400, {"topic": "a b"}, everything),
                (401, {"topic": "rooms/a"}, {}),
                (401, {"topic": "a b", "more": 1}, {}),  # who shows no token is told no more
                (401, {"topic": "rooms/a"}, {"Authorization": "Bearer x"}),
                (403, {"topic": "rooms/b"}, narrow),
            ):
                response = await http.get(path, params=params, headers=headers)
                assert response.status_code == status
                check(response)
        for status, content, headers in (
            (400, b"{}", everything | json),
            (401, b'{"topic":"rooms/a","data":1}', json),
            (401, b"nonsense", {}),
            (403, b'{"topic":"rooms/b","data":1}', narrow | json),
            (404, b'{"topic":"fleets/a/b/commands","data":{}}', everything | json),
            (413, b"x" * 100_000, everything | json),
            (415, b'{"topic":"rooms/a","data":1}', everything),
        ):
            response = await http.post("/v1/publish", content=content, headers=headers)
            assert response.status_code == status, response.text
            check(response)


async def test_a_page_from_elsewhere_is_refused_as_it_says(valkey_url: str) -> None:
    async with serving(valkey_url) as http:
        for path, methods in DOCUMENT["paths"].items():
            response = await http.request(next(iter(methods)), path, headers={"Origin": "http://elsewhere"})
            assert (response.status_code == 403) == ("403" in next(iter(methods.values()))["responses"])
            if response.status_code == 403:
                check(response)


async def test_without_redis_the_answers_are_as_it_says() -> None:
    app = create_app(Settings(redis_url="redis://127.0.0.1:1"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        for path in ("/v1/history", "/readyz"):
            response = await http.get(path, params={"topic": "#"} if path.startswith("/v1") else {})
            assert response.status_code == 503
            check(response)
