"""The simulator at the terminal: progress on standard error, Ctrl-C for a clean end."""

from __future__ import annotations

import asyncio
import signal
import sys

from simulator.run import Progress, SimulatorSettings, simulate
from simulator.truth import Manifest

__all__ = ["drive"]


async def drive(settings: SimulatorSettings) -> Manifest:
    """Run the fleet until its end, or SIGINT or SIGTERM: what it has sent."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        return await simulate(settings, _show if sys.stderr.isatty() else None, stop)
    finally:
        if sys.stderr.isatty():
            print(file=sys.stderr)


def _show(progress: Progress) -> None:
    dropped = f", {progress.dropped} dropped" if progress.dropped else ""
    line = (
        f"{progress.elapsed_s:.0f} s, {progress.connected} of {progress.connections} connected, "
        f"{progress.sent} readings sent{dropped}"
    )
    print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)
