"""The one way into Redis: what `store.lua` is called with. Shared by the bridge and by clients' publishes."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import NamedTuple

from wire import keys

__all__ = ["SCRIPT", "Entry", "Retention", "arguments", "parse_state"]

SCRIPT = files("wire").joinpath("store.lua").read_text("utf-8")


class Entry(NamedTuple):
    """One reading or message to store.

    `parts` are the fields of the state that it sets, by name, with their bodies (empty: the entry's own);
    none, and the state is left alone. `ts` (ms) decides whether they are newer than what is there.
    """

    topic: str
    body: bytes
    ts: int
    parts: tuple[tuple[str, bytes], ...] = ()


class Retention(NamedTuple):
    """How much a log keeps; both are approximate, never less."""

    entries: int = 1_000
    age_ms: int = 3_600_000


def arguments(entries: Iterable[Entry], retention: Retention) -> tuple[list[str], list[str | bytes | int]]:
    """KEYS and ARGV of one call of the script."""
    names: list[str] = [keys.CLOCK]
    args: list[str | bytes | int] = [retention.entries, retention.age_ms]
    for topic, body, ts, parts in entries:
        names += (keys.log(topic), keys.state(topic))
        args += (topic, body, ts, len(parts))
        for part in parts:
            args += part
    return names, args


def parse_state(value: bytes) -> tuple[str, bytes]:
    """Id and body of one field of a state hash (`<id> <ts> <body>`)."""
    id, _, body = value.split(b" ", 2)
    return id.decode("ascii"), body
