"""The browser client in a page that nobody has built."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from tests.browser.chromium import opened
from tests.browser.conftest import Quiet
from wire.clock import now_ms
from wire.reading import Reading

EXAMPLE = Path(__file__).parents[2] / "dashboard" / "client" / "example.html"


async def test_the_readme_s_page_shows_what_comes(quiet: Quiet) -> None:
    await quiet.store.readings(("fleets/test/car1/telemetry", Reading(now_ms(), {"Speed": 41.0})))
    # Any place at the node. What that is allowed does not count for a page which somebody else serves there.
    async with opened(f"{quiet.url}healthz", bears="favicon.ico", bypass_csp=True) as page:
        await page.set_content(EXAMPLE.read_text())
        await expect(page.locator("body")).to_contain_text("41")
        await quiet.store.readings(("fleets/test/car1/telemetry", Reading(now_ms(), {"Speed": 42.5})))
        await expect(page.locator("body")).to_contain_text("42.5")


def test_the_readme_has_it_whole() -> None:
    readme = (EXAMPLE.parents[2] / "README.md").read_text()
    page = EXAMPLE.read_text()
    assert page in readme
    assert len(page.splitlines()) <= 30
