"""What clients must have been told, whatever happened: a model of all that was stored, and of one subscription over
all its connections. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from wire.ids import LAST, format_id, parse_id
from wire.reading import Body, Message, Reading, Value
from wire.topics import carries_messages, matches, only_messages

Event = dict[str, Any]

ROOM = "rooms/x"  # who would hear of this one would hear of any


class Stored(NamedTuple):
    """A reading or message in a log, the call that stored it, and the state that the topic had with it."""

    order: int
    body: Body
    call: int
    state: Mapping[str, Value]
    ts: int
    changes: bool  # whether the state is another than before


class Truth:
    """All that was ever stored, and what of it the logs still have."""

    def __init__(self) -> None:
        self.calls = 0  # that have stored something, or are about to
        self.settled = 0  # of these, what every node has delivered
        self.kept: dict[str, int] = {}  # the first id in each log that was trimmed
        self._logs: dict[str, list[Stored]] = {}
        self._found: dict[tuple[str, int], Stored] = {}
        self._signals: dict[str, dict[str, tuple[tuple[int, int], Value]]] = defaultdict(dict)

    def add(self, topic: str, order: int, body: Body) -> None:
        """What the last call has stored: ids grow."""
        signals = self._signals[topic]
        before = dict(signals)
        if isinstance(body, Reading) and not body.historical:
            for name, value in body.values.items():
                signals[name] = max(signals.get(name, ((-1, -1), None)), ((body.ts, order), value), key=_stamp)
        state = {name: value for name, (_, value) in signals.items()}
        ts = max((stamp[0] for stamp, _ in signals.values()), default=0)
        stored = self._found[topic, order] = Stored(order, body, self.calls, state, ts, signals != before)
        self._logs.setdefault(topic, []).append(stored)

    def log(self, topic: str) -> list[Stored]:
        """All of a topic, also what was trimmed, oldest first."""
        return self._logs.get(topic, [])

    def last(self, topic: str) -> int:
        """A topic's newest id, or 0."""
        return self._logs[topic][-1].order if topic in self._logs else 0

    def topics(self, filter: str) -> list[str]:
        """Those that a filter matches and that have something."""
        return [topic for topic in self._logs if matches(filter, topic)]

    def find(self, topic: str, order: int) -> Stored:
        """What has an id."""
        assert (topic, order) in self._found, f"{topic} has nothing with the id {format_id(order)}"
        return self._found[topic, order]


def _stamp(found: tuple[tuple[int, int], Value]) -> tuple[int, int]:
    return found[0]


class Asked(NamedTuple):
    """What a client asks for. Those that are equal share a subscription."""

    topic: str
    strategy: Literal["latest", "batch"]
    interval: int
    signals: tuple[str, ...] | None = None

    @property
    def batch(self) -> bool:
        """Whether everything is to be told."""
        return self.strategy == "batch" or only_messages(self.topic)

    @property
    def key(self) -> Asked:
        """The same for those that ask for the same."""
        return self._replace(strategy="batch" if self.batch else "latest")

    def values(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """What is to be shown of some values."""
        return {name: value for name, value in values.items() if self._wants(name)}

    def shows(self, body: Body) -> bool:
        """Whether there is anything to be shown of it."""
        return isinstance(body, Message) or bool(self.values(body.values))

    def _wants(self, name: str) -> bool:
        return self.signals is None or any(_names(pattern, name) for pattern in self.signals)


def _names(pattern: str, name: str) -> bool:
    wanted, found = pattern.split("."), name.split(".")
    return len(wanted) == len(found) and all(w in ("*", f) for w, f in zip(wanted, found, strict=True))


class Gap(NamedTuple):
    """What was announced as gone, what the logs had kept when that was read, and whether it may speak of messages
    that they still have: `latest` does not read them."""

    event: Event
    kept: Mapping[str, int]
    messages: bool

    def covers(self, order: int) -> bool:
        """Whether it says so of an id."""
        return parse_id(self.event["from"]) < order <= parse_id(self.event["to"])

    def excuses(self, topic: str, stored: Stored) -> bool:
        """Whether something could not be had any more."""
        return stored.order < self.kept.get(topic, 0) or (self.messages and isinstance(stored.body, Message))

    def ends_before(self, order: int) -> bool:
        """Whether it says nothing of an id, nor of later ones."""
        return parse_id(self.event["to"]) < order


class Watch:
    """One subscription, over all its connections: what was asked for, and what was told.

    `calls` of the truth are its time: what was stored by a call after the client had `joined` it must be told.
    """

    def __init__(self, truth: Truth, asked: Asked, *, snapshot: bool) -> None:
        self._truth = truth
        self.asked = asked
        self.snapshot = snapshot  # whether it begins with one
        self.begin()

    def begin(self) -> None:
        """It is asked for anew: nothing that was told counts."""
        self.cursor: str | None = None  # that of the last frame
        self.joined: int | None = None  # for readings
        self.listens: int | None = None  # for messages: an update gives no snapshot of these
        self.undisturbed = True  # one connection, one query
        self._latest = not self.asked.batch  # or it was, before an update
        self.whole = not self.snapshot  # whether all of the snapshot was told
        self.torn = False  # whether that will never be
        self._after = self._truth.settled  # what is older can't be news
        self._known: dict[str, int] = {}  # of states, the last id told, by topic
        self._states: dict[str, dict[str, Value]] = {}  # and the values
        self._told: dict[str, list[int]] = defaultdict(list)  # ids of readings and messages, by topic
        self._begins: dict[str, int] = {}  # of states, the id in the snapshot
        self._last: dict[str, int] = {}
        self._gaps: list[Gap] = []
        self._news = 0  # readings told, and those that were conflated

    def join(self, calls: int) -> None:
        """It was carried out, after so many calls."""
        self.joined = calls
        if self.listens is None:
            self.listens = calls

    def resume(self) -> None:
        """It goes on from its cursor, in another connection."""
        self.undisturbed = False
        if self.asked.batch and not self.whole:
            self.torn = self.whole = True  # the log goes on after the part that was told

    def update(self, asked: Asked, calls: int) -> None:
        """From now on it asks for something else: what was told before counts where the two are of one kind."""
        before, self.asked = self.asked, asked
        self.undisturbed = False
        self._latest |= not asked.batch
        if before.batch and asked.batch:
            return
        if before._replace(interval=asked.interval) != asked:
            self.snapshot, self.whole, self.torn, self.cursor = True, False, False, None
            self.joined = calls
            self._known.clear()
            self._states.clear()
            for topic in [topic for topic in self._last if not carries_messages(topic)]:
                self._told.pop(topic, None)
                del self._last[topic]

    def receive(self, event: Event) -> None:
        """An event of it: checks all that can be said at once."""
        if event["action"] == "gap":
            self._receive_gap(Gap(event, dict(self._truth.kept), self._latest))
            return
        self.cursor = event["cursor"]
        snapshot = event.get("snapshot", False)
        for item in event["data"]:
            self._receive_item(item, snapshot)
        self._news += event.get("conflated", 0)
        assert not (self.asked.batch and "conflated" in event)
        if snapshot and not event.get("more"):
            self.whole = True

    def _receive_item(self, item: Event, snapshot: bool) -> None:
        topic, order = item["topic"], parse_id(item["id"])
        stored = self._truth.find(topic, order)
        assert matches(self.asked.topic, topic)
        assert order > self._last.get(topic, 0), f"{item} comes again or too late for {self.asked}"
        assert snapshot or stored.call > self._after, f"{item} is no news to {self.asked}"
        self._last[topic] = order
        if isinstance(stored.body, Message):
            assert not snapshot
            assert item["data"] == stored.body.data
            self._told[topic].append(order)
            return
        told = item["ts"], item["values"]
        assert item["values"]
        if snapshot or not self.asked.batch:
            # A part of what was lost may come a moment later.
            assert topic in self._truth.kept or told == (stored.ts, self.asked.values(stored.state)), (item, stored)
            self._known[topic] = order
            self._states[topic] = item["values"]
            self._news += not snapshot
            if snapshot:
                self._begins[topic] = order
        else:
            assert told == (stored.body.ts, self.asked.values(stored.body.values)), (item, stored)
            self._told[topic].append(order)

    def _receive_gap(self, gap: Gap) -> None:
        assert not gap.ends_before(parse_id(gap.event["from"]) + 1), gap.event
        topics = self._truth.topics(self.asked.topic)
        trimmed = any(gap.ends_before(gap.kept[topic]) for topic in topics if topic in gap.kept)
        rooms = matches(self.asked.topic, ROOM)
        assert (trimmed and self.asked.batch) or (rooms and gap.messages), f"{self.asked} is told of a {gap.event}"
        self._gaps.append(gap)

    def missing(self) -> list[str]:
        """What it has not been told yet, in words."""
        if self.joined is None or self.listens is None:
            return [f"{self.asked} was not answered"]
        return list(self._missing(self.joined, self.listens))

    def _missing(self, joined: int, listens: int) -> Iterator[str]:
        if not self.whole:
            yield f"{self.asked} waits for its snapshot"
        for topic in self._truth.topics(self.asked.topic):
            if carries_messages(topic):
                if self.asked.batch or topic.startswith("rooms/"):
                    yield from self._untold(topic, listens)
            elif self.asked.batch:
                yield from self._untold(topic, joined)
            else:
                yield from self._unknown(topic, joined)

    def _untold(self, topic: str, joined: int) -> Iterator[str]:
        told = set(self._told.get(topic, ()))
        first, shown = min(told, default=LAST), self._known.get(topic, 0)
        for stored in self._truth.log(topic):
            news = stored.call > joined or stored.order >= first
            if self.snapshot and not self.torn:  # what had changed the state is part of it
                news = news or (stored.changes and stored.order > shown)
            if news and self.asked.shows(stored.body) and stored.order not in told and not self._gone(topic, stored):
                yield f"{self.asked} misses {topic} {format_id(stored.order)} {stored.body}"

    def _gone(self, topic: str, stored: Stored) -> bool:
        return any(gap.covers(stored.order) and gap.excuses(topic, stored) for gap in self._gaps)

    def _unknown(self, topic: str, joined: int) -> Iterator[str]:
        log = self._truth.log(topic)
        state = self.asked.values(log[-1].state)
        due = self.snapshot or any(s.changes and s.call > joined and self.asked.shows(s.body) for s in log)
        known = self._states.get(topic, {})
        if (known or due) and known != state:
            yield f"{self.asked} knows of {topic} {known}, not {state}"

    def unaccounted(self) -> int:
        """How many readings were neither told nor counted as conflated, where that can be said."""
        topics = self._truth.topics(self.asked.topic)
        if self.asked.batch or not (self.undisturbed and self.snapshot) or any(map(carries_messages, topics)):
            return 0
        begins = {topic: self._begins.get(topic, 0) for topic in topics}
        changes = [s for topic in topics for s in self._truth.log(topic) if s.changes and s.order > begins[topic]]
        return sum(self.asked.shows(stored.body) for stored in changes) - self._news
