"""The dashboards of `bench.slow`, in a process of their own: some can be held, so that they read nothing, or a tenth
of what comes, while the others read all."""

from __future__ import annotations

import select
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from bench.child import say
from bench.crowd import open_all
from bench.watcher import Receipt, Watcher
from bench.websocket import subscribe
from wire.clock import now_ms
from wire.errors import Unavailable
from wire.ids import parse_id

RECEIVE_BYTES = 65_536  # the kernel's, of those that are held: so that the node feels it soon
TICK_SECONDS = 0.1
SHARE = 10  # the slow ones read this part of what comes
INTERVAL_MS = 100
QUIET_SECONDS = 10


class Latency(NamedTuple):
    """From the device's clock to a dashboard, over all readings at all dashboards; ms."""

    readings: int
    p50: int
    p99: int


def latency(receipts: Iterable[Receipt]) -> Latency:
    """Of what was received."""
    frames: dict[int, tuple[list[int], Counter[int]]] = {}
    for receipt in receipts:
        frames.setdefault(receipt.digest, (receipt.event.sent, Counter()))[1][receipt.at] += 1
    taken: Counter[int] = Counter()
    for sent, arrivals in frames.values():
        for ts, readings in Counter(sent).items():
            for at, dashboards in arrivals.items():
                taken[at - ts] += readings * dashboards
    return Latency(taken.total(), _rank(taken, 0.50), _rank(taken, 0.99))


def _rank(taken: Counter[int], share: float) -> int:
    """The ms that this share of them does not exceed (nearest rank)."""
    left = share * taken.total()
    for ms in sorted(taken):
        left -= taken[ms]
        if left <= 0:
            return ms
    return 0


def caught_up(receipts: Iterable[Receipt], common: set[int]) -> list[str]:
    """What is wrong with how a dashboard that was stalled has caught up: behind frames that all had, and that were
    under way to it already, there must be one of its own, which tells how many readings it skipped."""
    own = [receipt.event for receipt in receipts if receipt.digest not in common]
    match own:
        case []:
            return ["never fell behind: the stall was too short, or too little came"]
        case [event] if event.conflated:
            return []
        case [_]:
            return ["skipped readings, and was not told of it"]
    return [f"took {len(own)} frames to catch up"]


class Watchers:
    """Dashboards of a topic at the node on a port, each with a connection of its own."""

    def __init__(self, port: int, topic: str, count: int, stalled: int, slow: int) -> None:
        held = open_all(port, stalled + slow, RECEIVE_BYTES)
        self._stalled = [Watcher("stalled", connection) for connection in held[:stalled]]
        self._slow = [Watcher("slow", connection) for connection in held[stalled:]]
        self._steady = [Watcher("steady", connection) for connection in open_all(port, count - stalled - slow)]
        self._all = [*self._stalled, *self._slow, *self._steady]
        self._by_number = {one.connection.fileno(): one for one in self._all}
        self._state_url = f"http://127.0.0.1:{port}/v1/state?{urllib.parse.urlencode({'topic': topic})}"
        self._common: set[int] = set()  # digests of the frames that a steady one had
        self._cleared = time.monotonic()
        self._portion = 0  # bytes that a slow one may read at each tick, while it is held
        self._tick = 0.0
        self._resumed = 0  # epoch ms
        self._poll = select.epoll()
        for one in self._all:
            self._poll.register(one.connection, select.EPOLLIN)
            one.connection.send(subscribe(topic, interval=INTERVAL_MS))

    def serve(self) -> None:
        """Read, and obey what comes on standard input, until that ends."""
        self._until(lambda: all(one.receipts for one in self._all))
        say()
        self._poll.register(sys.stdin, select.EPOLLIN)
        while True:
            if self._turn():
                words = sys.stdin.readline().split()
                if not words:
                    return
                say(**self._obey(words))

    def _turn(self) -> bool:
        """Read what comes within a tick: whether there is a command."""
        ready = [number for number, _ in self._poll.poll(TICK_SECONDS)]
        for number in ready:
            if number in self._by_number:
                self._by_number[number].read()
        if self._portion and time.monotonic() >= self._tick:
            self._tick = time.monotonic() + TICK_SECONDS
            for one in self._slow:
                one.read(self._portion)
        return sys.stdin.fileno() in ready

    def _until(self, condition: Callable[[], bool]) -> None:
        """Read until something holds, or nothing comes any more."""
        received, at = 0, time.monotonic()
        while not condition() and time.monotonic() < at + QUIET_SECONDS:
            self._turn()
            before, received = received, sum(one.received for one in self._all)
            if received != before:
                at = time.monotonic()

    def _obey(self, words: list[str]) -> dict[str, Any]:
        match words:
            case ["clear"]:
                self._clear()
            case ["latency"]:
                return latency(receipt for one in self._steady for receipt in one.receipts)._asdict()
            case ["hold", "stalled"]:
                self._hold(self._stalled)
            case ["hold", "slow"]:
                self._slow_down()
            case ["resume"]:
                self._resume()
            case ["settle", readings]:
                self._until(lambda: all(one.told >= int(readings) for one in self._steady))
            case ["finish", readings]:
                self._until(lambda: all(one.told >= int(readings) for one in self._all))
                return self._findings(int(readings))
        return {}

    def _clear(self) -> None:
        """Forget what came, so that something can be measured."""
        self._common.update(receipt.digest for receipt in self._steady[0].receipts)
        self._cleared = time.monotonic()
        for one in self._all:
            one.receipts.clear()
            one.received = 0

    def _hold(self, held: Iterable[Watcher]) -> None:
        """Let some read nothing by themselves."""
        for one in held:
            self._poll.unregister(one.connection)

    def _slow_down(self) -> None:
        """Let the slow ones read a part of what the steady ones had since `clear`."""
        per_second = self._steady[0].received / (time.monotonic() - self._cleared)
        self._portion = max(1, int(per_second * TICK_SECONDS / SHARE))
        self._hold(self._slow)

    def _resume(self) -> None:
        """Let all read all again."""
        self._portion, self._resumed = 0, now_ms()
        for one in (*self._stalled, *self._slow):
            one.receipts.clear()
            self._poll.register(one.connection, select.EPOLLIN)

    def _findings(self, readings: int) -> dict[str, Any]:
        """After the load, and after a stall: what is wrong, and how long the last one took to have the newest."""
        self._common.update(receipt.digest for receipt in self._steady[0].receipts)
        with urllib.request.urlopen(self._state_url, timeout=QUIET_SECONDS) as response:  # noqa: S310 - ours
            states = {item["topic"]: parse_id(item["id"]) for item in msgspec.json.decode(response.read())["data"]}
        problems: Counter[str] = Counter()
        for one in self._all:
            texts = dict.fromkeys(one.complaints)
            if one.told != readings:
                texts[f"was told of {one.told:,} of {readings:,} readings"] = None
            if one.states != states:
                texts["has not the newest state of each vehicle"] = None
            if one in self._stalled:
                texts |= dict.fromkeys(caught_up(one.receipts, self._common))
            problems.update(f"{one.role}: {text}" for text in texts)
        times = (one.receipts[-1].at for one in (*self._stalled, *self._slow) if one.receipts)
        return {"problems": problems, "caught_up_ms": max(times, default=self._resumed) - self._resumed}


def main() -> None:
    port, topic, *numbers = sys.argv[1:]
    try:
        Watchers(int(port), topic, *map(int, numbers)).serve()
    except (Unavailable, ValueError) as error:
        say(error=str(error))


if __name__ == "__main__":
    main()
