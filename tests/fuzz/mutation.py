"""Mutations: from an input another one, mostly almost as good. The same random numbers give the same input."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

__all__ = ["MOST_BYTES", "Mutate", "chunked", "chunks", "of_bytes", "of_text", "packed", "repeated"]

Mutate = Callable[[bytes, Random], bytes]

MOST_BYTES = 1_500  # enough to nest deeper than anything reads
MOST_CHUNKS = 24
LONG = (16, 64, 200, 1_025, 5_000)
NUMBERS = (0, 1, 2, 125, 126, 127, 128, 255, 256, 65_535, 65_536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 63)
CHARACTERS = "\x00\t\n\r \"'%&+#/\\?*$@:;=,.-_~{}[]()<>|0189aZéßΩ中🚲\u200b\u2028\uffff"
_WORDS = re.compile(r"\w+|\W", re.ASCII)
_CHUNK = struct.Struct(">BH")


def of_bytes(tokens: Sequence[bytes] = ()) -> Mutate:
    """Bits, bytes, numbers and pieces of an input are changed, and tokens put in, once to three times."""

    def mutate(data: bytes, random: Random) -> bytes:
        for _ in range(random.choice((1, 1, 2, 3))):
            data = _changed(data, tokens, random)
        return data

    return mutate


def of_text(tokens: Sequence[str]) -> Mutate:
    """Words of a text, and what stands between them, are dropped, doubled, moved, repeated, and replaced by tokens;
    now and then its bytes are changed."""
    bytewise = of_bytes([token.encode() for token in tokens])

    def mutate(data: bytes, random: Random) -> bytes:
        if random.random() < 0.15:
            return bytewise(data, random)
        words = _WORDS.findall(data.decode("utf-8", "replace"))
        for _ in range(random.choice((1, 1, 2, 3))):
            place = random.randrange(len(words) + 1)
            match random.randrange(7):
                case 0:
                    words[place : place + 1] = []
                case 1:
                    words[place:place] = words[place : place + random.randrange(1, 4)]
                case 2 if words:
                    words[place:place] = [random.choice(words)]
                case 3:
                    words[place : place + 1] = [random.choice(CHARACTERS)]
                case 4 if random.random() < 0.2:
                    words[place : place + 1] = words[place : place + 1] * random.choice(LONG)
                case 5:
                    words[place:place] = [random.choice(tokens)]
                case _:
                    words[place : place + 1] = [random.choice(tokens)]
        return "".join(words).encode()

    return mutate


def chunks(data: bytes) -> list[tuple[int, bytes]]:
    """A kind and a payload each, at most MOST_CHUNKS of them: any bytes are such a list. A byte, a length in two, and
    the payload; the last may be cut off."""
    found = []
    place = 0
    while place + _CHUNK.size <= len(data) and len(found) < MOST_CHUNKS:
        kind, size = _CHUNK.unpack_from(data, place)
        place += _CHUNK.size
        found.append((kind, data[place : place + size]))
        place += size
    return found


def packed(found: Sequence[tuple[int, bytes]]) -> bytes:
    """The bytes that are these chunks."""
    return b"".join(_CHUNK.pack(kind & 0xFF, len(data[:65_535])) + data[:65_535] for kind, data in found)


def chunked(payload: Mutate, kinds: int) -> Mutate:
    """Chunks, of so many kinds, are dropped, doubled and moved; mostly the payload of one is mutated."""

    def mutate(data: bytes, random: Random) -> bytes:
        found = chunks(data) or [(0, b"")]
        place = random.randrange(len(found))
        kind, inner = found[place]
        match random.randrange(10):
            case 0:
                found[place : place + 1] = []
            case 1:
                found.insert(random.randrange(len(found) + 1), (kind, inner))
            case 2:
                found[place] = (random.randrange(kinds), inner)
            case 3:
                found.insert(place, (random.randrange(kinds), payload(inner, random)))
            case _:
                found[place] = (kind, payload(inner, random))
        return packed(found)

    return mutate


def repeated(mutate: Mutate, most: int = 4) -> Mutate:
    """The mutation, once or several times over; what gets long is cut."""

    def several(data: bytes, random: Random) -> bytes:
        for _ in range(random.randrange(1, most + 1)):
            data = mutate(data, random)[:MOST_BYTES]
        return data

    return several


def _changed(data: bytes, tokens: Sequence[bytes], random: Random) -> bytes:
    place, end = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    match random.randrange(9):
        case 0 if data:
            place = random.randrange(len(data))
            return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]
        case 1:
            return data[:place] + bytes([random.randrange(256)]) + data[place + 1 :]
        case 2:
            return data[:place] + data[min(end, place + random.randrange(1, 9)) :]
        case 3:
            return data[:end] + data[place:end] + data[end:]
        case 4:
            return data[:place] + random.randbytes(random.randrange(1, 5)) + data[place:]
        case 5:
            return data[:place]
        case 6:
            number = random.choice(NUMBERS) + random.randrange(-1, 2)
            size, order = random.choice((1, 2, 4, 8)), random.choice(("big", "little"))
            return data[:place] + (number % (1 << 8 * size)).to_bytes(size, order) + data[place + size :]  # type: ignore[arg-type]
        case 7 if random.random() < 0.1:
            return data[:place] + data[place : place + 1] * random.choice(LONG) + data[place:]
        case _ if tokens:
            return data[:place] + random.choice(tokens) + data[place + random.choice((0, 0, 1, 2)) :]
    return data[place:end] or data
