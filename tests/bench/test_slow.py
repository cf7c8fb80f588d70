"""`make bench-slow`: what a dashboard notices, latencies, how one that was stalled catches up, and one short run."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets import frames

from bench.watcher import Event, Receipt, Watcher
from bench.watchers import Latency, caught_up, latency
from tests.bench.benches import bench, interrupted
from tests.programs import find
from wire.errors import Unavailable

SMALL = ("--dashboards=12", "--stalled=2", "--slow=2", "--vehicles=800", "--rate=4000", "--seconds=1.5", "--rounds=1")


def event(ids: dict[str, str], **more: Any) -> dict[str, Any]:
    data = [{"topic": topic, "id": id, "ts": 5, "values": {}} for topic, id in ids.items()]
    return {"action": "subscription", "subscriptionId": "s", "ts": 9, "cursor": "1-1", "data": data, **more}


class Node:
    """The other end of a dashboard's connection."""

    def __init__(self) -> None:
        self._socket, connection = socket.socketpair()
        connection.setblocking(False)
        self.watcher = Watcher("stalled", connection)

    def send(self, payload: object, opcode: frames.Opcode = frames.Opcode.TEXT) -> None:
        data = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        self._socket.sendall(frames.Frame(opcode, data).serialize(mask=False))
        self.watcher.read()

    def received(self) -> bytes:
        return self._socket.recv(1_000)

    def close(self) -> None:
        self._socket.close()
        self.watcher.connection.close()


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.close()


def test_a_dashboard_counts_what_it_was_given_and_what_was_conflated(node: Node) -> None:
    node.send({"action": "subscribe", "requestId": "1", "ts": 9, "subscriptionId": "s"})
    node.send(event({}, snapshot=True))
    node.send(event({"a": "1-1", "b": "1-2"}))
    node.send(event({"a": "1-9"}, conflated=6))
    assert node.watcher.told == 9
    assert node.watcher.states == {"a": (1 << 32) + 9, "b": (1 << 32) + 2}
    assert len(node.watcher.receipts) == 4
    assert node.watcher.complaints == []


def test_a_dashboard_complains_of_ids_that_do_not_grow_and_of_gaps(node: Node) -> None:
    node.send(event({"a": "1-2", "b": "1-1"}))
    node.send(event({"a": "1-2"}))
    node.send({"action": "gap", "subscriptionId": "s", "ts": 9, "from": "1-1", "to": "1-2"})
    grow, gap = node.watcher.complaints
    assert grow == "an id of a that does not grow"
    assert '"gap"' in gap


def test_a_dashboard_answers_pings(node: Node) -> None:
    node.send(b"abcd", frames.Opcode.PING)
    assert node.received()[:2] == b"\x8a\x84"


def test_a_dashboard_that_was_closed_says_by_what(node: Node) -> None:
    with pytest.raises(Unavailable, match="the node closed a stalled dashboard: 4008 too slow"):
        node.send(frames.Close(4008, "too slow").serialize(), frames.Opcode.CLOSE)


def receipt(digest: int, at: int = 0, sent: tuple[int, ...] = (), conflated: int = 0) -> Receipt:
    return Receipt(digest, Event("subscription", [], list(sent), conflated), at)


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=20), min_size=1, max_size=5), st.data())
def test_latency_is_of_every_reading_at_every_dashboard(frames: list[list[int]], data: st.DataObject) -> None:
    times = [data.draw(st.lists(st.integers(50, 90), min_size=1, max_size=5)) for _ in frames]
    receipts = [receipt(n, at, tuple(sent)) for n, sent in enumerate(frames) for at in times[n]]
    each = sorted(at - ts for n, sent in enumerate(frames) for at in times[n] for ts in sent)
    found = latency(receipts)
    assert found.readings == len(each)
    for share, ms in ((0.5, found.p50), (0.99, found.p99)):
        assert sum(value <= ms for value in each) >= share * len(each)
        assert sum(value < ms for value in each) < share * len(each)


def test_latency_of_nothing() -> None:
    assert latency([]) == Latency(0, 0, 0)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ([receipt(7, conflated=3)], []),
        ([], ["never fell behind: the stall was too short, or too little came"]),
        ([receipt(7)], ["skipped readings, and was not told of it"]),
        ([receipt(7, conflated=3), receipt(8, conflated=3)], ["took 2 frames to catch up"]),
    ],
)
def test_one_that_was_stalled_catches_up_by_one_frame(own: list[Receipt], said: list[str]) -> None:
    assert caught_up([receipt(1), receipt(2), *own], {1, 2, 3}) == said


async def test_nobody_loses_anything() -> None:
    find("mosquitto", package="mosquitto")
    find("redis-server", package="redis-server")
    ended = await bench("bench.slow", *SMALL, "--json")
    assert ended.status == 0, ended.out + ended.err
    assert ended.figures["p99 of the others, some do not"] > 0


async def test_leaves_nothing_behind_when_it_is_interrupted() -> None:
    find("mosquitto", package="mosquitto")
    find("redis-server", package="redis-server")
    ended = await interrupted("bench.slow", *SMALL)
    assert (ended.status, ended.out, ended.err) == (130, "", "")


async def test_says_that_somebody_must_read() -> None:
    ended = await bench("bench.slow", "--dashboards", "40")
    assert ended.status == 2
    assert "more dashboards than stalled and slow ones" in ended.err
