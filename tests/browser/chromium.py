"""A page in a real browser that must not complain, and what it looks like."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import ConsoleMessage, Page, ViewportSize

from bench.chromium import launched
from tests.programs import find

__all__ = ["DESKTOP", "PHONE", "SCREENSHOTS", "opened", "shot"]

# Where `make test-browser` leaves what the pages looked like.
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
DESKTOP: ViewportSize = {"width": 1400, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


class Complaints(list[str]):
    """What a page has said in its console as an error or warning, and what it has thrown."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.append(f"thrown: {error}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")


@asynccontextmanager
async def opened(
    url: str,
    *,
    size: ViewportSize = DESKTOP,
    dark: bool = False,
    moves: bool = False,
    bears: str = "",
    **options: Any,
) -> AsyncIterator[Page]:
    """A page in a browser of its own. Fails at the end when it has complained of anything but what it `bears`, a
    part of the message; none when that is empty. Vehicles go in steps, as for people
    who want less motion, unless it `moves`: where software draws, that costs a fraction."""
    async with launched(find("chromium", package="chromium")) as browser:
        page = await browser.new_page(
            viewport=size,
            color_scheme="dark" if dark else "light",
            reduced_motion="no-preference" if moves else "reduce",
            **options,
        )
        complaints = Complaints(page)
        await page.goto(url)
        yield page
        heard = [text for text in complaints if not (bears and bears in text)]
        assert not heard, heard


async def shot(page: Page, name: str) -> None:
    """Keep what the page looks like."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png")
