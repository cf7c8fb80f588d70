"""A live view of a fleet in the terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fleetwire.client import subscribe
from fleetwire.observer import percentile
from wire.clock import now_ms

__all__ = ["Board", "raw", "watch"]

REFRESH_SECONDS = 0.5
WINDOW_MS = 5_000
COLUMNS = {  # signal -> heading and how to show it
    "Speed": ("km/h", "{:.1f}"),
    "Powertrain.TractionBattery.StateOfCharge.Current": ("battery %", "{:.0f}"),
    "CurrentLocation.Latitude": ("latitude", "{:.5f}"),
    "CurrentLocation.Longitude": ("longitude", "{:.5f}"),
}


class Board:
    """What is known of each vehicle, from the items that came. Times in epoch ms."""

    def __init__(self) -> None:
        self._vehicles: dict[str, dict[str, Any]] = {}
        self._latencies: list[int] = []
        self._window: list[tuple[int, int]] = []  # when, how many readings
        self._begun: int | None = None
        self.state = "connecting"
        self.conflated = 0
        self.gaps = 0

    def take(self, event: dict[str, Any], now: int) -> None:
        """Take one event of a subscription."""
        if event["action"] == "gap":
            self.gaps += 1
            return
        items = event.get("data", [])
        self.conflated += event.get("conflated", 0)
        if not event.get("snapshot"):
            self._begun = self._begun or now
            self._window.append((now, len(items)))
            self._latencies = (self._latencies + [now - item["ts"] for item in items])[-1_000:]
        for item in items:
            name, _, kind = item["topic"].rpartition("/")
            vehicle = self._vehicles.setdefault(name, {})
            if kind == "status":
                vehicle["connectionState"] = item["values"].get("connectionState", "")
            else:
                vehicle.update(item.get("values") or {"message": item.get("data")})
                vehicle["seen"] = item["ts"]

    def rate(self, now: int) -> float:
        """Readings a second, over the last five seconds or since the first."""
        if self._begun is None:
            return 0.0
        since = max(now - WINDOW_MS, self._begun)
        self._window = [(when, count) for when, count in self._window if when > since]
        return sum(count for _, count in self._window) * 1000 / max(1000, now - since)

    def latency(self, share: float) -> int | None:
        """The latency in ms, from the device's clock to here, that this share of the last readings kept."""
        return percentile(self._latencies, share)

    def render(self, now: int, rows: int) -> Group:
        """The board as it is now, at most this many vehicles of it."""
        table = Table(expand=True, box=None, header_style="bold")
        table.add_column("vehicle", no_wrap=True)
        table.add_column("state")
        for heading, _ in COLUMNS.values():
            table.add_column(heading, justify="right")
        table.add_column("other signals", overflow="ellipsis", no_wrap=True, ratio=1)
        table.add_column("age s", justify="right")
        for name in sorted(self._vehicles, key=_natural)[:rows]:
            table.add_row(*self._row(name, self._vehicles[name], now))
        hidden = len(self._vehicles) - rows
        footer = f"… and {hidden} more: make the window higher, or the topic narrower" if hidden > 0 else ""
        return Group(self._headline(now), table, Text(footer, style="dim"))

    def _headline(self, now: int) -> Text:
        p50, p99 = self.latency(0.5), self.latency(0.99)
        latency = f"latency p50 {p50} ms, p99 {p99} ms" if p50 is not None else "no readings yet"
        parts = [self.state, f"{len(self._vehicles)} vehicles", f"{self.rate(now):.1f} readings/s", latency]
        if self.conflated:
            parts.append(f"{self.conflated} conflated")
        if self.gaps:
            parts.append(f"{self.gaps} gaps")
        return Text(" · ".join(parts), style="bold cyan")

    @staticmethod
    def _row(name: str, vehicle: dict[str, Any], now: int) -> list[Text]:
        state = str(vehicle.get("connectionState", ""))
        style = {"ONLINE": "green", "CONNECTIONBROKEN": "bold red"}.get(state, "dim")
        cells = [Text(name.removeprefix("fleets/")), Text(state, style=style)]
        for signal, (_, form) in COLUMNS.items():
            value = vehicle.get(signal)
            cells.append(Text(form.format(value) if isinstance(value, int | float) else ""))
        others = {key: value for key, value in vehicle.items() if key not in {*COLUMNS, "connectionState", "seen"}}
        cells.append(
            Text("  ".join(f"{key.rpartition('.')[2]} {value}" for key, value in others.items()), style="dim")
        )
        seen = vehicle.get("seen")
        cells.append(Text(f"{max(0, now - seen) / 1000:.0f}" if seen is not None else ""))
        return cells


def _natural(name: str) -> tuple[str, int, str]:
    head = name.rstrip("0123456789")
    digits = name[len(head) :]
    return head, int(digits or 0), name


async def watch(urls: Sequence[str], topic: str, token: str | None, interval: int) -> None:
    """Show the board until cancelled."""
    board, console = Board(), Console()

    def rendered() -> Group:
        return board.render(now_ms(), max(3, console.height - 4))

    def on_state(state: str) -> None:
        board.state = state

    async def receive() -> None:
        async for event in subscribe(urls, topic, token=token, interval=interval, on_state=on_state):
            board.take(event, now_ms())

    async with asyncio.TaskGroup() as group:
        receiver = group.create_task(receive())
        # rich polls nothing by itself here: refreshed from this loop, so that no thread outlives it.
        with Live(rendered(), console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while not receiver.done():
                await asyncio.sleep(REFRESH_SECONDS)
                live.update(rendered(), refresh=True)


async def raw(urls: Sequence[str], topic: str, token: str | None, interval: int) -> None:
    """Print each item as one line of JSON to standard output, until cancelled or the pipe ends."""
    async for event in subscribe(
        urls, topic, token=token, interval=interval, strategy="batch", meta=True, on_state=_say
    ):
        if event["action"] == "gap":
            _say(f"gap: some of what was stored from {event['from']} to {event['to']} is gone")
        for item in event.get("data", []):
            sys.stdout.write(msgspec.json.encode(item).decode() + "\n")
        sys.stdout.flush()


def _say(state: str) -> None:
    print(state, file=sys.stderr, flush=True)
