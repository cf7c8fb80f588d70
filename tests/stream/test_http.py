"""Requests that nobody should make: what is not there, other methods, HEAD, what is said twice."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from redis.asyncio import Redis

from tests.stream.nodes import Store
from tests.stream.test_downloads import serving
from wire.openapi import document

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


NONSENSE = [
    *("", "%00", "%ED%A0%80", "%FF", "%zz", "%0d%0a", "%D9%A1", "9" * 5_000, "1e400", "nan", "null", ",", "(?:a*)*b"),
    *("%5B" * 3_000, "9223372036854775807-9999999999", "nan,nan,nan,nan", "cA"),
    "%7B%22polygon%22:%5B%5B0,0%5D,%5B0,0%5D,%5B0,0%5D%5D%7D",
    "%7B%22%5Cud800%22:%7B%22variant%22:%22timebased%22,%22parameter%22:%7B%22period%22:1%7D%7D%7D",
]


@pytest.mark.parametrize("path", ["/v1/state", "/v1/history", "/v1/events"])
async def test_nonsense_in_a_parameter_is_refused_or_answered(
    http: httpx.AsyncClient, redis_client: Redis, path: str
) -> None:
    await Store(redis_client).numbers([1])
    for name in (field["name"] for field in document()["paths"][path]["get"]["parameters"] if field["in"] == "query"):
        for value in NONSENSE:
            topic = "" if name == "topic" else "topic=%23&"
            async with http.stream("GET", f"{path}?{topic}{name}={value}") as response:
                assert response.status_code in (200, 400), (name, value)
                if response.status_code == 400:
                    await response.aread()
                    assert response.json()["error"]["number"] == 400


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"1e400", 400),
        (b"1" + b"0" * 400, 400),
        (b"18446744073709551615", 400),
        (b"NaN", 400),
        (b'"\\ud800"', 400),
        (b'"\xed\xa0\x80"', 400),
        (b'"\xff"', 400),
        (b'{"\\ud800":1}', 400),
        (b"[" * 33 + b"]" * 33, 400),
        (b"[" * 20_000, 400),
        (b"-9223372036854775808", 200),
        (b"5e-324", 200),
        (b'{"\\u0000":"\\u0000\\ufffd"}', 200),
        (b"[" * 32 + b"]" * 32, 200),
    ],
)
async def test_what_is_said_can_be_read_by_all_or_is_refused(
    http: httpx.AsyncClient, data: bytes, status: int
) -> None:
    body = b'{"topic":"rooms/ops","data":' + data + b"}"
    response = await http.post("/v1/publish", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    for format in ("json", "msgpack", "csv", "ndjson"):
        page = await http.get("/v1/history", params={"topic": "rooms/#", "format": format, "meta": "true"})
        assert page.status_code == 200
        assert (b"ops" in page.content) == (status == 200)
