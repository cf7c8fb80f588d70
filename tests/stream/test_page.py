"""The page and the client's file, as a browser asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from stream.page import routes

FOREVER = "public, max-age=31536000, immutable"


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=routes(folder)))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield http


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder as the build leaves it, with a secret beside it."""
    page = tmp_path / "page"
    for name, text in (
        ("index.html", "<title>Fleetwire</title>"),
        ("assets/index-Ab12.js", "run()"),
        ("assets/index-Cd34.css", "body{}"),
        ("client/fleetwire.js", "export const connect = 1"),
    ):
        Path(page, name).parent.mkdir(parents=True, exist_ok=True)
        Path(page, name).write_text(text)
    Path(tmp_path, "secret").write_text("secret")
    return page


async def test_the_page_is_asked_for_each_time_and_sent_when_it_is_another(built: Path) -> None:
    async with browser(built) as http:
        first = await http.get("/")
        assert (first.status_code, first.text) == (200, "<title>Fleetwire</title>")
        assert first.headers["content-type"] == "text/html; charset=utf-8"
        assert first.headers["cache-control"] == "no-cache"
        again = await http.get("/", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == "no-cache"
        built.joinpath("index.html").write_text("<title>Fleetwire 2</title>")
        other = await http.get("/", headers={"If-None-Match": first.headers["etag"]})
        assert (other.status_code, other.text) == (200, "<title>Fleetwire 2</title>")


@pytest.mark.parametrize(("name", "type"), [("index-Ab12.js", "javascript"), ("index-Cd34.css", "css")])
async def test_an_asset_is_kept_for_ever(built: Path, name: str, type: str) -> None:
    async with browser(built) as http:
        found = await http.get(f"/assets/{name}")
        assert (found.status_code, found.headers["cache-control"]) == (200, FOREVER)
        assert type in found.headers["content-type"]
        assert "access-control-allow-origin" not in found.headers
        assert (await http.head(f"/assets/{name}")).headers["content-length"] == str(len(found.content))


async def test_the_client_may_be_imported_by_pages_from_elsewhere(built: Path) -> None:
    async with browser(built) as http:
        found = await http.get("/client/fleetwire.js", headers={"Origin": "http://elsewhere"})
        assert found.text == "export const connect = 1"
        assert found.headers["access-control-allow-origin"] == "*"
        assert found.headers["cache-control"] == "no-cache"  # its name stays the same
        assert "javascript" in found.headers["content-type"]


@pytest.mark.parametrize(
    "path",
    ["assets/none.js", "assets/", "client/..%2f..%2fsecret", "secret", "assets/%2e%2e/%2e%2e/secret"],
)
async def test_nothing_else_is_served(built: Path, path: str) -> None:
    async with browser(built) as http:
        found = await http.get(f"/{path}")
        assert found.status_code == 404
        assert "secret" not in found.text
        assert "cache-control" not in found.headers  # it may come with the next build


async def test_a_node_without_a_page_says_how_to_build_it(tmp_path: Path) -> None:
    async with browser(tmp_path) as http:
        found = await http.get("/")
        assert found.status_code == 200
        assert found.headers["content-type"].startswith("text/plain")
        assert "make install" in found.text
        assert "/v1/stream" in found.text
