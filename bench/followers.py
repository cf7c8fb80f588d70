"""Clients that follow one fleet each, in a process of their own that costs little: those of a fleet are sent the same
bytes, which are decoded once. In the end what each was given is compared with what Redis has.

Whoever loses the node comes back at once to the refuge, if there is one, with the cursor.
"""

from __future__ import annotations

import resource
import select
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Literal, NamedTuple

import msgspec

from bench.child import say
from bench.fleets import Fleets
from bench.follower import Follower, Receipt
from fleetwire.observer import percentile
from wire.clock import now_ms
from wire.errors import Unavailable
from wire.ids import parse_id

__all__ = ["Difference", "Latency", "Outcome", "Plan", "Served", "State", "difference", "place"]

SERVE_SECONDS = 30  # how long one may wait for what it has asked for
DRAIN_SECONDS = 60  # and, when the load has ended, for the rest
TURN_SECONDS = 0.1


class Plan(msgspec.Struct, frozen=True):
    """So many clients, spread evenly over fleets and over the nodes at these ports; `interval` in ms."""

    fleets: Fleets
    ports: list[int]
    clients: int
    strategy: Literal["batch", "latest"] = "batch"
    interval: int = 100
    refuge: int | None = None


class State(msgspec.Struct, frozen=True):
    """Deliveries so far, and CPU of the process since it started."""

    deliveries: int
    cpu_s: float


class Served(msgspec.Struct, frozen=True):
    """Of each client that came back: when it had its first frame, and when it had everything up to some id; epoch
    ms. `late`: how many did not have it when it was `over`. `sent_away`: how often one was told to go to another
    node, and came again."""

    first: list[int]
    whole: list[int]
    late: int
    over: int
    sent_away: int


class Latency(msgspec.Struct, frozen=True):
    """From the store to the clients, over all readings at all clients; ms."""

    readings: int
    p50: int
    p99: int
    most: int


class Outcome(msgspec.Struct, frozen=True):
    """How many readings Redis has; how many deliveries were missing and doubled; what was wrong, with how many
    clients."""

    stored: int
    missing: int
    doubled: int
    problems: dict[str, int]

    def wrong(self, readings: int) -> list[str]:
        """All that is wrong in words, when so many readings were published."""
        lost = [f"Redis has {self.stored:,} of {readings:,} readings"] if self.stored != readings else []
        return lost + [f"{times:,} clients: {text}" for text, times in self.problems.items()]


TEXTS = "lack readings", "have readings twice", "have readings that nobody stored"


class Difference(NamedTuple):
    """Readings that a client lacks, that it was given again, and that nobody has stored."""

    missing: int
    doubled: int
    unknown: int


def place(plan: Plan, number: int) -> tuple[int, int]:
    """Fleet and port of a client."""
    row, fleet = divmod(number, plan.fleets.fleets)
    return fleet, plan.ports[(row + fleet) % len(plan.ports)]


def difference(receipts: Sequence[Receipt], logs: Mapping[str, list[str]], strategy: str) -> Difference:
    """Between what a client was given and the ids that there are, by topic. With `latest` readings may be overtaken,
    but not the last of a topic."""
    given = Counter(item.id for receipt in receipts for item in receipt.event.data)
    stored = set(chain.from_iterable(logs.values()))
    wanted = stored if strategy == "batch" else {ids[-1] for ids in logs.values()}
    return Difference(len(wanted - given.keys()), given.total() - len(given), len(given.keys() - stored))


class Followers:
    """All of them, on one epoll."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._all: list[Follower] = []
        self._by_number: dict[int, Follower] = {}
        self._poll = select.epoll()
        for number in range(plan.clients):
            fleet, port = place(plan, number)
            self._all.append(Follower(plan.fleets.filter(fleet), plan.strategy, plan.interval, port))
            self._watch(self._all[-1])

    def serve(self) -> None:
        """Read, and answer what comes on standard input, until that ends."""
        if self._until(lambda one: bool(one.receipts), SERVE_SECONDS):
            raise Unavailable("not all subscriptions were answered")
        say()
        self._poll.register(sys.stdin, select.EPOLLIN)
        while True:
            if self._turn():
                words = sys.stdin.readline().split()
                if not words:
                    return
                say(**msgspec.structs.asdict(self._answer(words)))

    def _answer(self, words: list[str]) -> State | Served | Latency | Outcome:
        match words:
            case ["served", order]:
                return self._served(int(order))
            case ["latency", start, end]:
                return self._latency(int(start), int(end))
            case ["finish", redis]:
                return self._outcome(int(redis))
        return self._state()

    def _watch(self, one: Follower) -> None:
        self._by_number[one.connection.fileno()] = one
        self._poll.register(one.connection, select.EPOLLIN)

    def _turn(self) -> bool:
        """Read what comes within a moment: whether there is a command."""
        ready = [number for number, _ in self._poll.poll(TURN_SECONDS)]
        for number in ready:
            if number in self._by_number and not self._by_number[number].read():
                self._come_back(self._by_number.pop(number))
        return sys.stdin.fileno() in ready

    def _come_back(self, one: Follower) -> None:
        if self._plan.refuge is None:
            raise Unavailable("a client has lost its node")
        one.come_back(self._plan.refuge)
        self._watch(one)

    def _until(self, holds: Callable[[Follower], bool], seconds: float) -> int:
        """Read until something holds for all, which then goes on to hold: for how many it does not after so long."""
        left, deadline = list(self._all), time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            if holds(left[-1]):
                left.pop()
            else:
                self._turn()
        return sum(not holds(one) for one in left)

    def _state(self) -> State:
        used = resource.getrusage(resource.RUSAGE_SELF)
        deliveries = sum(len(receipt.event.data) for one in self._all for receipt in one.receipts)
        return State(deliveries, used.ru_utime + used.ru_stime)

    def _served(self, order: int) -> Served:
        """When all have come back, and were given everything up to an id."""
        late = self._until(lambda one: one.whole_at(order) is not None, SERVE_SECONDS)
        first = [at for one in self._all if (at := one.whole_at(0)) is not None]
        whole = [at for one in self._all if (at := one.whole_at(order)) is not None]
        over = now_ms() if late else max(whole)
        return Served(first, whole, late, over, sum(max(one.times - 1, 0) for one in self._all))

    def _latency(self, start: int, end: int) -> Latency:
        """Of the readings with a `ts` from one time to another."""
        took = [
            receipt.at - item.ts
            for one in self._all
            for receipt in one.receipts
            for item in receipt.event.data
            if start <= item.ts < end
        ]
        return Latency(len(took), percentile(took, 0.5) or 0, percentile(took, 0.99) or 0, max(took, default=0))

    def _outcome(self, redis: int) -> Outcome:
        """When the load has ended and all were given all, or took too long."""
        logs = self._plan.fleets.stored(redis)
        ends = {
            filter: max(parse_id(ids[-1]) for ids in topics.values()) for filter, topics in logs.items() if topics
        }
        self._until(lambda one: one.cursor >= ends.get(one.topic, 0), DRAIN_SECONDS)
        found = [difference(one.receipts, logs[one.topic], self._plan.strategy) for one in self._all]
        problems = Counter(text for one in self._all for text in one.complaints)
        problems.update(text for one in found for text, number in zip(TEXTS, one, strict=True) if number)
        return Outcome(
            stored=sum(len(ids) for topics in logs.values() for ids in topics.values()),
            missing=sum(one.missing for one in found),
            doubled=sum(one.doubled for one in found),
            problems=problems,
        )


def main() -> None:
    try:
        Followers(msgspec.json.decode(sys.argv[1].encode(), type=Plan)).serve()
    except Unavailable as error:
        say(error=str(error))


if __name__ == "__main__":
    main()
