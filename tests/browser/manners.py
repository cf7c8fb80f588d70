"""What a page owes everybody: that nothing jumps, and that who can't see or can't point can use it."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page

from tests.programs import missing

__all__ = ["shifts", "violations"]

AXE = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
MOST_SHIFT = 0.01  # of the viewport; 0.1 counts as good (web.dev, Cumulative Layout Shift)


async def shifts(page: Page) -> list[str]:
    """What has jumped since the page was loaded, without anybody having touched it (the Layout Instability API)."""
    found: list[str] = await page.evaluate(
        """most => new Promise(resolve => {
            const seen = [];
            const observer = new PerformanceObserver(list => seen.push(...list.getEntries()));
            observer.observe({ type: "layout-shift", buffered: true });
            setTimeout(() => {
                observer.disconnect();
                resolve(seen.filter(shift => shift.value > most && !shift.hadRecentInput).map(shift =>
                    `${shift.value.toFixed(3)}: ` + shift.sources.map(source => source.node?.className).join(", ")));
            }, 100);
        })""",
        MOST_SHIFT,
    )
    return found


async def violations(page: Page) -> list[str]:
    """What axe-core finds that is serious or critical."""
    if not AXE.exists():
        missing("axe-core is not installed (npm ci, in dashboard/)")
    await page.evaluate(AXE.read_text())  # as a script the page would not run it
    found: list[str] = await page.evaluate(
        """async () => (await axe.run()).violations
            .filter(rule => rule.impact === "serious" || rule.impact === "critical")
            .map(rule => `${rule.id}: ${rule.help}: ` + rule.nodes.map(node => node.html).slice(0, 3).join(" "))"""
    )
    return found
