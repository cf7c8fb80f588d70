"""What a page shows when it may not, or cannot, be live."""

from __future__ import annotations

import subprocess
import sys

from playwright.async_api import expect

from tests.browser.chromium import opened, shot
from tests.browser.conftest import Quiet
from tests.browser.manners import violations
from tests.browser.test_fleet import vehicles
from tests.e2e.system import get
from tests.programs import eventually, fleetwire, free_port
from wire.clock import now_ms
from wire.reading import Reading

KEY = "a-key-of-at-least-thirty-two-bytes"


def token(*grants: str) -> str:
    """As an operator makes one."""
    command = (sys.executable, "-m", "fleetwire", "token", "--jwt-key", KEY, "--subject", "ops", *grants)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


async def test_who_has_no_token_is_asked_for_one(valkey_url: str) -> None:
    port = free_port()
    with fleetwire("stream", "--port", str(port), "--redis-url", valkey_url, "--jwt-key", KEY):
        await eventually(lambda: get(port, "/readyz"), 20)
        async with opened(f"http://127.0.0.1:{port}/") as page:
            await expect(page.get_by_role("heading", name="The node wants a token")).to_be_visible()
            await shot(page, "denied")
            assert not await violations(page)
            await page.get_by_label("Token").fill(token("--subscribe", "fleets/#"))
            await page.get_by_role("button", name="Connect", exact=True).click()
            await expect(page.get_by_text("No vehicle yet")).to_be_visible()


async def test_without_webgl_the_list_still_has_all(quiet: Quiet) -> None:
    place = {"CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4}
    await quiet.store.readings(("fleets/berlin/v1/telemetry", Reading(now_ms(), {"Speed": 42.0, **place})))
    async with opened("about:blank") as page:
        await page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        await page.goto(quiet.url)
        await expect(page.get_by_role("alert")).to_contain_text("this browser has no WebGL2")
        await expect(vehicles(page).get_by_role("row", name="v1 berlin")).to_contain_text("42")
        await quiet.store.readings(("fleets/berlin/v1/telemetry", Reading(now_ms(), {"Speed": 43.0})))
        await expect(vehicles(page).get_by_role("row", name="v1 berlin")).to_contain_text("43")


async def test_a_node_that_goes_is_missed_and_comes_back(valkey_url: str) -> None:
    port = free_port()
    start = ("stream", "--port", str(port), "--redis-url", valkey_url)
    async with opened("about:blank", bears="ERR_CONNECTION_REFUSED") as page:
        with fleetwire(*start) as node:
            await eventually(lambda: get(port, "/readyz"), 20)
            await page.goto(f"http://127.0.0.1:{port}/", wait_until="networkidle")  # the map has what it wants
            await expect(page.get_by_text("No vehicle yet")).to_be_visible()
            node.kill()
            await expect(page.get_by_text("Disconnected.")).to_be_visible()
            await shot(page, "disconnected")
        with fleetwire(*start):
            await expect(page.get_by_text("Disconnected.")).to_be_hidden(timeout=20_000)
            await expect(vehicles(page)).to_be_visible()
