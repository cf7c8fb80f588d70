"""`make bench-resume`: how a client comes back, and one short run."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from websockets import frames

from bench.follower import Follower
from tests.bench.benches import bench
from tests.programs import find
from wire.errors import Unavailable

TOPIC = "fleets/f0/+/telemetry"
SMALL = ("--clients=20", "--observers=4", "--fleets=2", "--vehicles=30", "--rate=300", "--seconds=1")


def event(cursor: str, **more: Any) -> dict[str, Any]:
    return {"action": "subscription", "subscriptionId": "s", "ts": 9, "cursor": cursor, "data": [], **more}


def came(client: Follower) -> bool:
    """Wait for what comes next, and let it read that: whether it stays."""
    assert select.select([client.connection], [], [], 10)[0]
    return client.read()


class Node:
    """Where clients connect: what one of them asks for, and what it is told."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._stack = ExitStack()
        self.port = int(listener.getsockname()[1])

    def take(self, client: Follower) -> dict[str, Any]:
        """Let it in: what it subscribes to."""
        self._socket = self._stack.enter_context(self._listener.accept()[0])
        self._socket.recv(4_096)
        self.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", client)
        data = self._socket.recv(4_096)
        start = 2 if data[1] & 0x7F < 126 else 4
        mask, body = data[start : start + 4], data[start + 4 :]
        asked: dict[str, Any] = msgspec.json.decode(bytes(byte ^ mask[at % 4] for at, byte in enumerate(body)))
        return asked

    def send(self, data: bytes, client: Follower) -> bool:
        """Send it something: whether it stays."""
        self._socket.sendall(data)
        return came(client)

    def tell(self, payload: object, client: Follower) -> bool:
        """Send it an event: whether it stays."""
        frame = frames.Frame(frames.Opcode.TEXT, msgspec.json.encode(payload))
        return self.send(frame.serialize(mask=False), client)

    def refuse(self, code: int, client: Follower) -> bool:
        """Close with a code: whether it stays."""
        frame = frames.Frame(frames.Opcode.CLOSE, frames.Close(code, "why").serialize())
        return self.send(frame.serialize(mask=False), client)

    def close(self) -> None:
        """Die."""
        self._stack.close()


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        dying, other = Node(first), Node(second)
        yield dying, other
        dying.close()
        other.close()


@pytest.fixture
def client(nodes: tuple[Node, Node]) -> Iterator[Follower]:
    client = Follower(TOPIC, "batch", 100, nodes[0].port)
    yield client
    client.connection.close()


def test_a_client_that_comes_back_brings_its_cursor(nodes: tuple[Node, Node], client: Follower) -> None:
    dying, other = nodes
    asked = dying.take(client)
    assert (asked["topic"], asked["strategy"], asked["interval"]) == (TOPIC, "batch", 100)
    assert "since" not in asked
    assert dying.tell({"action": "subscribe", "requestId": "subscribe", "ts": 9, "subscriptionId": "s"}, client)
    assert dying.tell(event("5-0", snapshot=True), client)
    assert dying.tell(event("7-1", data=[{"topic": "a", "id": "7-1", "ts": 6, "values": {}}]), client)
    dying.close()
    assert not came(client)
    client.come_back(other.port)
    assert other.take(client) == asked | {"since": "7-1"}
    assert [receipt.event.cursor for receipt in client.receipts] == ["5-0", "7-1"]
    assert client.complaints == set()


def test_a_client_is_served_when_it_came_back_and_has_everything(nodes: tuple[Node, Node], client: Follower) -> None:
    dying, other = nodes
    order = 8 << 32
    dying.take(client)
    dying.tell(event("6-0"), client)
    assert client.whole_at(0) is None, "it has not come back"
    dying.close()
    client.come_back(other.port)
    assert client.whole_at(0) is None, "it was given nothing yet"
    other.take(client)
    other.tell(event("7-0"), client)
    client.receipts[-1].at = 200
    assert (client.whole_at(0), client.whole_at(order)) == (200, None)
    other.tell(event("8-0"), client)
    client.receipts[-1].at = 300
    assert (client.whole_at(0), client.whole_at(order)) == (200, 300)


def test_a_client_goes_when_it_is_sent_to_another_node(nodes: tuple[Node, Node], client: Follower) -> None:
    nodes[0].take(client)
    assert not nodes[0].refuse(1012, client)
    client.come_back(nodes[1].port)
    nodes[1].take(client)
    with pytest.raises(Unavailable, match="the node closed a connection: 4008 why"):
        nodes[1].refuse(4008, client)


def test_a_client_complains_of_gaps_and_errors(nodes: tuple[Node, Node], client: Follower) -> None:
    nodes[0].take(client)
    nodes[0].tell({"action": "gap", "subscriptionId": "s", "ts": 9, "from": "1-1", "to": "1-2"}, client)
    nodes[0].tell({"action": "subscribe", "error": {"number": 400, "reason": "invalid_cursor"}}, client)
    assert client.complaints == {"were sent gap", "were sent subscribe invalid_cursor"}


async def test_all_come_back_and_lack_nothing() -> None:
    find("redis-server", package="redis-server")
    ended = await bench("bench.resume", *SMALL, "--json")
    assert ended.status == 0, ended.out + ended.err
    figures = ended.figures
    assert (figures["readings missing, batch"], figures["readings doubled, batch"]) == (0, 0)
    for strategy in ("batch", "latest"):
        first, whole = figures[f"{strategy}, first frame, max"], figures[f"{strategy}, everything, max"]
        assert 0 < first <= whole <= figures["until the last has everything"]
    assert figures["live p50 before"] > 0


async def test_says_that_there_must_be_clients_of_both_strategies() -> None:
    ended = await bench("bench.resume", "--clients=1")
    assert ended.status == 2
    assert "at least 2 clients" in ended.err
