"""What every answer of a node tells a browser not to do."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from stream.app import create_app
from stream.guard import Guard, page_policy
from stream.page import PAGE
from stream.settings import Settings
from wire.errors import SettingsError

NODE = create_app(Settings(map_origins=("https://tiles.example:8443", "https://*.maps.example")))
WORKERS = list(Path(PAGE, "assets").glob("maplibre-gl-worker-*.js"))
DATA = "default-src 'none'; frame-ancestors 'none'"


async def asked(path: str, method: str = "GET", scheme: str = "http", app: Starlette = NODE) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://127.0.0.1") as http:
        return await http.request(method, path)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "GET"),
        ("/assets/none.js", "GET"),
        ("/client/fleetwire.js", "GET"),
        ("/v1/asyncapi.json", "GET"),
        ("/v1/map/layer", "GET"),
        ("/v1/history", "GET"),
        ("/v1/publish", "GET"),
        ("/nowhere", "GET"),
        ("/healthz", "HEAD"),
        ("/metrics", "GET"),
    ],
)
async def test_every_answer_says_it(path: str, method: str) -> None:
    headers = (await asked(path, method)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "strict-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == ("cross-origin" if "/client/" in path else "same-origin")
    assert "geolocation=()" in headers["permissions-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" not in headers
    (policy,) = headers.get_list("content-security-policy")
    if path != "/" or not PAGE.exists():
        assert policy == DATA


async def test_an_accident_says_it_too_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NODE.state.node, "metrics", None)
    transport = httpx.ASGITransport(NODE, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.get("/metrics")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_by_tls_a_browser_is_told_to_stay_there() -> None:
    assert (await asked("/healthz", scheme="https")).headers["strict-transport-security"] == "max-age=31536000"


def test_the_page_runs_its_own_scripts_only() -> None:
    policy = dict(part.split(" ", 1) for part in page_policy(("https://tiles.example",)).split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["worker-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self' https://tiles.example"
    assert policy["img-src"] == "'self' data: blob: https://tiles.example"
    assert "unsafe" not in page_policy()
    assert "http" not in page_policy()


@pytest.mark.skipif(not WORKERS, reason="the page is not built")
async def test_the_page_and_its_worker_have_the_policy() -> None:
    for path in ("/", f"/assets/{WORKERS[0].name}"):
        policy = (await asked(path)).headers["content-security-policy"]
        assert "connect-src 'self' https://tiles.example:8443 https://*.maps.example;" in policy
    text = PAGE.joinpath("index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|\bstyle=", text), "none of it would be run"


@pytest.mark.parametrize(
    "origin",
    ["*", "tiles.example", "https://tiles.example/path", "https://a.example; script-src *", "https://a b", ""],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match=r"--map-origin \(FLEETWIRE_MAP_ORIGIN\) must look like"):
        Settings(map_origins=(origin,))


def test_a_websocket_goes_past_it() -> None:
    passed = object()
    guard = Guard(lambda scope, receive, send: (passed, send))  # type: ignore[arg-type, return-value]
    send = object()
    assert guard({"type": "websocket"}, None, send) == (passed, send)  # type: ignore[arg-type, comparison-overlap]
