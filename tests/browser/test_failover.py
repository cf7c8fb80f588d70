"""A page behind nginx, while the node that it hangs on is killed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.chromium import opened, shot
from tests.browser.test_fleet import vehicles
from tests.e2e.test_failover import TOPIC, VEHICLES, Site, in_logs, single, states
from tests.programs import eventually
from tests.stored import stored

# A client of the page's own, which keeps every id that it is told.
LISTEN = """async topic => {
    const { connect } = await import("/client/fleetwire.js");
    const heard = (window.heard = { ids: [], gaps: 0 });
    const client = connect();
    client.subscribe({ topic, strategy: "batch", snapshot: false, interval: 50 }, event => {
        if (event.kind === "data") heard.ids.push(...event.items.map(({ topic, id }) => [topic, id]));
        if (event.kind === "gap") heard.gaps++;
    });
    await client.get(topic); // answered behind the subscription: nothing that comes from now on is missed
}"""


async def test_a_page_survives_its_node_and_misses_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        site = Site(stack.enter_context(single(tmp_path)), stack, tmp_path)
        await site.ready()
        async with opened(f"http://127.0.0.1:{site.nginx}/", bears="WebSocket") as page:
            await page.evaluate(LISTEN, TOPIC)
            with site.load():
                await expect(vehicles(page)).to_have_attribute("aria-rowcount", str(VEHICLES + 1))
                for number in (0, 1):  # one of them is the page's
                    before = await heard(page)
                    site.nodes.kill(number)
                    await site.ready()
                    await eventually(lambda before=before: grown(page, before + 200), 30)  # type: ignore[misc]
                await expect(page.locator(".connection")).to_have_text("Connected", timeout=15_000)
            async with stored(site.store.url) as at:
                logs = await in_logs(at)
            await eventually(lambda: grown(page, len(logs)), 30)
            ids = [tuple(id) for id in await page.evaluate("heard.ids")]
            assert len(ids) == len(set(ids))
            assert set(ids) == logs
            assert await page.evaluate("heard.gaps") == 0
            found = await states(site.nodes.ports[0])
            await eventually(lambda: agrees(page, found), 15)
            await shot(page, "survived")


async def heard(page: Page) -> int:
    return int(await page.evaluate("heard.ids.length"))


async def grown(page: Page, to: int) -> bool:
    return await heard(page) >= to


async def agrees(page: Page, states: dict[str, dict[str, float]]) -> bool:
    """Whether the list shows the speeds that the node knows, to a decimal."""
    rows = (
        await vehicles(page)
        .get_by_role("row")
        .evaluate_all(
            "rows => rows.map(row => [...row.querySelectorAll('[role=gridcell]')].map(cell => cell.innerText))"
        )
    )
    found = {f"fleets/berlin/{name.split()[0]}/telemetry": float(value) for name, _, value, _ in filter(None, rows)}
    return len(found) > 10 and all(abs(states[topic]["Speed"] - value) <= 0.05 for topic, value in found.items())
