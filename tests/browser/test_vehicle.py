"""The view of a vehicle: what was, what is, and what it does when it is told to."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.chromium import PHONE, opened, shot
from tests.browser.conftest import Demo, Quiet
from tests.browser.manners import shifts, violations
from tests.browser.test_fleet import vehicles
from tests.programs import eventually
from wire.clock import now_ms
from wire.reading import Reading

TOPIC = "fleets/berlin/v1"
MINUTE_MS = 60_000


async def test_a_vehicle_of_the_demo_shows_all_it_says_and_obeys(demo: Demo) -> None:
    async with opened(demo.url) as page:
        await vehicles(page).get_by_role("row", name="v1 berlin").first.click()
        await expect(page.get_by_role("heading", name="v1", exact=True)).to_be_visible()
        values = (await demo.states())[TOPIC]
        signals = page.get_by_role("region", name="Signals").get_by_role("row")
        await expect(signals).to_have_count(len(values) + 1)
        await expect(page.locator(".uplot").first).to_be_visible()
        await shot(page, "vehicle-light")
        assert not await violations(page)
        await page.get_by_role("button", name="stop", exact=True).click()
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_role("list", name="Commands sent")).to_contain_text("Succeeded")
        await eventually(lambda: stands(demo), 15)
        await page.get_by_label("Name").fill("fly")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_role("list", name="Commands sent")).to_contain_text("Failed")
        await shot(page, "vehicle-commanded")
        await page.keyboard.press("Escape")
        await expect(vehicles(page)).to_be_visible()
    async with opened(f"{demo.url}#/{TOPIC}", size=PHONE, has_touch=True, dark=True) as page:
        await expect(page.locator(".uplot").first).to_be_visible()
        await shot(page, "vehicle-phone")
        assert not await shifts(page)
        assert not await violations(page)


async def stands(demo: Demo) -> bool:
    return bool((await demo.states())[TOPIC]["Speed"] == 0)


async def test_charts_go_from_what_was_to_what_is_without_a_seam(quiet: Quiet) -> None:
    start = now_ms() - 10 * MINUTE_MS
    place = {"CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4}
    past = [Reading(start + n * 1_000, {"Speed": float(n), **place}) for n in range(300)]
    await quiet.store.readings(*((f"{TOPIC}/telemetry", reading) for reading in past))
    async with opened(f"{quiet.url}#/{TOPIC}") as page:
        signals = page.get_by_role("region", name="Signals")
        await expect(signals.get_by_role("row", name="Speed")).to_contain_text("299")
        for n in range(300, 320):
            await quiet.store.readings((f"{TOPIC}/telemetry", Reading(now_ms(), {"Speed": float(n)})))
        await expect(signals.get_by_role("row", name="Speed")).to_contain_text("319")
        # 300 readings of then and 20 of now, each once.
        await expect(page.locator("[data-readings]").first).to_have_attribute("data-readings", "320")


async def test_presence_and_an_unknown_vehicle_are_told_in_words(quiet: Quiet) -> None:
    place = {"CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4}
    await quiet.store.readings((f"{TOPIC}/telemetry", Reading(now_ms(), {"Speed": 1.0, **place})))
    for state in ("ONLINE", "CONNECTIONBROKEN"):
        await quiet.store.readings((f"{TOPIC}/status", Reading(now_ms(), {"connectionState": state})))
    async with opened(f"{quiet.url}#/{TOPIC}") as page:
        await expect(page.get_by_text("Connection broken").first).to_be_visible()
        await page.get_by_role("button", name="ping", exact=True).click()
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_role("list", name="Commands sent")).to_contain_text("Waiting for a reply")
    async with opened(f"{quiet.url}#/fleets/berlin/nobody") as page:
        await expect(page.get_by_text("Nothing was ever heard of this vehicle.")).to_be_visible()
        await shot(page, "vehicle-unknown")
        assert not await violations(page)
