"""The fleet view in a real browser: `fleetwire demo` as a newcomer sees it, and readings that a test knows."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.browser.chromium import PHONE, opened, shot
from tests.browser.conftest import VEHICLES, Demo, Quiet
from tests.browser.manners import shifts, violations
from tests.programs import eventually
from wire.clock import now_ms
from wire.reading import Reading


async def test_the_demo_s_vehicles_drive(demo: Demo) -> None:
    async with opened(demo.url, moves=True) as page:
        await expect(vehicles(page)).to_have_attribute("aria-rowcount", str(VEHICLES + 1))
        print(
            f"{VEHICLES} vehicles move {await marked(page, 'fleetwire:moving'):,.0f} ms after the page was asked for"
        )
        await drives(page)
        await shot(page, "fleet-light")
        assert not await shifts(page)
        assert not await violations(page)


async def test_it_is_usable_in_the_dark_and_on_a_phone(demo: Demo) -> None:
    async with opened(demo.url, dark=True) as page:
        await drives(page)
        await shot(page, "fleet-dark")
        assert not await violations(page)
    async with opened(demo.url, size=PHONE, has_touch=True) as page:
        await drives(page)
        await shot(page, "fleet-phone")
        assert not await shifts(page)
        assert not await violations(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_list_agrees_with_the_state(quiet: Quiet) -> None:
    now = now_ms()
    for number in range(200):
        place = {"CurrentLocation.Latitude": 52.5 + number / 2_000, "CurrentLocation.Longitude": 13.4}
        reading = Reading(now, {"Speed": float(number), **place})
        await quiet.store.readings((f"fleets/berlin/v{number}/telemetry", reading))
    online = Reading(now, {"connectionState": "ONLINE"})
    await quiet.store.readings(("fleets/berlin/v7/status", online))
    async with opened(quiet.url) as page:
        await expect(vehicles(page)).to_have_attribute("aria-rowcount", "201")
        # As fast as the fastest, sorted by speed, and all the way down.
        await page.get_by_role("columnheader", name="Speed").get_by_role("button").click()
        await expect(first(page)).to_contain_text("v0")
        await page.get_by_role("columnheader", name="Speed").get_by_role("button").click()
        await expect(first(page)).to_contain_text("v199")
        await eventually(lambda: seen(page, quiet))
        await vehicles(page).focus()
        await page.keyboard.press("End")
        await expect(vehicles(page).get_by_role("row", name="v0 berlin")).to_be_visible()
        # What is new is shown, and what is searched for is found.
        await quiet.store.readings(("fleets/berlin/v7/telemetry", Reading(now_ms(), {"Speed": 321.0})))
        await page.keyboard.press("/")
        await page.keyboard.type("v7")
        await expect(vehicles(page)).to_have_attribute("aria-rowcount", "12")  # v7, v70 to v79, and the head
        await expect(vehicles(page).get_by_role("row", name="v7 berlin")).to_contain_text("321")
        await expect(vehicles(page).get_by_role("row", name="v7 berlin")).to_contain_text("Online")


async def seen(page: Page, node: Quiet) -> bool:
    """Whether the rows that are there say what the node says."""
    states = await node.states()
    rows = (
        await vehicles(page)
        .get_by_role("row")
        .evaluate_all(
            "rows => rows.map(row => [...row.querySelectorAll('[role=gridcell]')].map(cell => cell.innerText))"
        )
    )
    found = {f"fleets/{name.split()[1]}/{name.split()[0]}": value for name, _, value, _ in filter(None, rows)}
    return len(found) > 10 and all(float(value) == states[topic]["Speed"] for topic, value in found.items())


async def test_a_page_without_vehicles_says_how_to_send_one(quiet: Quiet) -> None:
    async with opened(quiet.url) as page:
        await expect(page.get_by_text("mosquitto_pub")).to_be_visible()
        await shot(page, "empty")
        assert not await violations(page)
        place = {"CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4}
        await quiet.store.readings(("fleets/test/car1/telemetry", Reading(now_ms(), {"Speed": 42.0, **place})))
        await expect(vehicles(page).get_by_role("row", name="car1 test")).to_contain_text("42")
        await expect(page.get_by_text("mosquitto_pub")).to_be_hidden()


async def test_an_alert_leads_to_its_vehicle(quiet: Quiet) -> None:
    place = {"CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4}
    await quiet.store.readings(("fleets/berlin/v1/telemetry", Reading(now_ms(), {"Speed": 42.0, **place})))
    async with opened(quiet.url) as page:
        await page.get_by_role("tab", name="Alerts").click()
        await quiet.store.readings(("fleets/berlin/v1/alerts", Reading(now_ms(), {"BatteryLow": True})))
        await page.get_by_text("BatteryLow").click()
        await expect(page).to_have_url(f"{quiet.url}#/fleets/berlin/v1")


async def test_signals_colour_the_map(demo: Demo) -> None:
    async with opened(demo.url) as page:
        await drives(page)
        await page.get_by_label("Colour by").select_option("Speed")
        await expect(page.locator(".legend .scale")).to_contain_text("km/h")
        await shot(page, "fleet-speed")


def vehicles(page: Page) -> Locator:
    """The list."""
    return page.get_by_role("grid", name="Vehicles")


def first(page: Page) -> Locator:
    """Its first row."""
    return vehicles(page).locator('[aria-rowindex="2"]')


async def marked(page: Page, name: str) -> float:
    """When the page has marked this, ms after it began to load (User Timing)."""
    found: Any = await page.wait_for_function("name => performance.getEntriesByName(name)[0]?.startTime", arg=name)
    return float(await found.json_value())


async def drives(page: Page) -> None:
    """Until the map has drawn vehicles that are elsewhere than before."""
    await expect(vehicles(page)).to_have_attribute("aria-rowcount", str(VEHICLES + 1))
    canvas = page.locator("canvas.maplibregl-canvas")
    before = await canvas.screenshot()

    async def differs() -> bool:
        return bool(await canvas.screenshot() != before)

    await eventually(differs, 10)
