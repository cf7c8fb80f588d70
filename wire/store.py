"""The one way into Redis: what `store.lua` is called with. Shared by the bridge and by clients' publishes."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from msgspec import Struct

from wire import keys
from wire.partition import WHOLE, Partition
from wire.reading import split
from wire.topics import KINDS, carries_messages

__all__ = [
    "RETAINED",
    "SCRIPT",
    "SHA",
    "Entry",
    "Kept",
    "Receipts",
    "Retention",
    "arguments",
    "pack_parts",
    "parse_entry",
    "parse_state",
]

SCRIPT = files("wire").joinpath("store.lua").read_text("utf-8")
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()  # by which Redis knows it

_MESSAGE, _COMMAND = b"\xff\xfe\x00", b"\xff\xff\x00"
_UNTIMED = 0x4000
_LENGTH = struct.Struct(">I").pack
_COUNT = struct.Struct(">H").pack


class Entry(Struct, frozen=True, gc=False):
    """One reading or message to store.

    A reading has a `ts`, epoch ms, and `parts` (`pack_parts`). A message (room, command, reply) has neither, and goes
    into the log only.
    """

    topic: str
    body: bytes
    ts: int = 0
    parts: bytes = b""


class Kept(NamedTuple):
    """How much of a log is kept: both are approximate, never less."""

    entries: int = 1_000
    age_ms: int = 3_600_000


class Retention(NamedTuple):
    """How much a log keeps, and what is kept of some kinds (or `rooms`) instead."""

    entries: int = 1_000
    age_ms: int = 3_600_000
    kinds: tuple[tuple[str, Kept], ...] = ()

    def of(self, kind: str) -> Kept:
        """What is kept of a kind, or of `rooms`."""
        return dict(self.kinds).get(kind, Kept(self.entries, self.age_ms))


RETAINED = (*KINDS, "rooms")


class Receipts(NamedTuple):
    """What a bridge's session has received with a batch, to be kept with it: bytes of its own, never twice the same;
    the newest `keep` of them stay."""

    client_id: str
    packed: bytes
    keep: int


def arguments(
    entries: Sequence[Entry], retention: Retention, receipts: Receipts | None = None, partition: Partition = WHOLE
) -> tuple[list[str], list[bytes | int | str]]:
    """KEYS and ARGV of one call of the script, for entries that are all of one partition.

    An entry is packed as: its place in decimals, topic, log and state keys, each behind a byte of length; the body
    behind four; ts in 16 digits, so that it compares as text; how many parts with bodies follow, in two bytes,
    16384 more when it is not timed, or 65534 for a message, 65535 for a command; the name of the part that is the
    whole body; then each other part's name behind a byte, and its body behind four.
    """
    packed: list[bytes] = []
    last, digits = -1, b""
    for place, entry in zip(_places(len(entries)), entries, strict=False):
        head, tail = _frame(entry.topic, partition.tag)
        body, ts = entry.body, entry.ts
        if ts != last:
            last, digits = ts, b"%016d" % ts
        packed += (place, head, _LENGTH(len(body)), body, digits, tail or entry.parts)
    client = receipts.client_id if receipts is not None else ""
    names = [partition.key(name) for name in (keys.CLOCK, keys.COMMANDS, keys.session(client))]
    if partition.tag:
        topics = {entry.topic for entry in entries}
        names += [partition.key(key(topic)) for topic in topics for key in (keys.log, keys.state)]
    args: list[bytes | int | str] = [_kept(retention), partition.tag, len(entries), b"".join(packed)]
    if receipts is not None:
        args += (receipts.packed, receipts.keep)
    return names, args


def pack_parts(parts: Sequence[tuple[str, bytes]], *, timed: bool = True) -> bytes:
    """What a reading does to the state: the fields that it sets while it is the newest, by name, with their bodies (a
    single one may be empty: the reading's own). Without any it leaves the state alone: it is historical.

    A reading that the log has already is not stored again, unless it is not `timed`: its `ts` is not the device's,
    and no part of what it is.
    """
    untimed = 0 if timed else _UNTIMED
    if len(parts) == 1 and not parts[0][1]:
        return _COUNT(untimed) + _short(parts[0][0])
    packed = (_short(name) + _LENGTH(len(body)) + body for name, body in parts)
    return _COUNT(untimed + len(parts)) + b"\x00" + b"".join(packed)


def parse_entry(fields: Mapping[bytes, bytes]) -> bytes:
    """The body of a log's entry: of a message, or a reading in order, as `b`; of a late one as `l`.

    Raises KeyError when it is none of ours."""
    return fields[b"b"] if b"b" in fields else fields[b"l"]


def parse_state(fields: Mapping[bytes, bytes]) -> list[tuple[str, bytes]]:
    """Ids and bodies that a state hash holds; merged signal by signal they are the state."""
    return [split(value) for name, value in fields.items() if not name.startswith(b"@")]


@lru_cache(4)
def _places(count: int) -> list[bytes]:
    """The first places, at least this many."""
    if count & (count - 1):  # few lists, for all counts
        return _places(1 << count.bit_length())
    return [_short(str(place)) for place in range(count)]


@lru_cache(16)
def _kept(retention: Retention) -> str:
    kept = ((kind, retention.of(kind)) for kind in RETAINED)
    return " ".join(f"{kind}={entries}:{age_ms}" for kind, (entries, age_ms) in kept)


@lru_cache(200_000)
def _frame(topic: str, tag: str) -> tuple[bytes, bytes]:
    """What of a packed entry follows from its topic: what is before the body, and, of a message, what ends it."""
    tail = b""
    if carries_messages(topic):
        tail = _COMMAND if topic.endswith("/commands") else _MESSAGE
    return _short(topic) + _short(tag + keys.log(topic)) + _short(tag + keys.state(topic)), tail


def _short(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data
