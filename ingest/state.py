"""Which fields of the state hash a reading sets (see `wire.keys.state`)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from ingest.recent import Recent
from wire.errors import PayloadError
from wire.reading import Reading, encode
from wire.store import pack_parts

__all__ = ["Shapes"]

MAX_NAME = 256  # characters of a signal's name
MAX_SHAPES = 8
TOPICS = 100_000  # that are remembered at least
_MAX_NAME = 31  # Lua takes time for each byte up to 32 of them


class Shapes:
    """The sets of signals that each topic was seen to send together.

    Most devices always send the same set: one field, overwritten as a whole, and nothing is unpacked in
    Redis. A topic that shows more than `MAX_SHAPES` sets gets a field for each signal from then on, so that
    its state stays bounded.
    """

    def __init__(self, most: int = 512, most_of_topic: int = 2_000) -> None:
        """`most`: signals of a reading; `most_of_topic`: different ones of its topic."""
        self._most = most
        self._most_of_topic = most_of_topic
        self._names: dict[tuple[str, ...], str] = {}
        self._seen: Recent[str, dict[tuple[str, ...], bytes]] = Recent(TOPICS, lambda topic: {})
        self._signals: Recent[str, set[str]] = Recent(TOPICS, lambda topic: set())

    def parts(self, topic: str, reading: Reading) -> bytes:
        """The fields that a reading sets, with their bodies, packed (`wire.store.pack_parts`).

        Raises PayloadError: too_many_signals, also for a reading that brings more to a state which has as many as it
        may, and long_name. Only a set that is new to the topic is looked at, so that the others cost nothing.
        """
        timed = reading.clock == "device"
        if reading.historical:
            self._check(reading.values)
            return pack_parts((), timed=timed)
        shape = tuple(reading.values)
        seen = self._seen[topic]
        parts = seen.get(shape)
        if parts is None:
            self._admit(topic, shape)
            if len(seen) >= MAX_SHAPES:
                each = [(self._name((s,)), encode(Reading(reading.ts, {s: v}))) for s, v in reading.values.items()]
                return pack_parts(each, timed=timed)
            parts = seen[shape] = pack_parts([(self._name(shape), b"")])
        return parts if timed else pack_parts([(self._name(shape), b"")], timed=False)

    def _check(self, signals: Collection[str]) -> None:
        if len(signals) > self._most:
            raise PayloadError("too_many_signals", f"{len(signals)} signals, at most {self._most} are taken")
        if (longest := max(map(len, signals))) > MAX_NAME:
            raise PayloadError("long_name", f"a signal's name of {longest} characters, at most {MAX_NAME} are taken")

    def _admit(self, topic: str, shape: tuple[str, ...]) -> None:
        """A set of signals that the topic has not shown yet."""
        self._check(shape)
        known = self._signals[topic]
        if len(known) + sum(signal not in known for signal in shape) > self._most_of_topic:
            raise PayloadError("too_many_signals", f"more than {self._most_of_topic} different ones on one topic")
        known.update(shape)

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
