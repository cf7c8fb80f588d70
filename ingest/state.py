"""Which fields of the state hash a reading sets (see `wire.keys.state`)."""

from __future__ import annotations

import hashlib

from wire.reading import Reading, encode
from wire.store import pack_parts

__all__ = ["Shapes"]

MAX_SHAPES = 8
_MAX_NAME = 31  # Lua takes time for each byte up to 32 of them


class Shapes:
    """The sets of signals that each topic was seen to send together.

    Most devices always send the same set: one field, overwritten as a whole, and nothing is unpacked in
    Redis. A topic that shows more than `MAX_SHAPES` sets gets a field for each signal from then on, so that
    its state stays bounded.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, ...], str] = {}
        self._seen: dict[str, dict[tuple[str, ...], bytes]] = {}

    def parts(self, topic: str, reading: Reading) -> bytes:
        """The fields that a reading sets, with their bodies, packed (`wire.store.pack_parts`)."""
        timed = reading.clock == "device"
        if reading.historical:
            return pack_parts((), timed=timed)
        shape = tuple(reading.values)
        seen = self._seen.get(topic)
        if seen is None:
            seen = self._seen[topic] = {}
        parts = seen.get(shape)
        if parts is None:
            if len(seen) >= MAX_SHAPES:
                each = [(self._name((s,)), encode(Reading(reading.ts, {s: v}))) for s, v in reading.values.items()]
                return pack_parts(each, timed=timed)
            parts = seen[shape] = pack_parts([(self._name(shape), b"")])
        return parts if timed else pack_parts([(self._name(shape), b"")], timed=False)

    def _name(self, shape: tuple[str, ...]) -> str:
        """The signals' names in order; a digest of them where that is long, or could be another's name."""
        name = self._names.get(shape)
        if name is None:
            signals = sorted(shape)
            name = ",".join(signals)
            if len(name) > _MAX_NAME or name.count(",") >= len(signals) or name[:1] in ("", "@"):
                name = hashlib.blake2b(encode(signals), digest_size=12).hexdigest()
            if len(self._names) < 10_000:
                self._names[shape] = name
        return name
