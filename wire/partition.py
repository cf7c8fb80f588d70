"""Partitions: how what is stored is spread over a Redis Cluster. Without one there is a single partition.

A partition is a small Redis of its own: it has its own clock, names, logs, states and channels, and its ids order all
that it stores. Its keys and channels begin with one hash tag, so they lie in one slot, on one master at a time. A
vehicle, or a room, belongs to one partition for good.
"""

from __future__ import annotations

from binascii import crc_hqx
from itertools import count
from typing import NamedTuple
from zlib import crc32

__all__ = ["MOST_PARTITIONS", "WHOLE", "Layout", "Partition", "slot"]

SLOTS = 16_384
MOST_PARTITIONS = 256


class Partition(NamedTuple):
    """One of them. `tag`: what its keys and channels begin with."""

    number: int = 0
    tag: str = ""

    def key(self, name: str) -> str:
        """A key or channel of `wire.keys` in this partition."""
        return self.tag + name


WHOLE = Partition()


class Layout:
    """All partitions: in a cluster `spread` of them, without one (0) a single one."""

    def __init__(self, spread: int = 0) -> None:
        self.partitions = tuple(_spread(spread)) if spread else (WHOLE,)

    def __len__(self) -> int:
        return len(self.partitions)

    def of(self, topic: str) -> Partition:
        """Where a topic is. Any text has a place, also what is no topic."""
        if len(self.partitions) == 1:
            return self.partitions[0]
        return self.partitions[crc32(_stem(topic).encode()) % len(self.partitions)]

    def matching(self, filter: str) -> tuple[Partition, ...]:
        """Where the topics are that a filter matches."""
        levels = filter.split("/")
        whole = 2 if levels[0] == "rooms" else 3
        if len(levels) < whole or not {"+", "#"}.isdisjoint(levels[:whole]):
            return self.partitions
        return (self.of("/".join(levels[:whole])),)


def slot(key: str) -> int:
    """The hash slot of a key (Redis Cluster specification, "Key distribution model")."""
    start = key.find("{")
    end = key.find("}", start + 1)
    tagged = key[start + 1 : end] if start >= 0 and end > start + 1 else key
    return crc_hqx(tagged.encode(), 0) % SLOTS


def _stem(topic: str) -> str:
    """Vehicle or room."""
    return "/".join(topic.split("/", 3)[:3])


def _spread(partitions: int) -> list[Partition]:
    """So many, evenly over the slots: the tag of each is the smallest number in its share of them. However many
    masters share the slots in ranges, they have about as many partitions."""
    tags: dict[int, str] = {}
    for n in count():
        tag = f"{{{n}}}"
        tags.setdefault(slot(tag) * partitions // SLOTS, tag)
        if len(tags) == partitions:
            return [Partition(number, tags[number]) for number in range(partitions)]
    raise AssertionError("numbers never end")
