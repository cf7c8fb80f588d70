"""The bar through time: back into what was, faster, and to the present again."""

from __future__ import annotations

from playwright.async_api import Locator, Page, expect

from tests.browser.chromium import opened, shot
from tests.browser.conftest import Quiet
from tests.browser.manners import violations
from tests.browser.test_fleet import vehicles
from tests.programs import eventually
from wire import keys
from wire.clock import now_ms
from wire.reading import Reading, encode

TOPIC = "fleets/berlin/v1/telemetry"
SECONDS = 600
PLACE = {"CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4}


async def test_what_was_is_shown_again_and_then_what_is(quiet: Quiet) -> None:
    # A vehicle that became a bit faster each second for ten minutes: what it shows says when that was.
    start = now_ms() - SECONDS * 1_000
    async with quiet.store.redis.pipeline() as pipe:
        for n in range(SECONDS - 1):
            ms = start + n * 1_000
            pipe.xadd(keys.log(TOPIC), {"b": encode(Reading(ms, {"Speed": float(n), **PLACE}))}, id=f"{ms}-1")
        await pipe.execute()
    await quiet.store.readings((TOPIC, Reading(now_ms(), {"Speed": SECONDS - 1.0, **PLACE})))
    async with opened(quiet.url) as page:
        await expect(speed(page)).to_have_text(str(SECONDS - 1))
        bar = page.get_by_role("slider")
        await bar.focus()
        await page.keyboard.press("Home")
        await expect(page.get_by_text("Replaying").first).to_be_visible()
        await shot(page, "replay")
        assert not await violations(page)
        await eventually(lambda: says(page, 0, 60))
        await page.get_by_label("Speed of the replay").select_option("60")
        await eventually(lambda: says(page, 120, SECONDS - 2), 20)
        await page.get_by_role("button", name="Pause").click()
        await expect(page.get_by_text("Paused at").first).to_be_visible()
        await quiet.store.readings((TOPIC, Reading(now_ms(), {"Speed": 4_000.0})))
        await eventually(lambda: knows(quiet, 4_000.0))
        assert await says(page, 120, SECONDS - 2)  # who looks back is not told of it
        await page.get_by_role("button", name="Go live").click()
        await expect(speed(page)).to_have_text("4,000")
        await expect(page.get_by_text("Live", exact=True).first).to_be_visible()


async def knows(quiet: Quiet, speed: float) -> bool:
    """Whether the node says so of the vehicle."""
    return bool((await quiet.states())["fleets/berlin/v1"]["Speed"] == speed)


async def says(page: Page, low: int, high: int) -> bool:
    """Whether the vehicle's speed is shown as one between two."""
    return low <= float(await speed(page).inner_text()) <= high


def speed(page: Page) -> Locator:
    """What the list says of the vehicle's speed."""
    return vehicles(page).get_by_role("row", name="v1 berlin").locator(".cell.value")
