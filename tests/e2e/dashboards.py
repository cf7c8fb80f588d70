"""Dashboards that come back whatever happens, and what they have been told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fleetwire.client import subscribe

__all__ = ["Dashboard", "watching"]


class Dashboard:
    """One subscription, over all losses of node, line and Redis."""

    def __init__(self, topic: str, strategy: str) -> None:
        self.topic = topic
        self.strategy = strategy
        self.ids: Counter[tuple[str, str]] = Counter()
        self.gaps: list[dict[str, Any]] = []
        self.values: dict[str, dict[str, Any]] = {}  # by topic, of each signal what was told last
        self.connected = 0
        self.log: list[str] = []
        self._stamps: dict[tuple[str, str], int] = {}

    async def run(self, url: str) -> None:
        """Until cancelled."""
        options = {"strategy": self.strategy, "interval": 50, "snapshot": self.strategy == "latest"}
        async for event in subscribe([url], self.topic, format="json", on_state=self._note, **options):
            if event["action"] == "gap":
                self.gaps.append(event)
                continue
            for item in event["data"]:
                if event.get("snapshot"):  # what it knew is void
                    self.values.pop(item["topic"], None)
                    self.ids.pop((item["topic"], item["id"]), None)
                self.ids[item["topic"], item["id"]] += 1
                self._show(item)

    def _show(self, item: dict[str, Any]) -> None:
        known = self.values.setdefault(item["topic"], {})
        for name, value in item["values"].items():
            stamp = (item["topic"], name)
            if self.strategy == "latest" or item["ts"] >= self._stamps.get(stamp, 0):
                self._stamps[stamp] = item["ts"]
                known[name] = value

    def _note(self, state: str) -> None:
        self.log.append(state)
        self.connected += state.startswith("connected")

    @property
    def doubled(self) -> list[tuple[str, str]]:
        """What it was given more than once."""
        return [key for key, count in self.ids.items() if count > 1]


@asynccontextmanager
async def watching(url: str, topic: str, strategies: list[str]) -> AsyncIterator[list[Dashboard]]:
    """Dashboards that are connected."""
    dashboards = [Dashboard(topic, strategy) for strategy in strategies]
    tasks = [asyncio.create_task(dashboard.run(url)) for dashboard in dashboards]
    try:
        async with asyncio.timeout(20):
            while not all(dashboard.connected for dashboard in dashboards):
                for task in tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.02)
        yield dashboards
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result
