"""The hub, held against a model that remembers everything: whatever is stored, joins, leaves, reads or does not read.

Time stands still: a group flushes when a rule says so. Frames and outboxes are small, so that both overflow. The ids
of each partition grow by themselves, so the same id is given in several.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Literal, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from stream import framer, recent
from stream import group as module
from stream.group import Group
from stream.hub import Hub
from stream.item import Item, View
from stream.member import Member
from stream.metrics import Metrics
from stream.outbox import Frame, QueuedOutbox
from stream.query import Query
from stream.table import Table
from wire.cursor import Cursor, parse_cursor
from wire.ids import SEQUENCE_BITS, format_id, parse_id
from wire.partition import Layout
from wire.reading import Body, Message, Reading
from wire.topics import matches

T = TypeVar("T")

NEVER = 60_000  # ms
TOPICS = [f"fleets/{name}/telemetry" for name in ("a/1", "a/2", "a/5", "b/1")]  # in all of three partitions
ROOMS = ["rooms/ops", "rooms/e"]
FILTERS = ["#", "fleets/#", "fleets/a/#", "fleets/a/1/telemetry", "fleets/+/1/+", "rooms/#"]
Strategy = Literal["latest", "batch"]
Place = tuple[int, int]  # partition, id


class Client:
    """A client with one subscription, and what it has been sent."""

    def __init__(self, machine: HubMachine, query: Query, limit: int) -> None:
        self.query = query
        self.outbox = QueuedOutbox(limit)
        self.outbox.on_drained = self._drained
        self.lagged = False
        self.seen: dict[str, int] = {}  # topic -> the last id
        self.values: dict[str, dict[str, Any]] = {}
        self.ids: list[Place] = []
        self.missed: list[tuple[Cursor, Cursor]] = []  # gaps
        self.cursor = Cursor.start(machine.partitions)  # of the last frame
        self.start = self.joined = self.cursor  # what it has by right begins after `start`
        self.counted = 0  # live items and those that they overtook
        self._machine = machine
        self.member: Member  # joins as the last thing

    def _drained(self) -> None:
        if self.member.group.is_behind(self.member):
            self.lagged = True
            self._machine.catch_up(self.member)

    async def take(self) -> bool:
        """Read the next frame, if there is one."""
        getting = asyncio.ensure_future(self.outbox.get())
        for _ in range(3):
            await asyncio.sleep(0)
        if not getting.done():
            getting.cancel()
            return False
        frame = getting.result()
        assert frame is not None
        self._read(frame)
        return True

    def _read(self, frame: Frame) -> None:
        event = json.loads(frame.data)
        assert event["subscriptionId"] == self.member.group.id
        if event["action"] == "gap":
            assert self.query.strategy == "latest"
            self.missed.append((self._machine.parsed(event["from"]), self._machine.parsed(event["to"])))
            return
        places = [(self._machine.number(item["topic"]), parse_id(item["id"])) for item in event["data"]]
        assert sorted(places) == sorted(places, key=lambda place: place[0])  # in order, in each partition
        if self.query.strategy == "latest":
            assert [order for _, order in places] == sorted(order for _, order in places)
        assert len(places) <= framer.FRAME_ITEMS
        for (partition, order), item in zip(places, event["data"], strict=True):
            topic = item["topic"]
            assert matches(self.query.filter, topic)
            assert order > self.seen.get(topic, 0)  # no duplicates, and never backwards
            self.seen[topic] = order
            self.ids.append((partition, order))
            if "values" in item:
                self.values[topic] = item["values"]
        if not event.get("snapshot"):
            self.counted += len(places) + event.get("conflated", 0)
        cursor = self._machine.parsed(event["cursor"])
        assert event["cursor"] == frame.cursor
        assert cursor >= self.cursor
        self.cursor = cursor
        self._machine.check_cursor(self)


class HubMachine(RuleBasedStateMachine):
    """Anything that can happen to a hub of three partitions."""

    partitions = 3
    clients = Bundle("clients")
    gone = Bundle("gone")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.patches = [
            patch.object(framer, "FRAME_ITEMS", 2),
            patch.object(module, "PENDING_ITEMS", 6),
            patch.object(recent, "RECENT_BYTES", 800),
        ]
        for one in self.patches:
            one.start()
        self.metrics = Metrics()
        self.layout = Layout(self.partitions if self.partitions > 1 else 0)
        assert {self.number(topic) for topic in TOPICS} == set(range(self.partitions))
        self.hub = Hub(self.layout, Table(), self.metrics)
        self.here: list[Client] = []
        self.log: list[Item] = []
        self.model: dict[str, dict[str, tuple[tuple[int, int], Any]]] = {}  # topic -> signal -> stamp, value
        self.changes: set[Place] = set()  # of the readings that changed a state

    def teardown(self) -> None:
        try:
            self._settle()
        finally:
            for one in self.patches:
                one.stop()
            self.loop.close()

    def inside(self, call: Callable[[], T]) -> T:
        """Call it while the loop runs."""

        async def run() -> T:
            return call()

        return self.loop.run_until_complete(run())

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def number(self, topic: str) -> int:
        return self.layout.of(topic).number

    def parsed(self, text: str) -> Cursor:
        return parse_cursor(text, self.partitions)

    # What happens

    @rule(
        topic=st.sampled_from(TOPICS),
        names=st.sets(st.sampled_from("xyz"), min_size=1),
        ts=st.integers(0, 5),
        historical=st.booleans(),
        many=st.integers(1, 3),
        rest=st.sampled_from([0, 0, 1]),
    )
    def store_reading(self, topic: str, names: set[str], ts: int, historical: bool, many: int, rest: int) -> None:
        """`rest`: ms since something was stored in the topic's partition."""
        for _ in range(many):
            self._store(topic, ts, names, historical, rest)

    @rule(room=st.sampled_from(ROOMS))
    def store_message(self, room: str) -> None:
        order = self._next(room)
        self._deliver(Item(room, order, Message(1, order), partition=self.number(room)))

    @rule(back=st.integers(0, 5))
    def deliver_again(self, back: int) -> None:
        if self.log:
            item = self.log[-1 - min(back, len(self.log) - 1)]
            again = Item(item.topic, item.order, item.body, partition=item.partition)
            self.inside(lambda: self.hub.deliver(again))

    @rule()
    def pass_by(self) -> None:
        """Something that few here have an interest in."""
        self._store("fleets/c/2/telemetry", 1, {"w"}, False)

    @rule(
        target=clients,
        filter=st.sampled_from(FILTERS),
        strategy=st.sampled_from(["latest", "batch"]),
        signals=st.sampled_from([None, None, ("x",), ("y", "z")]),
        snapshot=st.booleans(),
        limit=st.sampled_from([1, 500, 1 << 20]),
    )
    def join(
        self, filter: str, strategy: Strategy, signals: tuple[str, ...] | None, snapshot: bool, limit: int
    ) -> Client:
        client = Client(self, Query(filter, strategy, NEVER, View("json", signals)), limit)
        if not snapshot or strategy == "batch":
            client.start = self.hub.reached
        self._join(client, lambda group: self._place(group, client, snapshot))
        return client

    @rule(target=clients, before=consumes(gone), limit=st.sampled_from([1, 500, 1 << 20]))
    def come_back(self, before: Client, limit: int) -> Client:
        client = Client(self, before.query, limit)
        client.start, client.cursor = before.start, before.cursor
        client.seen, client.values = dict(before.seen), dict(before.values)
        client.ids, client.missed = list(before.ids), list(before.missed)
        if client.query.strategy == "latest":  # a room's messages are no state
            client.missed.append((before.cursor, self.hub.reached))
        self._join(client, lambda group: self._resume(group, client, before.cursor))
        return client

    @rule(target=gone, client=consumes(clients))
    def leave(self, client: Client) -> Any:
        self.inside(lambda: self.hub.leave(client.member))
        self.here.remove(client)
        assert not client.member.group.holds(client.member)
        return client if any(client.cursor) else multiple()

    @rule(client=clients, frames=st.integers(1, 4))
    def read(self, client: Client, frames: int) -> None:
        for _ in range(frames):
            self.wait(client.take())

    @rule(data=st.data())
    def flush(self, data: st.DataObject) -> None:
        if groups := self.hub.groups:
            self.inside(data.draw(st.sampled_from(groups)).flush)

    @rule(random=st.randoms(use_true_random=False))
    def load_states_again(self, random: Random) -> None:
        """As after a break of the feed in which nothing happened: all is known, in whatever order it comes."""
        readings = [item for item in self.log if isinstance(item.body, Reading) and not item.body.historical]
        random.shuffle(readings)
        self.inside(lambda: self.hub.refresh(readings))

    @rule(data=st.data())
    def recover(self, data: st.DataObject) -> None:
        """The feed of a partition was connected again, and nothing was missed."""
        number = data.draw(st.integers(0, self.partitions - 1))
        self.inside(lambda: self.hub.advance(number, self.hub.last[number]))

    # What must hold

    @invariant()
    def every_member_is_in_one_group(self) -> None:
        members = [member for group in self.hub.groups for member in group.members]
        assert len(members) == len(set(members)) == len(self.here)
        assert {client.member for client in self.here} == set(members)

    @invariant()
    def groups_are_of_one_query_each(self) -> None:
        queries = [group.query for group in self.hub.groups]
        assert len(queries) == len(set(queries))
        assert all(group.members for group in self.hub.groups)

    def check_cursor(self, client: Client) -> None:
        """The client has everything that it should have up to its cursor; of `latest`, what has changed again
        may come after it."""
        again = set()
        if client.query.strategy == "latest":
            again = {item.topic for item in self._due(client, client.cursor, self.hub.reached)}
        for item in self._due(client, client.start, client.cursor):
            if item.topic not in again or isinstance(item.body, Message):
                self._check_has(client, item)

    def catch_up(self, member: Member) -> None:
        """As the node does it, with the log in memory."""
        group = member.group
        if group.query.strategy == "latest":
            group.catch_up(member)
            return
        group.retard(member)
        if group.repeat(member):
            return
        items = [
            item
            for item in self.log
            if item.order > member.cursor[item.partition]
            and matches(group.query.filter, item.topic)
            and group.query.view.shows(item.body)
        ]
        items.sort(key=lambda item: (item.order, item.partition))
        for frame in group.framer.frames(items, self.hub.reached):
            member.outbox.put(frame)
        member.cursor = self.hub.reached
        group.admit(member)

    def _store(self, topic: str, ts: int, names: set[str], historical: bool, rest: int = 0) -> None:
        order, number = self._next(topic, rest), self.number(topic)
        if not historical:
            known = self.model.setdefault(topic, {})
            fresh = [name for name in names if name not in known or (ts, order) > known[name][0]]
            known.update((name, ((ts, order), order)) for name in fresh)
            if fresh:
                self.changes.add((number, order))
        reading = Reading(ts, dict.fromkeys(sorted(names), order), historical=historical)
        self._deliver(Item(topic, order, reading, partition=number))

    def _next(self, topic: str, rest: int = 0) -> int:
        """The next id of a topic's partition."""
        return self.hub.last[self.number(topic)] + (rest << SEQUENCE_BITS) + 1

    def _deliver(self, item: Item) -> None:
        self.log.append(item)
        self.inside(lambda: self.hub.deliver(item))

    def _join(self, client: Client, place: Callable[[Group], None]) -> None:
        client.joined = self.hub.reached
        self.inside(lambda: place(self.hub.group(client.query)))
        self.here.append(client)

    def _place(self, group: Group, client: Client, snapshot: bool) -> None:
        client.member = Member(group, client.outbox, self.hub.reached)
        if snapshot:
            group.snapshot(client.member)
        else:
            group.admit(client.member)

    def _resume(self, group: Group, client: Client, since: Cursor) -> None:
        since = since.only(group.partitions, self.hub.reached)
        client.member = Member(group, client.outbox, since)
        if group.query.strategy == "batch":
            client.joined = since
            self.catch_up(client.member)
        else:
            group.snapshot(client.member, since)

    def _due(self, client: Client, after: Cursor, until: Cursor) -> list[Item]:
        query = client.query
        return [
            item
            for item in self.log
            if _between(item, after, until)
            and matches(query.filter, item.topic)
            and query.view.shows(item.body)
            and (query.strategy == "batch" or isinstance(item.body, Message) or _place(item) in self.changes)
        ]

    def _check_has(self, client: Client, item: Item) -> None:
        if isinstance(item.body, Message) and client.query.strategy == "latest":
            if item.order > client.joined[item.partition]:  # it is not part of a snapshot
                gap = any(_between(item, after, until) for after, until in client.missed)
                assert _place(item) in client.ids or gap
        elif client.query.strategy == "latest":
            assert client.seen.get(item.topic, 0) >= item.order
        else:
            # A snapshot may have shown a reading as part of a state.
            assert _place(item) in client.ids

    def _settle(self) -> None:
        """Everybody reads everything; then all is known everywhere."""
        for _ in range(2):
            for group in self.hub.groups:
                self.inside(group.flush)
            for client in self.here:
                while self.wait(client.take()):
                    pass
        for client in self.here:
            due = self._due(client, client.start, self.hub.reached)
            for item in due:
                self._check_has(client, item)
            live = self._due(client, client.joined, self.hub.reached)
            missed = [item for item in live if isinstance(item.body, Message) and _place(item) not in client.ids]
            if missed:  # a gap tells of them; whether they count as overtaken is left open
                assert client.counted <= len(live)
            else:
                assert client.counted == len(live)
            if client.query.strategy == "batch":
                told = [(partition, order) for partition, order in client.ids if order > client.joined[partition]]
                for number in range(self.partitions):
                    assert [place for place in told if place[0] == number] == [
                        _place(item) for item in live if item.partition == number
                    ]
            else:
                for topic in {item.topic for item in due if isinstance(item.body, Reading)}:
                    assert client.values[topic] == self._shown(topic, client.query.view)

    def _shown(self, topic: str, view: View) -> dict[str, Any]:
        values = {name: value for name, (_, value) in self.model[topic].items()}
        return view.values(Reading(0, values))


def _place(item: Item) -> Place:
    return item.partition, item.order


def _between(item: Item, after: Cursor, until: Cursor) -> bool:
    return after[item.partition] < item.order <= until[item.partition]


class SingleMachine(HubMachine):
    """The same without a cluster."""

    partitions = 1


TestHub = HubMachine.TestCase
TestHub.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
TestSingleHub = SingleMachine.TestCase
TestSingleHub.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# The same, in small


class Listener:
    """A client that reads everything, at once."""

    def __init__(self, hub: Hub, strategy: Strategy = "latest", limit: int = 1 << 20, filter: str = "#") -> None:
        self.drains = 0
        self.outbox = QueuedOutbox(limit)
        self.outbox.on_drained = self._drained
        self.group = hub.group(Query(filter, strategy, NEVER, View("json")))
        self.member = Member(self.group, self.outbox, hub.reached)
        self.group.admit(self.member)

    def _drained(self) -> None:
        self.drains += 1

    async def events(self) -> list[dict[str, Any]]:
        return [json.loads(frame.data) for frame in await self.frames()]

    async def frames(self) -> list[Frame]:
        found = []
        while self.outbox._frames:
            frame = await self.outbox.get()
            assert frame is not None
            found.append(frame)
        return found


@pytest.fixture
def hub() -> Hub:
    return Hub(Layout(), Table(), Metrics())


def reading(order: int, topic: str = TOPICS[0], **values: int) -> Item:
    return Item(topic, order, Reading(order, dict(values) or {"x": order}))


def ids(event: dict[str, Any]) -> list[str]:
    return [item["id"] for item in event["data"]]


async def test_members_of_a_group_are_sent_the_same_bytes(hub: Hub) -> None:
    listeners = [Listener(hub) for _ in range(3)]
    assert len(hub.groups) == 1
    hub.deliver(reading(1))
    hub.groups[0].flush()
    frames = [(await listener.frames())[0].data for listener in listeners]
    assert all(frame is frames[0] for frame in frames)


async def test_groups_of_different_queries_share_the_bytes_of_an_item(hub: Hub) -> None:
    Listener(hub), Listener(hub, "batch"), Listener(hub, filter="fleets/#")
    item = reading(1)
    body: Body = item.body
    hub.deliver(item)
    for group in hub.groups:
        group.flush()
    assert item.body is body
    assert len(item._encoded or {}) == 1


async def test_a_flush_is_due_after_the_interval_and_at_once_for_interval_0(hub: Hub) -> None:
    group = hub.group(Query("#", "batch", 0, View("json")))
    outbox = QueuedOutbox(1 << 20)
    group.admit(Member(group, outbox, hub.reached))
    for order in range(1, 4):
        hub.deliver(reading(order))
    assert not outbox._frames
    frame = await outbox.get()
    assert frame is not None
    assert ids(json.loads(frame.data)) == ["0-1", "0-2", "0-3"]  # of one turn of the loop
    assert not outbox._frames


async def test_latest_sends_the_newest_and_counts_what_it_overtook(hub: Hub) -> None:
    listener = Listener(hub)
    for order in range(1, 6):
        hub.deliver(reading(order))
    hub.deliver(reading(6, TOPICS[1]))
    listener.group.flush()
    (event,) = await listener.events()
    assert ids(event) == ["0-5", "0-6"]
    assert event["conflated"] == 4
    assert event["cursor"] == "0-6"
    assert "snapshot" not in event


async def test_a_message_that_waits_for_a_flush_is_not_lost_to_one_who_catches_up(hub: Hub) -> None:
    slow, other = Listener(hub, limit=1), Listener(hub)
    for order in (1, 2):
        hub.deliver(reading(order))
        hub.groups[0].flush()
    assert slow.group.is_behind(slow.member)
    hub.deliver(Item("rooms/ops", 3, Message(1, "hello")))
    await slow.frames()
    slow.group.catch_up(slow.member)
    slow.group.flush()
    events = await slow.events()
    told = [event for event in events if event["action"] == "gap"]
    sent = [id for event in events if event["action"] == "subscription" for id in ids(event)]
    assert "0-3" in sent or any(parse_id(gap["from"]) < 3 <= parse_id(gap["to"]) for gap in told)
    assert [id for event in await other.events() for id in ids(event)] == ["0-1", "0-2", "0-3"]


async def test_states_that_are_loaded_again_are_sent_oldest_first(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framer, "FRAME_ITEMS", 1)
    listener = Listener(hub)
    hub.advance(0, 9)
    hub.refresh([reading(8, TOPICS[0]), reading(5, TOPICS[1]), reading(6, TOPICS[2])])
    listener.group.flush()
    events = await listener.events()
    assert [id for event in events for id in ids(event)] == ["0-5", "0-6", "0-8"]
    assert [event["cursor"] for event in events] == ["0-5", "0-7", "0-9"]  # as far as nothing is left


async def test_a_frame_s_cursor_is_never_ahead_of_the_feed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framer, "FRAME_ITEMS", 1)
    listener = Listener(hub)
    hub.deliver(reading(1))
    hub.refresh([reading(7, TOPICS[0]), reading(8, TOPICS[1])])  # states that were read before the feed got there
    hub.deliver(reading(2, TOPICS[2]))
    listener.group.flush()
    events = await listener.events()
    for place, event in enumerate(events):
        later = [parse_id(id) for after in events[place + 1 :] for id in ids(after)]
        assert all(order > parse_id(event["cursor"]) for order in later)


async def test_a_client_that_falls_behind_at_a_reload_gets_what_was_loaded(hub: Hub) -> None:
    listener = Listener(hub, limit=1)
    hub.deliver(reading(1))
    listener.group.flush()
    hub.advance(0, 9)
    hub.refresh([reading(5, TOPICS[1])])  # its log was trimmed while the feed was broken
    listener.group.flush()
    assert listener.group.is_behind(listener.member)
    await listener.frames()
    listener.group.catch_up(listener.member)
    assert [id for event in await listener.events() for id in ids(event)] == ["0-5"]


async def test_an_id_that_came_before_is_dropped(hub: Hub) -> None:
    listener = Listener(hub, "batch")
    for order in (1, 3, 3, 2, 4):
        hub.deliver(reading(order))
    listener.group.flush()
    (event,) = await listener.events()
    assert ids(event) == ["0-1", "0-3", "0-4"]


async def test_a_store_that_began_anew_below_is_followed_from_there(hub: Hub) -> None:
    listeners = [Listener(hub, "batch"), Listener(hub)]
    hub.deliver(reading(100))
    hub.advance(0, 0)
    hub.deliver(Item(TOPICS[0], 1, Reading(1_000, {"x": 1})))
    for listener in listeners:
        listener.group.flush()
        assert [ids(event)[-1] for event in await listener.events()] == ["0-100", "0-1"]


async def test_after_a_loss_all_are_shown_what_is_left(hub: Hub) -> None:
    listeners = [Listener(hub, limit=limit) for limit in (1, 1 << 20)]
    batch = Listener(hub, "batch")
    for order, topic in enumerate(TOPICS[:2], 1):
        hub.deliver(reading(order, topic))
        listeners[0].group.flush()
    assert [listener.group.is_behind(listener.member) for listener in listeners] == [True, False]
    hub.deliver(reading(3))
    before = len(await listeners[0].events()), len(await listeners[1].events())
    assert before == (1, 2)
    hub.table.forget(0, 2)
    hub.renew(0)
    for listener in listeners:
        *_, event = await listener.events()
        assert (event["snapshot"], event["cursor"], ids(event)) == (True, "0-3", ["0-2"])
        assert not listener.group.is_behind(listener.member)
    batch.group.flush()
    assert [id for event in await batch.events() for id in ids(event)] == ["0-1", "0-2", "0-3"]
    hub.deliver(reading(4))
    listeners[0].group.flush()
    for listener in listeners:
        (event,) = await listener.events()
        assert ids(event) == ["0-4"]
        assert "conflated" not in event


async def test_a_loss_in_one_partition_changes_nothing_for_those_of_another() -> None:
    hub = Hub(Layout(3), Table(), Metrics())
    here, there = (Listener(hub, filter=topic) for topic in TOPICS[1:3])
    numbers = [hub.layout.of(topic).number for topic in TOPICS[1:3]]
    for number, topic in zip(numbers, TOPICS[1:3], strict=True):
        hub.deliver(Item(topic, 7, Reading(1, {"x": 1}), partition=number))
        hub.deliver(Item(topic, 9, Reading(2, {"x": 2}), partition=number))
    for listener in (here, there):
        listener.group.flush()
        await listener.events()
    hub.table.forget(numbers[0], 8)
    hub.renew(numbers[0])
    assert [ids(event) for event in await here.events()] == [[]]
    assert await there.events() == []
    assert [item.topic for item in hub.table.matching("#")] == [TOPICS[2]]


async def test_a_partition_that_goes_back_leaves_the_others_where_they_are() -> None:
    hub = Hub(Layout(3), Table(), Metrics())
    listener = Listener(hub, "batch")
    found = [(hub.layout.of(topic).number, topic) for topic in TOPICS[1:]]
    for number, topic in found:
        hub.deliver(Item(topic, 9, Reading(1, {"x": 1}), partition=number))
    hub.advance(found[0][0], 3)
    for number, topic in found:
        hub.deliver(Item(topic, 4, Reading(2, {"x": 2}), partition=number))
    listener.group.flush()
    events = await listener.events()
    sent = [(item["topic"], item["id"]) for event in events for item in event["data"]]
    assert sent == [*((topic, "0-9") for _, topic in found), (found[0][1], "0-4")]
    assert parse_cursor(events[-1]["cursor"], 3) == hub.reached == Cursor((9, 9, 9)).at(found[0][0], 4)


async def test_who_comes_from_a_node_that_is_ahead_is_sent_nothing_twice_though_it_is_slow() -> None:
    hub = Hub(Layout(3), Table(), Metrics())
    listener = Listener(hub, limit=1)
    here, there = TOPICS[1:3]
    number, other = (hub.layout.of(topic).number for topic in (here, there))
    listener.outbox.put(Frame(b"{}"))
    listener.group.dismiss(listener.member)
    listener.group.snapshot(listener.member, Cursor((0, 0, 0)).at(number, 5))
    for order, topic, partition in ((1, there, other), (2, here, number)):
        hub.deliver(Item(topic, order, Reading(order, {"x": order}), partition=partition))
        listener.group.flush()
    assert listener.group.is_behind(listener.member)
    for order in (3, 4):
        hub.deliver(Item(here, order, Reading(order, {"x": order}), partition=number))
    await listener.frames()
    listener.group.catch_up(listener.member)
    (caught_up,) = await listener.events()
    assert ids(caught_up) == ["0-1"]
    assert parse_cursor(caught_up["cursor"], 3) == Cursor((0, 0, 0)).at(number, 5).at(other, 1)
    for order in (5, 6):
        hub.deliver(Item(here, order, Reading(order, {"x": order}), partition=number))
    listener.group.flush()
    (event,) = await listener.events()
    assert (ids(event), event.get("conflated", 0)) == (["0-6"], 0)
    assert parse_cursor(event["cursor"], 3) == hub.reached


async def test_a_group_ends_with_its_last_member(hub: Hub) -> None:
    first, second = Listener(hub), Listener(hub)
    hub.deliver(reading(1))
    hub.leave(first.member)
    assert hub.groups == [second.group]
    hub.leave(second.member)
    assert hub.groups == []
    hub.deliver(reading(2))
    assert Listener(hub).group.id != first.group.id


async def test_what_is_sent_and_conflated_is_counted(hub: Hub) -> None:
    listeners = [Listener(hub), Listener(hub)]
    for order in range(1, 4):
        hub.deliver(reading(order))
    listeners[0].group.flush()
    counted = {sample.name: sample.value for family in hub.metrics.registry.collect() for sample in family.samples}
    assert counted["fleetwire_stream_delivered_total"] == 2
    assert counted["fleetwire_stream_conflated_total"] == 4
    assert format_id(hub.last[0]) == "0-3"
