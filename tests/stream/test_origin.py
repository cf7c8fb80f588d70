"""Pages from elsewhere, at every door of a node: refused, unless the operator names them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from stream.origin import allowed, is_local
from tests.programs import eventually, fleetwire, free_port, wait_for_port

FRIEND = "https://Friend.example:8443"
DOORS = [
    ("GET", "/v1/state?topic=%23"),
    ("GET", "/v1/history?topic=%23"),
    ("GET", "/v1/events?topic=%23"),
    ("POST", "/v1/publish"),
    ("GET", "/v1/nothing"),
]
STRANGERS = [
    "https://evil.example",
    "null",
    "http://127.0.0.1",
    "http://evil.example:{port}",
    "https://friend.example",
]


@pytest.fixture(scope="module")
def serving(session_valkey: str) -> Iterator[int]:
    port = free_port()
    with fleetwire("stream", "--redis-url", session_valkey, "--port", str(port), "--origin", FRIEND):
        yield port


@pytest.fixture
async def node(serving: int) -> int:
    async def ready() -> bool:
        try:
            async with httpx.AsyncClient() as http:
                return (await http.get(f"http://127.0.0.1:{serving}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    await eventually(ready)
    return serving


async def ask(port: int, method: str, path: str, **headers: str) -> httpx.Response:
    """The head of the answer is enough: events never end."""
    async with (
        httpx.AsyncClient() as http,
        http.stream(method, f"http://127.0.0.1:{port}{path}", headers=headers) as response,
    ):
        if response.status_code != 200:
            await response.aread()
        return response


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize(("method", "path"), DOORS)
async def test_a_page_from_elsewhere_is_refused(node: int, method: str, path: str, stranger: str) -> None:
    response = await ask(node, method, path, Origin=stranger.format(port=node))
    assert response.status_code == 403
    assert response.json()["error"]["reason"] == "forbidden_origin"
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_it_gets_no_websocket(node: int, stranger: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(f"ws://127.0.0.1:{node}/v1/stream", origin=Origin(stranger.format(port=node))):
            pass
    assert caught.value.response.status_code == 403
    assert b"forbidden_origin" in caught.value.response.body


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:{port}", "https://127.0.0.1:{port}", FRIEND])
async def test_who_is_no_page_or_one_of_ours_is_served(node: int, origin: str | None) -> None:
    said = origin and origin.format(port=node)
    async with connect(f"ws://127.0.0.1:{node}/v1/stream", origin=said and Origin(said)) as connection:
        assert connection.protocol.state.name == "OPEN"
    for method, path in DOORS[:3]:
        response = await ask(node, method, path, **({"Origin": said} if said else {}))
        assert response.status_code == 200
        assert response.headers.get("access-control-allow-origin") == (FRIEND if origin == FRIEND else None)


async def test_a_friend_may_ask_first(node: int) -> None:
    headers = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    response = await ask(node, "OPTIONS", "/v1/publish", Origin=FRIEND, **headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == FRIEND
    assert "POST" in response.headers["access-control-allow-methods"]
    assert (await ask(node, "OPTIONS", "/v1/publish", Origin="https://evil.example", **headers)).status_code == 403


async def test_a_friend_reads_errors_too(node: int) -> None:
    response = await ask(node, "GET", "/v1/state", Origin=FRIEND)
    assert response.status_code == 400
    assert response.headers["access-control-allow-origin"] == FRIEND


async def test_what_is_for_everybody_is_for_everybody(node: int) -> None:
    assert (await ask(node, "GET", "/healthz", Origin="https://evil.example")).status_code == 200


@given(st.from_regex(r"\A[a-z]{1,9}(\.[a-z]{1,9})?(:[0-9]{1,5})?\Z"), st.from_regex(r"\A[a-z]{1,9}(:[0-9]{1,5})?\Z"))
def test_an_origin_is_a_hosts_own_when_they_are_the_same(host: str, other: str) -> None:
    assert allowed(f"https://{host}", host.upper(), [])
    assert allowed(f"https://{other}", host, []) is (host == other)
    assert allowed(f"https://{other}", host, [f"https://{other}"])
    assert allowed(other, host, ["*"])


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1:8000", True),
        ("127.0.0.1", True),
        ("127.1.2.3:8000", True),
        ("localhost:8000", True),
        ("LOCALHOST", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("", False),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("evil.example/127.0.0.1", False),
        ("localhost.evil.example", False),
        ("[::1].evil.example", False),
        ("[::2]", False),
        ("10.0.0.1", False),
        ("127.0.0.1:8000, evil.example", False),
        ("[::1", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local


@pytest.mark.parametrize(("method", "path"), [*DOORS, ("GET", "/"), ("GET", "/metrics")])
async def test_a_name_that_was_made_to_lead_here_is_refused(node: int, method: str, path: str) -> None:
    """To a browser a page of evil.example, whose address is now 127.0.0.1, is of this node's origin."""
    for headers in ({}, {"Origin": f"http://evil.example:{node}"}):
        answer = await ask(node, method, path, Host=f"evil.example:{node}", **headers)
        assert answer.status_code == 403


async def test_nor_does_it_get_a_websocket(node: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(f"ws://evil.example:{node}/v1/stream", host="127.0.0.1"):
            pass
    assert caught.value.response.status_code == 403


async def test_where_tokens_are_needed_a_node_may_have_any_name(session_valkey: str) -> None:
    port = free_port()
    with fleetwire("stream", "--redis-url", session_valkey, "--port", str(port), "--jwt-key", "k" * 32) as program:
        wait_for_port(program, port)
        assert (await ask(port, "GET", "/healthz", Host="fleet.example")).status_code == 200
