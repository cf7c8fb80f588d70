"""Pictures, held against a model that remembers everything: whoever joins, lags, leaves, comes back or asks for
something else, in the end everybody knows what they asked for.

Node and sessions are real; only what Redis would have is in memory. Time stands still: a group flushes when a rule
says so. Frames, pages and outboxes are small, so that all overflow.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, precondition, rule

from stream import framer
from stream import group as module
from stream.geo import position
from stream.group import Group
from stream.history import Page
from stream.hub import Hub
from stream.item import Item, View
from stream.member import Member
from stream.metrics import Metrics
from stream.node import Node
from stream.outbox import QueuedOutbox
from stream.query import query
from stream.session import Session
from stream.settings import Settings
from stream.table import Table
from wire import protocol
from wire.cursor import Cursor, format_cursor, parse_cursor
from wire.ids import parse_id
from wire.partition import Layout
from wire.reading import Message, Reading, Value
from wire.topics import matches

T = TypeVar("T")
METRICS = Metrics()
Fields = dict[str, Any]
Event = dict[str, Any]

LATITUDE, LONGITUDE = "CurrentLocation.Latitude", "CurrentLocation.Longitude"
TOPICS = [f"fleets/{name}/telemetry" for name in ("a/1", "a/5", "b/1")]  # each in another one of three partitions
PAGE_ITEMS = 3
TURNS = 20  # of the loop, until everybody has done what there is to do
DIFF = 2
CHANGE = {
    "variant": "change",
    "parameter": [{"logic-op": "gt", "diff": DIFF, "combination-op": "OR"}, {"logic-op": "lt", "diff": -DIFF}],
}
BOX: Fields = {"bbox": [-1, -1, 1, 1]}
FENCE: Fields = {"geofence": {"polygon": [[-1, -1], [1, -1], [1, 1], [-1, 1]]}}
DEAD_BAND: Fields = {"filter": {"x": CHANGE}}
BATCH: Fields = {"strategy": "batch"}
WINDOW: Fields = {"window": ["min", "max", "mean"]}
X: Fields = {"signals": ["x"]}
QUERIES: dict[str, Fields] = {
    "plain": {},
    "batch": BATCH,
    "delta": {"delta": True},
    "delta of x": {"delta": True} | X,
    "change": DEAD_BAND,
    "change, batch": DEAD_BAND | BATCH,
    "changes of changes": DEAD_BAND | {"delta": True},
    "box": BOX,
    "box, of x": BOX | X,
    "box, delta": BOX | {"delta": True},
    "box, change": BOX | DEAD_BAND,
    "box, batch": BOX | BATCH,
    "box, change, batch": BOX | DEAD_BAND | BATCH,
    "fence": FENCE,
    "fence, of x, batch": FENCE | X | BATCH,
    "window": WINDOW,
    "box, window": BOX | WINDOW,
}
NAMES = {"strategy": "latest", "signals": None, "filter": None, "bbox": None, "geofence": None, "window": None}


def merged(log: list[Item]) -> dict[str, dict[str, Value]]:
    """What the readings of a log say, by topic: of each signal the value with the newest (ts, id)."""
    stamped: dict[str, dict[str, tuple[tuple[int, int], Value]]] = {}
    for item in log:
        if isinstance(item.body, Reading) and not item.body.historical:
            known = stamped.setdefault(item.topic, {})
            stamp = (item.body.ts, item.order)
            known.update(
                {n: (stamp, v) for n, v in item.body.values.items() if n not in known or stamp > known[n][0]}
            )
    return {topic: {name: value for name, (_, value) in known.items()} for topic, known in stamped.items()}


def inside(values: dict[str, Value]) -> bool:
    where = position(values)
    return where is not None and max(map(abs, where)) <= 1


class MemoryHistory:
    """The part of a log that is in one partition, in small pages."""

    def __init__(self, log: list[Item], number: int) -> None:
        self._log = log
        self._number = number

    async def read(self, filter: str, after: int, until: int, limit: int) -> Page:
        await asyncio.sleep(0)
        found = [
            item
            for item in self._log
            if item.partition == self._number and after < item.order <= until and matches(filter, item.topic)
        ]
        items = found[: min(limit, PAGE_ITEMS)]
        more = len(items) < len(found)
        return Page(items, items[-1].order if more else until, more, {})


class NoInterest:
    """Whoever stores something gives it to the hub."""

    def hold(self, filter: str) -> None:
        pass

    async def ready(self, filter: str) -> None:
        pass

    def release(self, filter: str) -> None:
        pass


class MemoryNode(Node):
    """A node whose log is a list, and whose clock is whoever flushes. An id is the place in the list, of whatever
    partition."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(Settings(redis_url=redis_url))
        self.log: list[Item] = []
        for shard in self._shards:
            shard.history = MemoryHistory(self.log, shard.partition.number)  # type: ignore[assignment]
            shard.interest = NoInterest()  # type: ignore[assignment]

    async def run(self) -> None:
        await self._replays.run()

    def store(self, topic: str, body: Reading | Message) -> Item:
        item = Item(topic, len(self.log) + 1, body, partition=self.layout.of(topic).number)
        self.log.append(item)
        self.hub.deliver(item)
        return item


class Client:
    """A client with one subscription, and what it knows by what it has been sent."""

    def __init__(self, node: Node, fields: Fields, limit: int) -> None:
        self.outbox = QueuedOutbox(limit)
        self.session = Session(node, "json", node.authority.default, self.outbox)
        self.values: dict[str, dict[str, Any]] = {}
        self.inside: set[str] = set()
        self.seen: dict[str, int] = {}  # topic -> the last id
        self.ids: list[int] = []  # of live items
        self.told: list[tuple[Event, Event]] = []  # live items with their frames
        self.cursor = Cursor.start(len(node.layout))
        self.start = 0
        self.lagged = self.more = False
        self.ask_for(fields)

    def ask_for(self, fields: Fields) -> None:
        self.fields = fields
        command = {"action": "subscribe", "requestId": "1", "topic": "fleets/#", "meta": True, **fields}
        decoded = protocol.decode_command(json.dumps(command), "json")
        assert isinstance(decoded, protocol.Subscribe)
        self.query = query(decoded, View("json", decoded.signals, decoded.meta))

    @property
    def group(self) -> Group:
        (member,) = self.session.subscriptions.members.values()
        return member.group

    async def send(self, action: str, **fields: Any) -> None:
        while not self.outbox._room.is_set():
            await self.take()
        await self.session.receive(json.dumps({"action": action, "requestId": "1", **fields}))

    async def take(self) -> bool:
        """Read the next frame, if there is one."""
        self.lagged |= any(member.group.is_behind(member) for member in self.session.subscriptions.members.values())
        getting = asyncio.ensure_future(self.outbox.get())
        for _ in range(TURNS):
            await asyncio.sleep(0)
        if not getting.done():
            getting.cancel()
            return False
        frame = getting.result()
        if frame is None:
            return False
        self._read(json.loads(frame.data))
        return True

    def _read(self, event: Event) -> None:
        assert "error" not in event, event
        if event["action"] == "update":
            after = self.asked
            if not self.continues(after):
                self.values, self.inside, self.seen = {}, set(), {}
            self.ask_for(after)
            self.lagged = True  # it is no longer one who was there all the time
        if event["action"] != "subscription":
            return
        snapshot = event.get("snapshot", False)
        if snapshot and not self.more and not self.query.resumable:
            self.values, self.inside, self.seen = {}, set(), {}
        self.more = event.get("more", False)
        assert len(event["data"]) <= framer.FRAME_ITEMS
        for item in event["data"]:
            order = parse_id(item["id"])
            assert order > self.seen.get(item["topic"], 0)
            self.seen[item["topic"]] = order
            if not snapshot:
                self.ids.append(order)
                self.told.append((event, item))
            self._learn(item)
        cursor = parse_cursor(event["cursor"], len(self.cursor))
        assert snapshot or cursor >= self.cursor
        self.cursor = cursor

    def _learn(self, item: Event) -> None:
        topic = item["topic"]
        if item.get("historical"):
            return
        if item.get("event") == "leave":
            self.inside.discard(topic)
            self.values.pop(topic, None)
            return
        assert self.query.shape.geofence is None or item["event"] in ("enter", "inside")
        self.inside.add(topic)
        self.values.setdefault(topic, {}).update(item["values"])

    def update(self, fields: Fields) -> Coroutine[Any, Any, None]:
        self.asked = fields
        (id,) = self.session.subscriptions.members
        return self.send("update", subscriptionId=id, **{**NAMES, "delta": False, **fields})

    def continues(self, after: Fields) -> bool:
        """Whether what it knows stays good when it asks for something else."""
        before = {**self.fields, "interval": after["interval"]}
        return self.query.resumable and before == after


class PictureMachine(RuleBasedStateMachine):
    """Anything that can happen to clients that ask for just what they show."""

    redis_url = "redis+cluster://127.0.0.1?partitions=3"
    clients = Bundle("clients")
    gone = Bundle("gone")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.patches = [
            patch.object(framer, "FRAME_ITEMS", 2),
            patch.object(module, "PENDING_ITEMS", 6),
            patch.object(Group, "flush", self._flushing(Group.flush)),
            patch.object(Group, "__init__", self._beginning(Group.__init__)),
        ]
        for one in self.patches:
            one.start()
        self.node = MemoryNode(self.redis_url)
        self.running = self.loop.create_task(self.node.run())
        self.here: list[Client] = []
        self.began: dict[str, int] = {}  # by group
        self.windows: dict[tuple[str, int], int] = {}  # group, end -> begin
        self.at = 0

    def _beginning(self, init: Any) -> Any:
        def record(group: Group, *args: Any) -> None:
            init(group, *args)
            self.began[group.id] = max(group.cursor)

        return record

    def _flushing(self, flush: Any) -> Any:
        def record(group: Group) -> None:
            before = max(group.cursor)
            flush(group)
            if max(group.cursor) > before:
                self.windows[group.id, max(group.cursor)] = before

        return record

    def teardown(self) -> None:
        try:
            self._settle()
        finally:
            self.running.cancel()
            with suppress(asyncio.CancelledError):
                self.loop.run_until_complete(self.running)
            for one in self.patches:
                one.stop()
            self.loop.close()

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    # What happens

    @rule(
        topic=st.sampled_from(TOPICS),
        x=st.none() | st.integers(-4, 4),
        y=st.none() | st.integers(0, 1),
        latitude=st.sampled_from([None, 0, 0, 5]),
        longitude=st.sampled_from([None, 0, 0, 5]),
        late=st.sampled_from([0, 0, 0, 1, 3]),
        historical=st.sampled_from([False, False, False, True]),
    )
    def store(
        self,
        topic: str,
        x: int | None,
        y: int | None,
        latitude: int | None,
        longitude: int | None,
        late: int,
        historical: bool,
    ) -> None:
        values: dict[str, Value] = {"x": x, "y": y, LATITUDE: latitude, LONGITUDE: longitude}
        values = {name: value for name, value in values.items() if value is not None}
        self.at += 1
        reading = Reading(10 + self.at - late, values or {"y": 2}, historical=historical)

        async def store() -> None:
            self.node.store(topic, reading)

        self.wait(store())

    @precondition(lambda self: len(self.here) < 4)
    @rule(
        target=clients,
        name=st.sampled_from(sorted(QUERIES)),
        interval=st.sampled_from([50_000, 60_000]),
        limit=st.sampled_from([1, 600, 1 << 20]),
    )
    def join(self, name: str, interval: int, limit: int) -> Client:
        client = Client(self.node, QUERIES[name] | {"interval": interval}, limit)
        return self._enter(client)

    @rule(target=clients, before=consumes(gone), limit=st.sampled_from([1, 600, 1 << 20]))
    def come_back(self, before: Client, limit: int) -> Client:
        client = Client(self.node, before.fields, limit)
        client.values = {topic: dict(values) for topic, values in before.values.items()}
        client.inside, client.seen = set(before.inside), dict(before.seen)
        client.ids, client.start, client.lagged = list(before.ids), before.start, True
        client.cursor = before.cursor
        return self._enter(client, since=format_cursor(before.cursor))

    @rule(target=gone, client=consumes(clients))
    def leave(self, client: Client) -> Any:
        client.session.close()
        self.here.remove(client)
        while self.wait(client.take()):
            pass
        return client if any(client.cursor) else multiple()

    @rule(
        client=clients,
        name=st.sampled_from([None, *sorted(QUERIES)]),
        interval=st.sampled_from([50_000, 60_000]),
    )
    def update(self, client: Client, name: str | None, interval: int) -> None:
        while self.wait(client.take()):
            pass  # so that it knows for itself what it asks for
        fields = (QUERIES[name] if name else client.fields) | {"interval": interval}
        if fields == client.fields:
            return
        if fields.get("strategy") != "batch" or client.fields.get("strategy") != "batch":
            client.start = len(self.node.log)
        elif client.query.resumable is False:
            client.start = len(self.node.log)  # of what was not told before nothing is due
        self.wait(client.update(fields))

    @rule(client=clients, frames=st.integers(1, 4))
    def read(self, client: Client, frames: int) -> None:
        for _ in range(frames):
            self.wait(client.take())

    @rule(data=st.data())
    def flush(self, data: st.DataObject) -> None:
        if groups := self.node.hub.groups:
            self.wait(self._flush(data.draw(st.sampled_from(groups))))

    # What must hold

    async def _flush(self, group: Group) -> None:
        group.flush()

    def _enter(self, client: Client, **fields: Any) -> Client:
        if not fields:
            client.start = len(self.node.log)
        self.wait(client.send("subscribe", topic="fleets/#", meta=True, **client.fields, **fields))
        self.here.append(client)
        return client

    def _settle(self) -> None:
        """Everybody reads everything; then everybody knows what they asked for."""
        for _ in range(2):
            for group in self.node.hub.groups:
                self.wait(self._flush(group))
            for client in self.here:
                while self.wait(client.take()):
                    pass
        truth = merged(self.node.log)
        for client in self.here:
            self._check(client, truth)

    def _check(self, client: Client, truth: dict[str, dict[str, Value]]) -> None:
        query = client.query
        expected = {topic: query.view.values(Reading(0, values)) for topic, values in truth.items()}
        if query.placed:
            there = {topic for topic, values in truth.items() if inside(values)}
            assert client.inside == there
            expected = {topic: values for topic, values in expected.items() if topic in there}
        if query.strategy == "batch":
            self._check_batch(client)
        elif query.shape.window is not None:
            self._check_windows(client)
        elif query.shape.geofence is None:
            known = {topic: values for topic, values in client.values.items() if values}
            expected = {topic: values for topic, values in expected.items() if values}
            assert known.keys() == expected.keys()
            for topic, values in expected.items():
                if query.shape.filters and "x" in values:
                    assert abs(known[topic]["x"] - values["x"]) <= DIFF
                    values = values | {"x": known[topic]["x"]}
                assert known[topic] == values

    def _check_batch(self, client: Client) -> None:
        assert len(client.ids) == len(set(client.ids))
        if client.query.resumable:
            due = [item.order for item in self.node.log if item.order > client.start and client.group.wants(item)]
            given = [order for order in client.ids if order > client.start]
            assert self._by_partition(given) == self._by_partition(due)
            return
        told, knows = self._oracle(client.group)
        if client.query.shape.geofence is None:
            assert client.values == knows
        if not client.lagged:
            assert [(order, values) for order, values in told if order > client.start] == [
                (parse_id(item["id"]), item["values"])
                for _, item in client.told
                if parse_id(item["id"]) > client.start
            ]

    def _by_partition(self, orders: list[int]) -> list[int]:
        """Only within one do ids have an order: a replay reads some of each."""
        return sorted(orders, key=lambda order: self.node.log[order - 1].partition)

    def _oracle(self, group: Group) -> tuple[list[tuple[int, dict[str, Value]]], dict[str, dict[str, Value]]]:
        """By the log alone: what a group of `batch` is told after it began, and what its members know then."""
        query, began = group.query, self.began[group.id]
        fence, thinned = query.shape.geofence is not None, bool(query.shape.filters)
        start = merged([item for item in self.node.log if item.order <= began])
        there = {topic for topic, values in start.items() if inside(values) or not query.placed}
        knows = {topic: query.view.values(Reading(0, start[topic])) for topic in there}
        past: dict[str, dict[str, Value]] = {}
        told: list[tuple[int, dict[str, Value]]] = []
        for item in self.node.log:
            assert isinstance(item.body, Reading)
            if item.order <= began:
                continue
            topic, historical = item.topic, item.body.historical
            was = topic in there
            now = not query.placed or inside(merged(self.node.log[: item.order])[topic] if not historical else {})
            if historical:
                where = position(item.values)
                now = inside(item.values) if query.placed and where is not None else was or not query.placed
            crossing = query.placed and not historical and was != now
            if not historical:
                (there.add if now else there.discard)(topic)
            if not (now or crossing) or (fence and not crossing):
                continue
            if crossing and now:
                knows.pop(topic, None)
            known = (past if historical else knows).setdefault(topic, {})
            values = {
                name: value
                for name, value in query.view.values(item.body).items()
                if not (thinned and name == "x" and "x" in known and (now or not crossing))
                or abs(value - known["x"]) > DIFF  # type: ignore[operator]
            }
            known.update(values)
            if values or crossing:
                told.append((item.order, values))
            if crossing and not now:
                knows.pop(topic, None)
        return told, {topic: values for topic, values in knows.items() if values or query.placed}

    def _check_windows(self, client: Client) -> None:
        for frame, item in [] if client.lagged else client.told:
            end = max(parse_cursor(frame["cursor"], len(client.cursor)))
            group = client.group.id
            if (group, end) not in self.windows or len(frame["data"]) == framer.FRAME_ITEMS:
                continue  # not the last frame of a flush
            order = parse_id(item["id"])
            begin = self.windows[group, end]
            before = merged(self.node.log[:begin])
            readings = [
                reading.values
                for place, reading in enumerate(self.node.log[begin:end], begin)
                if reading.topic == item["topic"]
                and merged(self.node.log[: place + 1]).get(reading.topic) is not None
                and self._changes(place)
            ]
            assert order <= end
            for name, found in item["values"].items():
                numbers = [values[name] for values in readings if name in values]
                if not numbers:  # it has just entered or left, and is shown whole
                    numbers = [before.get(item["topic"], {})[name]]
                expected = {"min": min(numbers), "max": max(numbers), "mean": sum(numbers) / len(numbers)}  # type: ignore[type-var, arg-type]
                assert found == pytest.approx(expected)

    def _changes(self, place: int) -> bool:
        """Whether a reading of the log changed a state."""
        item = self.node.log[place]
        assert isinstance(item.body, Reading)
        if item.body.historical:
            return False
        newest: dict[str, int] = {}
        for other in self.node.log[:place]:
            assert isinstance(other.body, Reading)
            if other.topic == item.topic and not other.body.historical:
                newest |= {name: max(other.body.ts, newest.get(name, 0)) for name in other.values}
        return any(item.body.ts >= newest.get(name, 0) for name in item.values)


class SingleMachine(PictureMachine):
    """The same without a cluster."""

    redis_url = "redis://127.0.0.1"


TestPicture = PictureMachine.TestCase
TestPicture.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestSinglePicture = SingleMachine.TestCase
TestSinglePicture.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


# The same, in small


class Viewer:
    """A client that reads everything, at once."""

    def __init__(self, hub: Hub, limit: int = 1 << 20, topic: str = "#", **fields: Any) -> None:
        command = {"action": "subscribe", "requestId": "1", "topic": topic, "interval": 60_000, **fields}
        decoded = protocol.decode_command(json.dumps(command), "json")
        assert isinstance(decoded, protocol.Subscribe)
        self.group = hub.group(query(decoded, View("json", decoded.signals, decoded.meta)))
        self.outbox = QueuedOutbox(limit)
        self.member = Member(self.group, self.outbox, self.group.horizon)
        self.group.snapshot(self.member)

    async def next(self, *, flush: bool = True) -> list[Event]:
        """Topic, values, points and event of the items that came, by what else comes with the next flush."""
        if flush:
            self.group.flush()
        found = []
        while self.outbox._frames:
            frame = await self.outbox.get()
            assert frame is not None
            found += json.loads(frame.data).get("data", [])
        return [{name: value for name, value in item.items() if name not in ("topic", "id", "ts")} for item in found]


@pytest.fixture
def hub() -> Hub:
    return Hub(Layout(), Table(), METRICS)


CAR = TOPICS[0]


def tell(hub: Hub, ts: int, historical: bool = False, topic: str = CAR, **values: Value) -> None:
    """A reading; `at` is a position, 0 in the box and 5 outside."""
    if "at" in values:
        values |= {LATITUDE: 0, LONGITUDE: values.pop("at")}
    hub.deliver(Item(topic, hub.last[0] + 1, Reading(ts, values, historical=historical)))


async def test_a_box_is_told_of_who_is_in_it_and_once_of_who_has_left(hub: Hub) -> None:
    tell(hub, 1, at=0, x=1)
    tell(hub, 1, at=5, x=2, topic=TOPICS[1])
    viewer = Viewer(hub, signals=["x"], **BOX)
    assert await viewer.next() == [{"values": {"x": 1}}]
    tell(hub, 2, x=2)
    assert await viewer.next() == [{"values": {"x": 2}}]
    tell(hub, 3, x=3, at=5)
    assert await viewer.next() == [{"values": {"x": 3}, "event": "leave"}]
    assert await Viewer(hub, signals=["x"], **BOX).next() == []
    tell(hub, 4, x=4, at=5)
    assert await viewer.next() == []
    tell(hub, 5, at=0)  # shown whole, also what came before
    assert await viewer.next() == [{"values": {"x": 4}}]


async def test_a_vehicle_also_moves_by_what_is_not_shown(hub: Hub) -> None:
    viewer = Viewer(hub, signals=["x"], **BOX)
    tell(hub, 1, at=0)
    assert await viewer.next() == [{"values": {}}]
    tell(hub, 2, at=0)
    assert await viewer.next() == []
    tell(hub, 3, at=5)
    assert await viewer.next() == [{"values": {}, "event": "leave"}]


async def test_a_vehicle_without_a_position_stays_where_it_was(hub: Hub) -> None:
    tell(hub, 1, at=0)
    viewer = Viewer(hub, signals=["x"], **BOX)
    await viewer.next()
    hub.deliver(Item(CAR, 2, Reading(2, {"x": 1, LATITUDE: None})))
    assert await viewer.next() == [{"values": {"x": 1}}]


async def test_a_fence_tells_crossings_and_its_snapshot_who_is_inside(hub: Hub) -> None:
    tell(hub, 1, at=0, x=1)
    viewer = Viewer(hub, signals=["x"], **FENCE)
    assert await viewer.next() == [{"values": {"x": 1}, "event": "inside"}]
    tell(hub, 2, x=2)
    assert await viewer.next() == []
    tell(hub, 3, at=5)
    assert await viewer.next() == [{"values": {"x": 2}, "event": "leave"}]
    tell(hub, 4, x=3)
    assert await viewer.next() == []
    tell(hub, 5, at=0, x=4)
    assert await viewer.next() == [{"values": {"x": 4}, "event": "enter"}]
    assert await Viewer(hub, signals=["x"], **FENCE).next() == [{"values": {"x": 4}, "event": "inside"}]


async def test_of_a_fence_only_the_events_asked_for_are_told_but_the_snapshot_is_right(hub: Hub) -> None:
    fence = {"geofence": FENCE["geofence"] | {"events": ["leave"]}}
    viewer, slow = Viewer(hub, **fence), Viewer(hub, limit=1, **fence)
    tell(hub, 1, at=0)
    assert await viewer.next() == []
    assert [item["event"] for item in await Viewer(hub, **fence).next()] == ["inside"]
    tell(hub, 2, at=5)
    assert [item["event"] for item in await viewer.next()] == ["leave"]
    assert slow.group.is_behind(slow.member)
    tell(hub, 3, at=0)
    assert await viewer.next() == []
    await slow.next()
    slow.group.catch_up(slow.member)
    assert await slow.next() == []  # by now it has entered again, which nobody asked for
    tell(hub, 4, at=5)
    assert [item["event"] for item in await slow.next()] == ["leave"]


async def test_who_lags_hears_of_the_last_crossing(hub: Hub) -> None:
    for place, catch_up in ((BOX, None), (FENCE, "enter")):
        hub = Hub(Layout(), Table(), METRICS)
        tell(hub, 0, y=0, topic=TOPICS[1])
        slow = Viewer(hub, limit=1, **place)
        for ts, at in enumerate([0, 5, 0], 1):
            tell(hub, ts, at=at, x=ts)
            slow.group.flush()
        await slow.next()
        slow.group.catch_up(slow.member)
        (item,) = await slow.next()
        assert (item["values"]["x"], item.get("event")) == (3, catch_up)
        tell(hub, 4, at=5)
        slow.member.cursor, before = slow.group.cursor, slow.group
        slow.group.retard(slow.member)
        before.flush()
        slow.group.catch_up(slow.member)
        assert [item["event"] for item in await slow.next()] == ["leave"]


async def test_who_enters_or_leaves_is_shown_whole_but_for_what_is_out_of_range(hub: Hub) -> None:
    filters = {"x": CHANGE, "y": {"variant": "range", "parameter": {"logic-op": "gt", "boundary": 5}}}
    viewer = Viewer(hub, signals=["x", "y", "z"], filter=filters, **BOX)
    tell(hub, 1, at=0, x=1, y=1, z=1)
    assert await viewer.next() == [{"values": {"x": 1, "z": 1}}]
    tell(hub, 2, at=0, x=2, y=6)
    assert await viewer.next() == [{"values": {"y": 6, "z": 1}}]
    tell(hub, 3, at=5, y=2)
    assert await viewer.next() == [{"values": {"x": 2, "z": 1}, "event": "leave"}]
    tell(hub, 4, at=0)
    assert await viewer.next() == [{"values": {"x": 2, "z": 1}}]
    assert await Viewer(hub, signals=["x", "y", "z"], filter=filters, **BOX).next() == [{"values": {"x": 2, "z": 1}}]


async def test_a_signal_that_is_told_as_points_is_not_among_the_values(hub: Hub) -> None:
    curve = {"x": {"variant": "curvelog", "parameter": {"maxerr": 0, "bufsize": 2}}}
    viewer = Viewer(hub, signals=["x", "y"], filter=curve, **BOX)
    tell(hub, 1, at=0, x=1, y=1)
    assert await viewer.next() == [{"values": {"y": 1}, "points": {"x": [[1, 1]]}}]
    tell(hub, 2, x=2)
    assert await viewer.next() == [{"values": {"y": 1}, "points": {"x": [[2, 2]]}}]
    assert await Viewer(hub, signals=["x", "y"], filter=curve, **BOX).next() == [{"values": {"x": 2, "y": 1}}]
    tell(hub, 3, at=5, x=3)
    assert await viewer.next() == [{"values": {"y": 1}, "points": {"x": [[3, 3]]}, "event": "leave"}]
    tell(hub, 4, at=0, x=4)  # another curve
    assert await viewer.next() == [{"values": {"y": 1}, "points": {"x": [[4, 4]]}}]


async def test_a_delta_is_what_changed_and_a_catch_up_whole(hub: Hub) -> None:
    tell(hub, 1, x=1, y=1)
    viewer, slow = Viewer(hub, delta=True), Viewer(hub, delta=True, limit=1)
    assert await viewer.next() == [{"values": {"x": 1, "y": 1}}]
    tell(hub, 2, x=1, y=2)
    assert await viewer.next() == [{"values": {"y": 2}}]
    tell(hub, 3, x=1.0, y=2)
    assert await viewer.next() == []
    tell(hub, 4, x=True)
    assert await viewer.next() == [{"values": {"x": True}}]
    assert slow.group.is_behind(slow.member)
    await slow.next()
    slow.group.catch_up(slow.member)
    assert await slow.next() == [{"values": {"x": True, "y": 2}}]
    assert await Viewer(hub, delta=True).next() == [{"values": {"x": True, "y": 2}}]


async def test_a_delta_of_who_comes_back_is_whole(hub: Hub) -> None:
    viewer = Viewer(hub, delta=True, signals=["x"], **BOX)
    for ts, at in enumerate([0, 5, 0], 1):
        tell(hub, ts, at=at, x=1)
        assert [item["values"] for item in await viewer.next()] == [{"x": 1}]


async def test_of_an_earlier_visit_nothing_is_left(hub: Hub) -> None:
    viewer = Viewer(hub, signals=["x", "y"], **BOX | BATCH)
    tell(hub, 1, at=0, x=1)
    tell(hub, 2, at=5)
    tell(hub, 3, at=0, y=1)
    assert len(await viewer.next()) == 3
    assert await Viewer(hub, signals=["x", "y"], **BOX | BATCH).next() == [{"values": {"y": 1}}]


async def test_a_newcomer_is_shown_what_was_told_so_that_a_change_is_the_same_for_all(hub: Hub) -> None:
    tell(hub, 1, x=0)
    viewer = Viewer(hub, **DEAD_BAND)
    tell(hub, 2, x=2)
    assert await viewer.next() == [{"values": {"x": 0}}]
    newcomer = Viewer(hub, **DEAD_BAND)
    assert await newcomer.next() == [{"values": {"x": 0}}]
    tell(hub, 3, x=3)
    assert await viewer.next() == await newcomer.next() == [{"values": {"x": 3}}]


@pytest.mark.parametrize("place", [BOX, FENCE])
async def test_what_is_historical_moves_nobody_and_changes_no_picture(hub: Hub, place: Fields) -> None:
    fields = {"signals": ["x"], **place, **DEAD_BAND, **BATCH}
    tell(hub, 9, at=0, x=0)
    viewer = Viewer(hub, **fields)
    await viewer.next()
    tell(hub, 1, at=5, x=9, historical=True)  # elsewhere
    tell(hub, 2, at=0, x=8, historical=True)
    tell(hub, 3, at=0, x=7, historical=True)  # thinned by itself
    tell(hub, 4, x=5, historical=True)  # where the vehicle was last
    tell(hub, 10, at=0, x=1)
    told = [item["values"]["x"] for item in await viewer.next()]
    assert told == ([8, 5] if place is BOX else [])
    assert [item["values"] for item in await Viewer(hub, **fields).next()] == [{"x": 0}]


async def test_what_is_late_does_not_move_a_vehicle_back(hub: Hub) -> None:
    viewer = Viewer(hub, signals=["x"], **BOX | BATCH)
    tell(hub, 9, at=0, x=1)
    tell(hub, 3, at=5, x=2)
    assert await viewer.next() == [{"values": {"x": 1}}, {"values": {"x": 2}}]


@pytest.mark.parametrize("fields", [{"delta": True}, DEAD_BAND, DEAD_BAND | BATCH, WINDOW, BOX, FENCE, BOX | BATCH])
async def test_messages_pass_unless_a_place_is_asked_for(hub: Hub, fields: Fields) -> None:
    viewer = Viewer(hub, **fields)
    hub.deliver(Item("rooms/ops", 1, Message(1, "hello")))
    assert await viewer.next() == ([] if viewer.group.query.placed else [{"data": "hello"}])


async def test_windows_are_told_and_the_last_ones_shown(hub: Hub) -> None:
    tell(hub, 1, at=0, x=1, y=1)
    viewer = Viewer(hub, signals=["x", "y"], window=["min", "max"], **BOX)
    assert await viewer.next() == [{"values": {"x": {"min": 1, "max": 1}, "y": {"min": 1, "max": 1}}}]
    for x in (2, 4, 3):
        tell(hub, 2, x=x)
    assert await viewer.next() == [{"values": {"x": {"min": 2, "max": 4}}}]
    newcomer = Viewer(hub, signals=["x", "y"], window=["min", "max"], **BOX)
    assert await newcomer.next() == [{"values": {"x": {"min": 2, "max": 4}, "y": {"min": 1, "max": 1}}}]
    tell(hub, 3, at=5, x=5)
    whole = {"x": {"min": 5, "max": 5}, "y": {"min": 1, "max": 1}}
    assert await viewer.next() == await newcomer.next() == [{"values": whole, "event": "leave"}]
    tell(hub, 4, at=0)
    assert await viewer.next() == [{"values": whole}]


async def test_what_is_told_as_it_came_shares_its_bytes_with_other_groups(hub: Hub) -> None:
    viewers = [Viewer(hub, **fields) for fields in ({}, BOX, {"bbox": [-2, -2, 2, 2]}, BOX | BATCH)]
    item = Item(CAR, 1, Reading(1, {LATITUDE: 0, LONGITUDE: 0}))
    hub.deliver(item)
    for viewer in viewers:
        assert len(await viewer.next()) == 1
    assert list(item._encoded or {}) == [viewers[0].group.query.view.key]
    assert hub.table.get(CAR) is item
    assert viewers[1].group.picture.since(None) == [item]


async def test_a_cursor_beyond_the_last_flush_is_no_reason_to_leave_anything_out(hub: Hub) -> None:
    viewer = Viewer(hub, **BOX)
    tell(hub, 1, at=0)
    again = Member(viewer.group, QueuedOutbox(1 << 20), hub.reached)
    viewer.group.snapshot(again, hub.reached)
    viewer.group.flush()
    frames = [await again.outbox.get(), await again.outbox.get()]  # type: ignore[attr-defined]
    assert [len(json.loads(frame.data)["data"]) for frame in frames] == [0, 1]
