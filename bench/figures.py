"""What a benchmark has found: figures with their goals, and what was wrong; for people and as JSON."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
from redis.exceptions import RedisError

from fleetwire.parts import Part
from wire.errors import FleetwireError, Unavailable

__all__ = ["Figure", "Found", "conclude", "count", "progress", "resident", "table"]


class Figure(msgspec.Struct, frozen=True):
    """A figure, its unit, and its goal in words, if it has one."""

    name: str
    value: float
    unit: str = ""
    goal: str = ""


class Found(msgspec.Struct, frozen=True):
    """All that one run has found. `problems`: goals of correctness that were missed, in words."""

    title: str
    figures: list[Figure]
    problems: list[str]


def table(found: Found) -> str:
    """For people."""
    width = max(len(figure.name) for figure in found.figures)
    rows = [
        f"{figure.name:{width}}{_number(figure.value):>12} {figure.unit:8}"
        f"{f'goal {figure.goal}' if figure.goal else ''}".rstrip()
        for figure in found.figures
    ]
    return "\n".join([found.title, "", *rows, "", *(found.problems or ["nothing wrong"])])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1_000 else f"{value:,.2f}"


def conclude(name: str, work: Coroutine[Any, Any, Found], *, as_json: bool) -> None:
    """Do the work, show what it finds, and end with status 1 if something was wrong."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: whatever was started is stopped
    try:
        found = asyncio.run(work)
    except (FleetwireError, RedisError, OSError) as error:  # the last two: what was started has gone
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(msgspec.json.encode(found).decode() if as_json else table(found))
    sys.exit(bool(found.problems))


def progress(text: str) -> None:
    """Say where the work is."""
    print(f"  {text}", file=sys.stderr)


def resident(part: Part) -> int:
    """The resident set of a part, in bytes (proc(5), Linux). Raises Unavailable when it has ended."""
    try:
        statm = Path(f"/proc/{part.process.pid}/statm").read_text()
    except FileNotFoundError:
        raise Unavailable(f"the {part.name} ended in the middle: {part.last_words()}") from None
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def count(text: str) -> int:
    """A number of things, from the command line."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)
