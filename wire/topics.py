"""Topics, filters, and the two questions asked of them: does it match, does it cover.

A topic names what a reading belongs to, and is the same word in MQTT, in Redis and in the client protocol:

    fleets/{fleet}/{vehicle}/{kind}      kind: telemetry, status, alerts, commands, replies
    rooms/{room}                         messages between people and programs

A filter is an MQTT filter (MQTT 5, section 4.7): `+` stands for one level, `#` for the rest, the level
before it included. Pure: no I/O.
"""

from __future__ import annotations

import re
from typing import Generic, NamedTuple, TypeVar

from wire.errors import TopicError

__all__ = [
    "KINDS",
    "Room",
    "Topic",
    "TopicLayout",
    "Trie",
    "Vehicle",
    "carries_messages",
    "check_filter",
    "covers",
    "is_wide",
    "matches",
    "only_messages",
    "parse",
]

T = TypeVar("T")

KINDS = ("telemetry", "status", "alerts", "commands", "replies")

_SEGMENT = re.compile(r"[A-Za-z0-9._:\-]{1,64}")
_MAX_LEVELS = 16
_SLOTS = ("{fleet}", "{vehicle}", "{kind}")


class Vehicle(NamedTuple):
    """A topic of a device."""

    fleet: str
    vehicle: str
    kind: str


class Room(NamedTuple):
    """A topic for messages between clients."""

    room: str


Topic = Vehicle | Room


def parse(topic: str) -> Topic:
    """The parts of a topic.

    Raises TopicError, which names the offending segment, when the topic is outside the grammar.
    """
    match topic.split("/"):
        case ["fleets", fleet, vehicle, kind]:
            _check_segments(topic, (fleet, vehicle))
            if kind not in KINDS:
                raise TopicError(f"unknown kind {kind[:64]!r}: one of {', '.join(KINDS)}")
            return Vehicle(fleet, vehicle, kind)
        case ["rooms", room]:
            _check_segments(topic, (room,))
            return Room(room)
    raise TopicError(f"not a topic: {topic[:128]!r}; expected fleets/FLEET/VEHICLE/KIND or rooms/ROOM")


def carries_messages(topic: str) -> bool:
    """Whether what a topic carries is said once, each as good as the last (rooms, commands, replies), and not a
    reading, which the next one overtakes."""
    return topic.startswith("rooms/") or topic.endswith(("/commands", "/replies"))


def only_messages(filter: str) -> bool:
    """Whether every topic that a filter can match carries messages."""
    return any(covers(grant, filter) for grant in ("rooms/#", "+/+/+/commands", "+/+/+/replies"))


def is_wide(filter: str) -> bool:
    """Whether a filter has wildcards."""
    return "+" in filter or "#" in filter


def check_filter(filter: str) -> str:
    """The filter itself, when it is a filter.

    Raises TopicError when a segment is outside the grammar or a wildcard stands where MQTT forbids it.
    """
    levels = filter.split("/")
    if len(levels) > _MAX_LEVELS:
        raise TopicError(f"filter has {len(levels)} levels, at most {_MAX_LEVELS} are allowed")
    for position, level in enumerate(levels):
        if level == "#":
            if position != len(levels) - 1:
                raise TopicError(f"'#' may only be the last level of a filter: {filter[:128]!r}")
        elif level != "+":
            _check_segments(filter, (level,))
    return filter


def _check_segments(topic: str, segments: tuple[str, ...]) -> None:
    for segment in segments:
        if _SEGMENT.fullmatch(segment) is None:
            raise TopicError(
                f"bad segment {segment[:70]!r} in {topic[:128]!r}: 1 to 64 of A-Z a-z 0-9 . _ : - are allowed"
            )


def matches(filter: str, topic: str) -> bool:
    """Whether a filter matches a topic. For many filters at once, use a Trie."""
    levels = topic.split("/")
    wanted = filter.split("/")
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position == len(levels) or level not in ("+", levels[position]):
            return False
    return len(wanted) == len(levels)


def covers(grant: str, filter: str) -> bool:
    """Whether every topic that `filter` can match is matched by `grant` too."""
    granted = _canonical(grant)
    asked = _canonical(filter)
    for position, level in enumerate(granted):
        if level == "#":
            return True
        if position == len(asked) or asked[position] == "#" or level not in ("+", asked[position]):
            return False
    return len(granted) == len(asked)


def _canonical(filter: str) -> list[str]:
    # No topic is empty, so "+/#" matches just what "#" does.
    return ["#"] if filter == "+/#" else filter.split("/")


class _Node(Generic[T]):
    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.values: dict[T, None] = {}  # a set that keeps the order of insertion


class Trie(Generic[T]):
    """Filters with values, asked by topic: the cost follows the topic's depth, at
    most 2^depth nodes, not the number of filters."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._size = 0

    def __len__(self) -> int:
        """How many (filter, value) pairs are held."""
        return self._size

    def add(self, filter: str, value: T) -> None:
        """Hold the value under the filter; a pair that is already held stays as it is."""
        node = self._root
        for level in filter.split("/"):
            node = node.children.setdefault(level, _Node())
        if value not in node.values:
            node.values[value] = None
            self._size += 1

    def remove(self, filter: str, value: T) -> None:
        """Forget the pair. Raises KeyError when it is not held."""
        path = [self._root]
        levels = filter.split("/")
        for level in levels:
            path.append(path[-1].children[level])
        del path[-1].values[value]
        self._size -= 1
        for parent, level in zip(reversed(path[:-1]), reversed(levels), strict=True):
            child = parent.children[level]
            if child.values or child.children:
                break
            del parent.children[level]

    def match(self, topic: str) -> list[T]:
        """The values of every filter that matches the topic; a value held under two of them comes twice."""
        found: list[T] = []
        nodes = [self._root]
        for level in topic.split("/"):
            reached = []
            for node in nodes:
                children = node.children
                if (rest := children.get("#")) is not None:
                    found += rest.values
                if (child := children.get(level)) is not None:
                    reached.append(child)
                if (child := children.get("+")) is not None:
                    reached.append(child)
            nodes = reached
        for node in nodes:
            found += node.values
            if (rest := node.children.get("#")) is not None:
                found += rest.values
        return found


class TopicLayout:
    """How a broker's own topics map onto ours, e.g. `vehicles/{vehicle}/{fleet}/data`.

    `{fleet}`, `{vehicle}` and `{kind}` stand for one level each; a layout without `{fleet}` puts every
    device into `default_fleet`, one without `{kind}` is `default_kind`.
    """

    def __init__(self, template: str, default_fleet: str = "default", default_kind: str = "telemetry") -> None:
        self.template = template
        self._defaults = {"fleet": default_fleet, "kind": default_kind}
        self._levels = template.split("/")
        slots = [level for level in self._levels if level in _SLOTS]
        if slots.count("{vehicle}") != 1 or len(set(slots)) != len(slots):
            raise TopicError(
                f"bad topic layout {template!r}: it needs {{vehicle}} once, and may have {{fleet}} and {{kind}} once"
            )
        _check_segments(template, tuple(level for level in self._levels if level not in _SLOTS))
        parse("fleets/{fleet}/v/{kind}".format(**self._defaults))
        self.filter = check_filter("/".join("+" if level in _SLOTS else level for level in self._levels))

    def topic(self, name: str) -> str:
        """Our topic for a broker's topic name. Raises TopicError when the name does not fit the layout."""
        levels = name.split("/")
        if len(levels) != len(self._levels):
            raise TopicError(f"{name[:128]!r} does not fit {self.template!r}")
        found = dict(self._defaults)
        for wanted, level in zip(self._levels, levels, strict=True):
            if wanted in _SLOTS:
                found[wanted[1:-1]] = level
            elif wanted != level:
                raise TopicError(f"{name[:128]!r} does not fit {self.template!r}")
        topic = "fleets/{fleet}/{vehicle}/{kind}".format(**found)
        parse(topic)
        return topic
