"""The table: last known state by topic, merged signal by signal. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from stream.item import Item
from wire.cursor import Cursor
from wire.reading import Reading
from wire.topics import KINDS

__all__ = ["State", "Table", "merge"]

Stamp = tuple[int, int]  # of one signal: its reading's ts, and order for those of the same ts


class State(NamedTuple):
    """A topic's state as an item, and the signals' stamps where they are not all the item's own."""

    item: Item
    stamps: dict[str, Stamp] | None = None


def merge(state: State | None, item: Item) -> State | None:
    """The state with one more reading in it, or None when that changes nothing: for each signal the newest
    `ts` wins, of equal ones the later id. The order of merging makes no difference. A historical reading
    changes nothing, and neither does what is no reading."""
    reading = item.body
    if not isinstance(reading, Reading) or reading.historical:
        return None
    if state is None:
        return State(item)
    known, stamps = state
    assert isinstance(known.body, Reading)
    if stamps is None and reading.ts > known.body.ts and reading.values.keys() >= known.body.values.keys():
        return State(item)  # the usual case, and the item's encoded bytes are shared
    stamp = (reading.ts, item.order)
    newest = (known.body.ts, known.order) if stamps is None else max(stamps.values())
    if stamp > newest and reading.values.keys() >= known.body.values.keys():
        return State(item)
    stamps = dict(stamps) if stamps is not None else dict.fromkeys(known.body.values, newest)
    fresh = {name: value for name, value in reading.values.items() if stamp > stamps.get(name, (-1, -1))}
    if not fresh:
        return None
    stamps |= dict.fromkeys(fresh, stamp)
    head = reading if stamp > newest else known.body
    merged = Reading(
        max(reading.ts, known.body.ts), known.body.values | fresh, head.seq, False, head.clock, head.received
    )
    newer = max(item.order, known.order)
    return State(Item(known.topic, newer, merged, item.read, partition=known.partition), stamps)


class Table:
    """States of the topics that this node has an interest in."""

    def __init__(self, states: Mapping[str, State] = MappingProxyType({})) -> None:
        self._states: dict[str, State] = {}
        self._fleets: dict[str, list[str]] = {}  # fleet -> its topics
        for topic, state in states.items():
            self._put(topic, state)

    def __len__(self) -> int:
        return len(self._states)

    def apply(self, item: Item) -> Item | None:
        """Merge a reading: the topic's new state as an item, or None when nothing changed."""
        known = self._states.get(item.topic)
        state = merge(known, item)
        if state is None:
            return None
        if known is None:
            self._put(item.topic, state)
        else:
            self._states[item.topic] = state
        return state.item

    def _put(self, topic: str, state: State) -> None:
        self._states[topic] = state
        self._fleets.setdefault(topic.split("/")[1], []).append(topic)

    def get(self, topic: str) -> Item | None:
        """A topic's state, if it is known."""
        state = self._states.get(topic)
        return state.item if state is not None else None

    def matching(self, filter: str, after: Cursor | None = None) -> list[Item]:
        """States of the topics that a filter matches and that changed after a cursor, oldest first."""
        pattern = _compile(filter)
        found = [
            state.item
            for topic in self._candidates(filter)
            if (state := self._states.get(topic)) and pattern.fullmatch(topic)
        ]
        if after is not None:
            found = [item for item in found if item.order > after[item.partition]]
        found.sort(key=lambda item: item.order)
        return found

    def _candidates(self, filter: str) -> Iterable[str]:
        """Topics among which are all that a filter matches: a few for one vehicle, where a look at 10,000 takes
        3 ms."""
        levels = filter.split("/")
        if "+" in levels[:2] or "#" in levels[:2] or len(levels) < 3:
            return self._states
        if levels[2] in ("+", "#"):
            return self._fleets.get(levels[1], ())
        vehicle = "/".join(levels[:3])
        return [vehicle, *(f"{vehicle}/{kind}" for kind in KINDS)]

    def only(self, filter: str) -> Table:
        """A table of its own with the states of the topics that a filter matches."""
        pattern = _compile(filter)
        return Table({topic: state for topic, state in self._states.items() if pattern.fullmatch(topic)})

    def keep(self, partition: int, filters: list[str]) -> None:
        """Forget the topics of a partition that none of the filters matches."""
        patterns = [_compile(filter) for filter in filters]
        self._retain(
            lambda state: state.item.partition != partition or any(p.fullmatch(state.item.topic) for p in patterns)
        )

    def forget(self, partition: int, after: int) -> None:
        """Forget the states of a partition that something changed after an id."""
        self._retain(lambda state: state.item.partition != partition or state.item.order <= after)

    def _retain(self, wanted: Callable[[State], bool]) -> None:
        kept = {topic: state for topic, state in self._states.items() if wanted(state)}
        self._states, self._fleets = {}, {}
        for topic, state in kept.items():
            self._put(topic, state)


def _compile(filter: str) -> re.Pattern[str]:
    if filter == "#":
        return re.compile(".*")
    head, rest = (filter[:-2], "(/.*)?") if filter.endswith("/#") else (filter, "")
    return re.compile(re.escape(head).replace(r"\+", "[^/]+") + rest)
