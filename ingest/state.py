"""Which fields of the state hash a reading sets (see `wire.keys.state`)."""

from __future__ import annotations

import hashlib

from wire.reading import Reading, encode

__all__ = ["Shapes"]

MAX_SHAPES = 8
Parts = tuple[tuple[str, bytes], ...]

_MAX_NAME = 31  # Lua takes time for each byte up to 32 of them


class Shapes:
    """The sets of signals that each topic was seen to send together.

    Most devices always send the same set: one field, overwritten as a whole, and nothing is unpacked in
    Redis. A topic that shows more than `MAX_SHAPES` sets gets a field for each signal from then on, so that
    its state stays bounded.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, ...], str] = {}
        self._seen: dict[str, dict[tuple[str, ...], Parts]] = {}

    def parts(self, topic: str, reading: Reading) -> Parts:
        """The fields that a reading sets, with their bodies; an empty body stands for the reading's own."""
        if reading.historical:
            return ()
        shape = tuple(reading.values)
        try:
            return self._seen[topic][shape]
        except KeyError:
            seen = self._seen.setdefault(topic, {})
        if len(seen) >= MAX_SHAPES:
            return tuple((self._name((s,)), encode(Reading(reading.ts, {s: v}))) for s, v in reading.values.items())
        parts = seen[shape] = ((self._name(shape), b""),)
        return parts

    def _name(self, shape: tuple[str, ...]) -> str:
        """The signals' names in order, or a digest of them where that is long or would be ambiguous, or the name of a field of the script's."""
        name = self._names.get(shape)
        if name is None:
            signals = sorted(shape)
            name = ",".join(signals)
            if len(name) > _MAX_NAME or name.count(",") >= len(signals) or name.startswith("@"):
                name = hashlib.blake2b(encode(signals), digest_size=12).hexdigest()
            if len(self._names) < 10_000:
                self._names[shape] = name
        return name
