"""Requests that nobody should make: what is not there, other methods, HEAD, what is said twice."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from redis.asyncio import Redis

from tests.stream.nodes import Store
from tests.stream.test_downloads import serving

BODY = b'{"topic":"rooms/ops","data":1}'


@pytest.fixture
async def http(valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(valkey_url) as client:
        yield client


def refused(response: httpx.Response, number: int, reason: str) -> bool:
    """Whether it is the error map, as everywhere."""
    error = response.json()["error"]
    return (response.status_code, error["number"], error["reason"]) == (number, number, reason)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/state",
        "/v1",
        "/v1/state/",
        "/v1/stream",
        "/assets/none.js",
        "/assets/%00",
        "/client/../../secret",
        "/%ff",
    ],
)
async def test_what_is_not_there_is_a_404_with_the_error_map(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)
    assert refused(response, 404, "not_found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/state", {"GET", "HEAD"}),
        ("/v1/publish", {"POST"}),
        ("/v1/openapi.json", {"GET", "HEAD"}),
        ("/v1/map/layer", {"GET", "HEAD"}),
        ("/metrics", {"GET", "HEAD"}),
        ("/", {"GET", "HEAD"}),
    ],
)
async def test_another_method_is_a_405_that_says_which_are_allowed(
    http: httpx.AsyncClient, path: str, allowed: set[str]
) -> None:
    for method in {"GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "QUERY"} - allowed:
        response = await http.request(method, path)
        assert refused(response, 405, "method_not_allowed"), method
        assert set(response.headers["allow"].split(", ")) == allowed


async def test_head_is_get_without_the_body(http: httpx.AsyncClient) -> None:
    for path, params in (
        ("/v1/state", {"topic": "#"}),
        ("/v1/history", {"topic": "#"}),
        ("/v1/history", {"topic": "#", "format": "csv"}),
        ("/v1/openapi.json", {}),
        ("/healthz", {}),
    ):
        got, head = await http.get(path, params=params), await http.head(path, params=params)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]


async def test_head_of_a_download_reads_nothing(http: httpx.AsyncClient, redis_client: Redis) -> None:
    await Store(redis_client).numbers(range(10))
    await redis_client.config_resetstat()
    for format in ("csv", "ndjson"):
        head = await http.head("/v1/history", params={"topic": "#", "format": format})
        assert (head.status_code, head.content) == (200, b"")
    assert "cmdstat_xrange" not in await redis_client.info("commandstats")


async def test_head_of_events_ends_and_nobody_stays(http: httpx.AsyncClient) -> None:
    head = await http.head("/v1/events", params={"topic": "#"}, timeout=5)
    assert head.status_code == 200
    assert head.headers["content-type"].startswith("text/event-stream")
    assert "fleetwire_stream_groups 0.0" in (await http.get("/metrics")).text
    assert (await http.head("/v1/events")).status_code == 400


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("state", "topic=%23&topic=%23"),
        ("history", "topic=%23&limit=1&limit=2"),
        ("history", "topic=%23&format=csv&format=json"),
        ("history", "topic=%23&signals=a&signals=b"),
        ("events", "topic=%23&topic=rooms/a"),
    ],
)
async def test_a_parameter_that_is_given_twice_is_refused(http: httpx.AsyncClient, path: str, query: str) -> None:
    assert refused(await http.get(f"/v1/{path}?{query}"), 400, "bad_request")


@pytest.mark.parametrize(
    "kind",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonl", "json"],
)
async def test_a_body_that_is_not_said_to_be_json_is_not_read(http: httpx.AsyncClient, kind: str | None) -> None:
    """A page from elsewhere can send such a body without asking (no preflight), JSON it can't."""
    headers = {} if kind is None else {"Content-Type": kind}
    assert refused(await http.post("/v1/publish", content=BODY, headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON ;x=y"])
async def test_a_body_that_is_said_to_be_json_is_taken(http: httpx.AsyncClient, kind: str) -> None:
    response = await http.post("/v1/publish", content=BODY, headers={"Content-Type": kind})
    assert response.status_code == 200
