"""Mutations of what has a structure: JSON, MessagePack and CBOR, read into a tree, changed there, written again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from math import inf, nan
from random import Random
from typing import Any, NamedTuple

import cbor2
import msgpack

from tests.fuzz.mutation import LONG, MOST_BYTES, Mutate, of_bytes

__all__ = ["CBOR", "JSON", "MSGPACK", "Syntax", "of_trees"]

Path = list[Any]  # keys and places, from the root

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 17, 255, 1 << 28, 1 << 53, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63)),
    *(0.0, -0.0, -1.5, 0.1, 90.5, 180.0, 1e15, 1e308, -1e308, 5e-324, nan, inf, -inf),
    *("", "x", "*", "#", "+", "/", "\x00", "é" * 40, "x" * 65, "x" * 257, "🚲", "null", "1e999", "-1", " 1", "1_0"),
    *([], {}, [[]], [1], [None, None], {"": {}}, {"a": {"b": []}}, [0, 0, 1, 1], [[0, 0], [0, 1], [1, 1]]),
]
DEPTHS = (3, 31, 33, 100, 513, 5_000)
_HOLE = "@@hole@@"


class Syntax(NamedTuple):
    """How trees of a format are read and written. `odd`: values that only it can say. `hole`: how it writes the text
    `_HOLE`; `deep` writes an array in an array, and so on, so many times."""

    load: Callable[[bytes], Any]
    dump: Callable[[Any], bytes]
    odd: Sequence[Any]
    hole: bytes
    deep: Callable[[int], bytes]


JSON = Syntax(
    json.loads,
    lambda tree: json.dumps(tree).encode(),
    [1 << 64, -(1 << 70), 10**400, "\ud800", "\udfff\ud800"],
    f'"{_HOLE}"'.encode(),
    lambda times: b"[" * times + b"]" * times,
)
MSGPACK = Syntax(
    lambda data: msgpack.unpackb(data, strict_map_key=False),
    msgpack.packb,
    [b"", b"\xff\x00", msgpack.ExtType(5, b"x"), msgpack.Timestamp(1, 5), {1: 2}],
    b"\xa8" + _HOLE.encode(),
    lambda times: b"\x91" * times + b"\xc0",
)
CBOR = Syntax(
    cbor2.loads,
    cbor2.dumps,
    [
        *(b"\xff", 1 << 64, -(1 << 70), {1: 2}, {-2: "a", 0: "b", 2: 1}, cbor2.undefined, cbor2.CBORSimpleValue(99)),
        *(datetime(2026, 1, 1, tzinfo=UTC), cbor2.CBORTag(4, [-2, 27_315]), cbor2.CBORTag(4, [10**6, 1])),
        *(cbor2.CBORTag(5, [1, 2]), cbor2.CBORTag(35, "("), cbor2.CBORTag(28, []), cbor2.CBORTag(29, 0)),
        cbor2.CBORTag(2, b"\x01" * 40),
    ],
    b"\x68" + _HOLE.encode(),
    lambda times: b"\x81" * times + b"\xf6",
)  # fmt: skip


def of_trees(syntax: Syntax, keys: Sequence[Any], values: Sequence[Any] = ()) -> Mutate:
    """Parts of the tree in an input are replaced, dropped, doubled, moved, wrapped, or nested very deep, and keys of
    maps replaced by others of these; what can't be read or written has its bytes changed, and now and then others."""
    bytewise = of_bytes()
    pool = [*VALUES, *syntax.odd, *values, *values, *keys]

    def mutate(data: bytes, random: Random) -> bytes:
        if random.random() < 0.15:
            return bytewise(data, random)
        try:
            tree = syntax.load(data)
            for _ in range(random.choice((1, 1, 2, 3))):
                tree = _changed(tree, pool, keys, random)
                written = syntax.dump(tree)
                if len(written) > MOST_BYTES:  # repeated once more it could fill the memory
                    break
        except (ValueError, TypeError, OverflowError, RecursionError, KeyError, cbor2.CBORError):
            return bytewise(data, random)
        return written.replace(syntax.hole, syntax.deep(random.choice(DEPTHS))) if syntax.hole in written else written

    return mutate


def _changed(tree: Any, pool: Sequence[Any], keys: Sequence[Any], random: Random) -> Any:
    paths = list(_paths(tree, []))
    path = random.choice(paths)
    if not path:
        path = random.choice(paths)  # the root, less often
    found = _at(tree, path)
    match random.randrange(9):
        case 0:
            return _without(tree, path)
        case 1:
            return _put(tree, path, _at(tree, random.choice(paths)))
        case 2 if isinstance(found, dict):
            return _put(tree, path, {**found, random.choice(keys): random.choice(pool)})
        case 2 if isinstance(found, list):
            return _put(tree, path, [*found, *found[-1:]] if random.random() < 0.8 else found * random.choice(LONG))
        case 3 if path and isinstance(_at(tree, path[:-1]), dict):
            parent = dict(_at(tree, path[:-1]))
            parent[random.choice(keys)] = parent.pop(path[-1])
            return _put(tree, path[:-1], parent)
        case 4:
            return _put(tree, path, [found] if random.random() < 0.5 else {random.choice(keys): found})
        case 5 if isinstance(found, int | float):
            step = random.choice((-1, 1, 0.5, 1_000, -found, found))
            return _put(tree, path, found + step)
        case 5 if isinstance(found, str):
            return _put(
                tree, path, random.choice((found[:-1], found + found, found.upper(), found + "\x00", found[1:]))
            )
        case 6 if isinstance(found, int | float | str):
            return _put(tree, path, str(found) if not isinstance(found, str) else len(found))
        case 7 if random.random() < 0.1:
            return _put(tree, path, _HOLE)
    return _put(tree, path, random.choice(pool))


def _paths(tree: Any, path: Path) -> Iterator[Path]:
    yield path
    if len(path) < 12:
        inner = tree.items() if isinstance(tree, dict) else enumerate(tree[:50]) if isinstance(tree, list) else ()
        for key, value in inner:
            yield from _paths(value, [*path, key])


def _at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _put(tree: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = _put(copy[path[0]], path[1:], value)
    return copy


def _without(tree: Any, path: Path) -> Any:
    if not path:
        return None
    parent = _at(tree, path[:-1])
    copy = dict(parent) if isinstance(parent, dict) else list(parent)
    del copy[path[-1]]
    return _put(tree, path[:-1], copy)
