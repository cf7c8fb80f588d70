"""`make bench-dashboard`: what the fleet view costs a browser.

Simulated cars are stored in a Redis as the bridge stores them; a node serves the page to a headless Chromium that
draws in software. Printed are how soon a small fleet moves in a browser that was just started; and of a large fleet
the share of the time that the page's main thread works, how its heap grows, and how many bytes come for each reading
that is stored, as the map is zoomed in, half the width at each step. Exit status 1 when not all cars are there in the
end, when the page has complained in its console, or when a smaller view brings no fewer bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import tempfile
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from playwright.async_api import CDPSession, Page, ViewportSize

from bench.child import Child, child
from bench.chromium import launched
from bench.figures import Figure, Found, conclude, count, progress
from bench.programs import find, redis_server, stream_node

WARM_SECONDS = 20
SHARE_SECONDS = 20
VIEW_SECONDS = 10
ZOOMS = 3
OPENINGS = 7
FEW = 50  # vehicles of a demo
VIEWPORT: ViewportSize = {"width": 1400, "height": 900}


class Scene(NamedTuple):
    """Cars, readings a second of each, and minutes that the heap is watched."""

    vehicles: int
    hz: float
    minutes: int


class Watched:
    """A page, and what Chromium says of it (Chrome DevTools Protocol)."""

    def __init__(self, page: Page, cdp: CDPSession) -> None:
        self.page = page
        self.bytes = 0
        self.complaints: list[str] = []
        self._cdp = cdp
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        cdp.on("Network.webSocketFrameReceived", self._received)

    def _received(self, event: dict[str, Any]) -> None:
        self.bytes += len(base64.b64decode(event["response"]["payloadData"]))

    async def metric(self, name: str) -> float:
        """As of `Performance.getMetrics`: seconds or bytes."""
        found = await self._cdp.send("Performance.getMetrics")
        return float(next(metric["value"] for metric in found["metrics"] if metric["name"] == name))

    async def heap(self) -> float:
        """Bytes in use, without garbage."""
        await self._cdp.send("HeapProfiler.collectGarbage")
        return await self.metric("JSHeapUsedSize")

    async def share(self, seconds: float) -> float:
        """How much of the time its main thread works, in %."""
        begun, before = await self.metric("Timestamp"), await self.metric("TaskDuration")
        await asyncio.sleep(seconds)
        return (await self.metric("TaskDuration") - before) / (await self.metric("Timestamp") - begun) * 100

    async def received(self, traffic: Child) -> float:
        """Bytes of its WebSocket for each reading that is stored meanwhile: a load may stumble beside it."""
        await self._cdp.send("Network.enable")
        before, self.bytes = (await traffic.ask("stored"))["stored"], 0
        await asyncio.sleep(VIEW_SECONDS)
        received, stored = self.bytes, (await traffic.ask("stored"))["stored"] - before
        await self._cdp.send("Network.disable")
        return received / stored


async def _moving(page: Page, port: int) -> float:
    """Load the page: ms until vehicles move on its map (it marks it, User Timing)."""
    await page.goto(f"http://127.0.0.1:{port}/")
    moving = await page.wait_for_function("performance.getEntriesByName('fleetwire:moving')[0]?.startTime")
    return float(await moving.json_value())


async def opening() -> float:
    """Ms until a small fleet moves in a browser that was just started, the median of some."""
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        redis = await stack.enter_async_context(redis_server(logs))
        node = await stack.enter_async_context(stream_node("node", redis, logs))
        traffic = await stack.enter_async_context(child("bench.traffic", redis.port, FEW, 1))
        await traffic.answer()
        times = []
        for _ in range(OPENINGS):
            async with launched(find("chromium", package="chromium")) as browser:
                times.append(await _moving(await browser.new_page(viewport=VIEWPORT), node.port))
                progress(f"{FEW} vehicles move after {times[-1]:,.0f} ms")
        return median(times)


async def measure(scene: Scene) -> Found:
    """One run."""
    opened_ms = await opening()
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        redis = await stack.enter_async_context(redis_server(logs))
        node = await stack.enter_async_context(stream_node("node", redis, logs))
        traffic = await stack.enter_async_context(child("bench.traffic", redis.port, scene.vehicles, scene.hz))
        await traffic.answer()
        browser = await stack.enter_async_context(launched(find("chromium", package="chromium")))
        page = await browser.new_page(viewport=VIEWPORT)
        cdp = await page.context.new_cdp_session(page)
        await cdp.send("Performance.enable")
        watched = Watched(page, cdp)
        progress(f"{scene.vehicles:,} vehicles at {scene.hz:g} Hz")
        await _moving(page, node.port)
        await asyncio.sleep(WARM_SECONDS)
        share = await watched.share(SHARE_SECONDS)
        progress(f"main thread {share:.0f} %")
        heaps = [await watched.heap()]
        for minute in range(scene.minutes):
            await asyncio.sleep(60)
            heaps.append(await watched.heap())
            progress(f"heap after {minute + 1} min: {heaps[-1] / 1e6:.1f} MB")
        views = [await watched.received(traffic)]
        for _ in range(ZOOMS):
            await page.get_by_role("button", name="Zoom in").click()
            await asyncio.sleep(2)  # the map comes to rest, and asks for what it shows
            views.append(await watched.received(traffic))
            progress(f"{views[-1]:,.1f} bytes for each reading stored")
        rows = await page.get_by_role("grid", name="Vehicles").get_attribute("aria-rowcount")
        return _found(scene, watched.complaints, int(rows or 0) - 1, opened_ms, share, heaps, views)


def _found(
    scene: Scene,
    complaints: list[str],
    listed: int,
    opened_ms: float,
    share: float,
    heaps: list[float],
    views: list[float],
) -> Found:
    problems = [f"the page complained: {text}" for text in complaints]
    if listed != scene.vehicles:
        problems.append(f"the list has {listed:,} vehicles")
    if any(smaller >= larger for larger, smaller in pairwise(views)):
        problems.append("a smaller view brought no fewer bytes")
    return Found(
        f"{scene.vehicles:,} vehicles at {scene.hz:g} Hz, headless Chromium without a graphics card; "
        f"{os.cpu_count()} cores",
        [
            Figure(f"{FEW} vehicles move after, median of {OPENINGS}", opened_ms, "ms", "≤ 3,000 ms"),
            Figure("work of the main thread", share, "%", "≤ 50 %"),
            *(Figure(f"heap, {minute} min", heap / 1e6, "MB") for minute, heap in enumerate(heaps)),
            Figure("heap, last / first", heaps[-1] / heaps[0], "", "flat"),
            *(
                Figure(f"received for each reading stored, {_view(step)}", rate, "bytes")
                for step, rate in enumerate(views)
            ),
        ],
        problems,
    )


def _view(step: int) -> str:
    return f"{2**step}× zoomed in" if step else "whole fleet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=count, default=5_000)
    parser.add_argument("--hz", type=float, default=1.0, help="readings a second of each")
    parser.add_argument("--minutes", type=count, default=5, help="that the heap is watched")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    scene = Scene(arguments.vehicles, arguments.hz, arguments.minutes)
    conclude("bench-dashboard", measure(scene), as_json=arguments.json)


if __name__ == "__main__":
    main()
