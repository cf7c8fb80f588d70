"""What one dashboard has got, counted without parsing it; and parsed, to see that the count can be trusted."""

from __future__ import annotations

import random
import time

import msgspec

from bench.dialects import BINARY, MARKER, Dialect, Wrong, frames
from bench.websocket import CLOSE, TEXT

__all__ = ["CARRY", "Count", "check"]

CARRY = len(MARKER) - 1  # bytes of a marker that may be cut off at the end of a read
CONTINUATION = 0x0


class Count:
    """Readings and bytes of one dashboard. Of one reading in every `every` bytes, on the average, the latency is
    taken."""

    def __init__(self, dialect: Dialect, every: int) -> None:
        self._dialect = dialect
        self._every = every
        self._tail = b""
        self.begin()

    def begin(self) -> None:
        """Count from here."""
        self.deliveries = self.bytes = 0
        self.latencies: list[int] = []  # µs
        self._skip = random.randrange(2 * self._every)  # bytes until the next latency is taken

    def take(self, buffer: bytearray, size: int) -> None:
        """Count `size` bytes that were read into a buffer from CARRY on; what is before them is overwritten."""
        start, end = CARRY - len(self._tail), CARRY + size
        buffer[start:CARRY] = self._tail
        self.deliveries += buffer.count(MARKER, start, end)
        self.bytes += size
        self._tail = bytes(buffer[max(start, end - CARRY) : end])
        if self._skip < size:
            self._sample(buffer, end)
        self._skip = max(self._skip - size, 0)

    def _sample(self, buffer: bytearray, end: int) -> None:
        """Every byte is as likely to be where the next reading is looked for: quick ones and late ones alike."""
        now = time.time_ns() // 1000
        while (at := buffer.find(self._dialect.sent, CARRY + self._skip, end)) >= 0:
            if (sent := self._dialect.time_of(buffer, at, end)) is None:
                break
            self.latencies.append(now - sent)
            self._skip = at - CARRY + 1 + random.randrange(2 * self._every)


def check(dialect: Dialect, data: bytes, counted: int) -> str:
    """What is wrong with what one dashboard has got; empty when it is `counted` readings, of each topic in order and
    none twice. What was cut off at the end is left out."""
    whole, rest = frames(data)
    if said := [payload for opcode, payload in whole if opcode == CLOSE]:
        return f"closed with {int.from_bytes(said[0][:2], 'big')} {said[0][2:].decode()}"
    payloads = [payload for opcode, payload in whole if opcode in (CONTINUATION, TEXT, BINARY)]
    newest: dict[str, int] = {}
    parsed = 0
    try:
        for topic, sent in dialect.readings(payloads):
            if sent <= newest.get(topic, 0):
                return f"{topic} came twice, or out of order"
            newest[topic] = sent
            parsed += 1
    except (Wrong, msgspec.DecodeError, LookupError, ValueError) as error:
        return f"after {parsed} readings: {error}"
    expected = counted - rest.count(MARKER)
    # A message may be cut off though its frames are whole.
    return "" if expected - parsed in (0, 1) else f"{parsed} readings, but {expected} were counted"
