"""Nodes in this process, clients of them without a socket, and readings stored as the bridge stores them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from redis.asyncio import Redis

from ingest.state import Shapes
from stream.grants import Grants
from stream.node import Node
from stream.outbox import QueuedOutbox
from stream.session import Session
from stream.settings import Settings
from tests.programs import eventually
from wire import keys
from wire.ids import parse_id
from wire.protocol import Format
from wire.reading import Reading, Value, decode_reading, encode
from wire.store import SCRIPT, Entry, Retention, arguments, parse_entry

TOPIC = "fleets/berlin/v1/telemetry"
Event = dict[str, Any]


class Store:
    """What the bridge does to Redis."""

    def __init__(self, redis: Redis, retention: Retention | None = None) -> None:
        self.redis = redis
        self._retention = retention or Retention(entries=100_000)
        self._script = redis.register_script(SCRIPT)
        self._shapes = Shapes()
        self._known: set[tuple[str, str]] = set()

    async def readings(self, *readings: tuple[str, Reading]) -> None:
        """Store readings of topics, in one call."""
        entries = []
        for topic, reading in readings:
            _, fleet, vehicle, _ = topic.split("/")
            if (fleet, vehicle) not in self._known:
                self._known.add((fleet, vehicle))
                await self.redis.sadd(keys.FLEETS, fleet)
                await self.redis.sadd(keys.fleet(fleet), vehicle)
            entries.append(Entry(topic, encode(reading), reading.ts, self._shapes.parts(topic, reading)))
        names, args = arguments(entries, self._retention)
        await self._script(keys=names, args=args)

    async def numbers(self, numbers: Iterable[int], topic: str = TOPIC) -> None:
        """A reading for each number, with the number as its `ts`, `seq` and only value."""
        if found := [(topic, Reading(n, {"n": n}, n)) for n in numbers]:
            await self.readings(*found)

    async def log(self, topic: str) -> list[tuple[int, Reading]]:
        """The readings in a topic's log, with their ids as one number."""
        return [
            (parse_id(id), decode_reading(parse_entry(fields)))
            for id, fields in await self.redis.xrange(keys.log(topic))
        ]


def truth(log: Iterable[tuple[int, Reading]]) -> dict[str, Value]:
    """The state that a log makes: of each signal the value with the newest (ts, id)."""
    newest: dict[str, tuple[tuple[int, int], Value]] = {}
    for order, reading in log:
        for name, value in {} if reading.historical else reading.values.items():
            if name not in newest or (reading.ts, order) > newest[name][0]:
                newest[name] = ((reading.ts, order), value)
    return {name: value for name, (_, value) in newest.items()}


class Peer:
    """A client without a socket. It reads all the time, unless `reading` is cleared."""

    def __init__(self, node: Node, format: Format, grants: Grants) -> None:
        self.outbox = QueuedOutbox(node.settings.outbox_bytes)
        self.session = Session(node, format, grants, self.outbox)
        self.format = format
        self.codec = msgspec.json if format == "json" else msgspec.msgpack
        self.messages: list[Event] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.closed: int | None = None
        self._numbers = itertools.count(1)

    async def send(self, command: Any) -> None:
        """Send anything that the format can say."""
        await self.session.receive(self.codec.encode(command))

    async def ask(self, action: str, **fields: Any) -> Event:
        """Send a command, and wait for its reply."""
        id = str(next(self._numbers))
        await self.send({"action": action, "requestId": id, **fields})
        return await eventually(lambda: next((m for m in self.messages if m.get("requestId") == id), None))

    async def subscribe(self, topic: str, **fields: Any) -> Subscription:
        """A subscription, once it is answered."""
        reply = await self.ask("subscribe", topic=topic, **fields)
        assert "error" not in reply, reply
        return Subscription(self, reply["subscriptionId"])

    async def read(self) -> None:
        """Until the outbox is closed."""
        while True:
            await self.reading.wait()
            frame = await self.outbox.get()
            if frame is None:
                self.closed = self.outbox.close_code
                return
            self.messages.append(self.codec.decode(frame.data))


class Subscription:
    """What a client has been sent for one subscription, with what must hold of it always."""

    def __init__(self, peer: Peer, id: str) -> None:
        self.peer = peer
        self.id = id

    @property
    def events(self) -> list[Event]:
        return [m for m in self.peer.messages if m.get("subscriptionId") == self.id and m["action"] != "subscribe"]

    @property
    def frames(self) -> list[Event]:
        return [event for event in self.events if event["action"] == "subscription"]

    @property
    def gaps(self) -> list[Event]:
        return [event for event in self.events if event["action"] == "gap"]

    @property
    def cursor(self) -> str:
        """That of the last frame."""
        cursor: str = self.frames[-1]["cursor"]
        return cursor

    def items(self, *, snapshot: bool | None = None) -> list[Event]:
        """All items, or those in or outside of snapshots."""
        frames = [frame for frame in self.frames if snapshot in (None, frame.get("snapshot", False))]
        return [item for frame in frames for item in frame["data"]]

    @property
    def seqs(self) -> list[int]:
        """The sequence numbers of live items, in order; needs `meta`."""
        return [item["seq"] for item in self.items(snapshot=False)]

    @property
    def states(self) -> dict[str, Event]:
        """The last item of each topic."""
        return {item["topic"]: item for item in self.items()}

    def check_order(self) -> None:
        """Ids grow, topic by topic, and no cursor goes back."""
        last: dict[str, int] = {}
        for item in self.items():
            order = parse_id(item["id"])
            assert order > last.get(item["topic"], 0)
            last[item["topic"]] = order
        cursors = [parse_id(frame["cursor"]) for frame in self.frames]
        assert cursors == sorted(cursors)


@asynccontextmanager
async def starting(redis_url: str, **changes: Any) -> AsyncIterator[Node]:
    """A node that has just been started."""
    node = Node(Settings(redis_url=redis_url, **changes))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(node.run())
        try:
            yield node
        finally:
            task.cancel()


@asynccontextmanager
async def running(redis_url: str, **changes: Any) -> AsyncIterator[Node]:
    """A node that is ready."""
    async with starting(redis_url, **changes) as node:
        await eventually(node.ready)
        yield node


@asynccontextmanager
async def joined(node: Node, format: Format = "json", token: str | None = None) -> AsyncIterator[Peer]:
    """A client of a node."""
    peer = Peer(node, format, await node.authority.grants(token) if token else node.authority.default)
    reader = asyncio.create_task(peer.read())
    try:
        yield peer
    finally:
        peer.session.close()
        peer.reading.set()
        await reader


def counted(node: Node, name: str, **labels: str) -> float:
    """A metric of a node."""
    return node.metrics.registry.get_sample_value(f"fleetwire_stream_{name}", labels) or 0
