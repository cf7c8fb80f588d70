"""Replays: who comes back is given the log, which is read once for all who are at the same place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from stream import group as groups
from stream.group import Group
from stream.hub import Hub
from stream.item import Item, View, before
from stream.member import Member
from stream.metrics import Metrics
from stream.outbox import Frame, QueuedOutbox
from stream.pages import Pages
from stream.query import PLAIN, Query, Shape
from stream.replays import Replays
from stream.table import Table
from tests.programs import eventually
from tests.stream.nodes import Store, joined, running
from wire.cursor import Cursor, parse_cursor
from wire.errors import CommandError
from wire.partition import Layout
from wire.reading import Reading
from wire.shaping import SignalFilter

TOPICS = [f"fleets/a/{n}/telemetry" for n in (1, 6, 5)]  # each in another one of three partitions
NEVER = 60_000  # ms
PAGE_ITEMS = 3
ANY_CHANGE: SignalFilter = msgspec.convert(
    {"variant": "change", "parameter": {"logic-op": "ne", "diff": 0}}, SignalFilter
)


class Place:
    """A hub, its log in pages of three, and replays of it. Reading can be held up, or fail."""

    def __init__(self, spread: int = 0) -> None:
        self.layout = Layout(spread)
        self.hub = Hub(self.layout, Table(), Metrics())
        self.replays = Replays(self._read)
        self.log: list[Item] = []
        self.reads: list[tuple[Cursor, Cursor]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.away = False
        self.lost = 0  # of the first partition, up to this id

    async def _read(self, filter: str, after: Cursor, until: Cursor) -> Pages:
        self.reads.append((after, until))
        await self.open.wait()
        if self.away:
            raise CommandError("unavailable", "Redis is away")
        start = after.later(after.at(0, self.lost))
        found = [item for item in self.log if start[item.partition] < item.order <= until[item.partition]]
        lost = Cursor.start(len(after)).at(0, self.lost if self.lost > after[0] else 0)
        rest = found[PAGE_ITEMS:]
        return Pages(found[:PAGE_ITEMS], before(rest, until), bool(rest), lost)

    def store(self, *orders: int, topic: str = TOPICS[0]) -> None:
        for order in orders:
            self.log.append(Item(topic, order, Reading(order, {"n": order}), partition=self.layout.of(topic).number))
            self.hub.deliver(self.log[-1])

    @property
    def read(self) -> list[int]:
        """After which ids it was read, in the first partition."""
        return [after[0] for after, _ in self.reads]

    def group(self, shape: Shape = PLAIN) -> Group:
        return self.hub.group(Query("fleets/#", "batch", NEVER, View("json"), shape))

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and nobody is taken for somebody who is served."""
        return not (self.replays._replayed or self.replays._waiting)


class Client:
    """Somebody who comes back, and reads what `frames` asks for."""

    def __init__(self, place: Place, group: Group, since: int | Cursor = 0, limit: int = 1 << 20) -> None:
        self._place = place
        self.outbox = QueuedOutbox(limit)
        self.outbox.on_drained = self._catch_up
        self.member = Member(group, self.outbox, since if isinstance(since, Cursor) else Cursor((since,)))
        self._catch_up()

    def _catch_up(self) -> None:
        group = self.member.group
        if group.is_behind(self.member) or not group.holds(self.member):
            group.retard(self.member)
            self._place.replays.start(self.member)

    async def frames(self) -> list[Frame]:
        """All that comes, now."""
        found: list[Frame] = []
        while True:
            getting = asyncio.ensure_future(self.outbox.get())
            for _ in range(10):
                await asyncio.sleep(0)
            if not getting.done():
                getting.cancel()
                return found
            frame = getting.result()
            if frame is None:
                return found
            found.append(frame)

    async def events(self) -> list[dict[str, Any]]:
        return [json.loads(frame.data) for frame in await self.frames()]

    async def numbers(self) -> list[int]:
        """What it is given, of what was stored."""
        return [item["values"]["n"] for event in await self.events() for item in event.get("data", [])]

    @property
    def waits(self) -> bool:
        return self.member.group.is_behind(self.member)


@pytest.fixture
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    found = Place(getattr(request, "param", 0))
    task = asyncio.create_task(found.replays.run())
    await asyncio.sleep(0)
    try:
        yield found
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_those_with_the_same_cursor_are_given_the_same_bytes_from_one_read(place: Place) -> None:
    place.store(*range(1, 8))
    group = place.group()
    clients = [Client(place, group) for _ in range(3)]
    await turns()
    assert place.reads == [(Cursor((after,)), Cursor((7,))) for after in (0, 3, 6)]
    frames = [await client.frames() for client in clients]
    assert len(frames[0]) == 3
    for others in frames[1:]:
        assert all(mine is theirs for mine, theirs in zip(frames[0], others, strict=True))
    assert [json.loads(frame.data)["cursor"] for frame in frames[0]] == ["0-3", "0-6", "0-7"]
    assert not any(client.waits for client in clients)
    place.store(8)
    group.flush()
    assert [await client.numbers() for client in clients] == [[8]] * 3
    assert place.idle


async def test_who_comes_to_a_place_that_somebody_has_left_is_given_what_was_read_there(place: Place) -> None:
    place.store(*range(1, 8))
    group = place.group()
    first = Client(place, group)
    assert await first.numbers() == list(range(1, 8))
    reads = place.read
    later, halfway = Client(place, group), Client(place, group, since=3)
    assert not later.waits  # it is all at hand
    assert await later.numbers() == list(range(1, 8))
    assert await halfway.numbers() == list(range(4, 8))
    assert place.read == reads
    other = Client(place, group, since=2)  # where nobody was before
    assert await other.numbers() == list(range(3, 8))
    assert place.read == [*reads, 2, 5]


async def test_who_comes_while_a_page_is_read_waits_for_that_one(place: Place) -> None:
    place.store(1, 2)
    group = place.group()
    place.open.clear()
    clients = [Client(place, group)]
    await turns()
    clients += [Client(place, group), Client(place, group, since=1)]
    await turns()
    assert place.read == [0, 1]
    place.store(3)
    place.open.set()
    assert [await client.numbers() for client in clients] == [[1, 2], [1, 2], [2]]
    group.flush()
    assert [await client.numbers() for client in clients] == [[3]] * 3
    assert len(place.reads) == 2


async def test_one_who_is_slow_in_the_midst_of_it_gets_the_rest_later(place: Place) -> None:
    place.store(*range(1, 12))
    group = place.group()
    slow, quick = Client(place, group, limit=1), Client(place, group)
    assert await quick.numbers() == list(range(1, 12))
    reads = place.read
    assert slow.waits
    assert not quick.waits
    assert len(slow.outbox._frames) == 1
    assert place.idle
    place.store(12, 13)
    group.flush()
    assert await quick.numbers() == [12, 13]
    assert await slow.numbers() == list(range(1, 14))
    assert place.read == reads  # steps, and then the frames of the others, are at hand
    assert not slow.waits
    place.store(14)
    group.flush()
    assert [await client.numbers() for client in (slow, quick)] == [[14], [14]]


async def test_who_follows_soon_is_given_the_frames_of_the_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "RECENT_SECONDS", 3_600.0)
    place.store(1, 2, 3)
    group = place.group()
    first = Client(place, group)
    assert await first.numbers() == [1, 2, 3]
    for order in (4, 5):
        place.store(order)
        group.flush()
    follower = Client(place, group, since=3)
    assert all(mine is theirs for mine, theirs in zip(await follower.frames(), await first.frames(), strict=True))
    assert place.read == [0]
    group._keep_until = 0.0  # nobody is behind, and nobody was for a while
    place.store(6)
    group.flush()
    late = Client(place, group, since=4)
    assert await late.numbers() == [5, 6]
    assert place.read == [0, 4]


async def test_one_who_is_slow_for_longer_than_anything_is_kept_is_read_to_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.recent.RECENT_BYTES", 0)
    place.store(*range(1, 4))
    group = place.group()
    slow, quick = Client(place, group, limit=1), Client(place, group)
    assert await quick.numbers() == [1, 2, 3]
    for start in range(4, 40, 4):
        place.store(*range(start, start + 4))
        group.flush()
        assert await quick.numbers() == list(range(start, start + 4))
    reads = len(place.reads)
    assert slow.waits
    assert await slow.numbers() == list(range(1, 40))
    assert len(place.reads) == reads + 12
    assert not slow.waits
    assert place.idle


async def test_one_who_leaves_meanwhile_is_given_nothing_and_holds_nobody_up(place: Place) -> None:
    place.store(*range(1, 8))
    group = place.group()
    place.open.clear()
    leaves, stays = Client(place, group), Client(place, group)
    await turns()
    place.hub.leave(leaves.member)
    place.open.set()
    assert await stays.numbers() == list(range(1, 8))
    assert await leaves.numbers() == []
    assert not group.holds(leaves.member)
    assert place.idle


async def test_all_may_leave_meanwhile(place: Place) -> None:
    place.store(*range(1, 8))
    group = place.group()
    place.open.clear()
    clients = [Client(place, group) for _ in range(2)]
    await turns()
    for client in clients:
        place.hub.leave(client.member)
    assert not place.hub.groups
    place.open.set()
    await turns()
    assert len(place.reads) == 1
    assert place.idle
    again = Client(place, place.group())  # another group
    assert await again.numbers() == list(range(1, 8))


@pytest.mark.parametrize("shape", [PLAIN, Shape(filters=(("n", ANY_CHANGE),))], ids=["together", "alone"])
async def test_a_read_that_fails_sends_those_who_wait_elsewhere(place: Place, shape: Shape) -> None:
    place.store(1)
    group = place.group(shape)
    place.open.clear()
    place.away = True
    clients = [Client(place, group) for _ in range(3)]
    await turns()
    place.hub.leave(clients[2].member)  # it has asked for something else on the same connection
    place.open.set()
    await turns()
    assert [client.outbox.close_code for client in clients] == [1012, 1012, None]
    assert place.idle
    for client in clients[:2]:
        place.hub.leave(client.member)
    place.away = False
    again = Client(place, place.group(shape))
    assert 1 in await again.numbers()
    assert again.outbox.close_code is None


async def test_one_who_goes_back_while_a_page_is_read_is_served_from_there(place: Place) -> None:
    group = place.group()
    place.store(5, 6, 7)
    group.flush()
    place.open.clear()
    client = Client(place, group, since=6)
    await turns()
    place.log.clear()
    place.hub.advance(0, 2)  # Redis began anew, below
    place.store(3, 4)
    group.flush()
    place.open.set()
    assert await client.numbers() == [3, 4]
    assert not client.waits
    assert place.idle


async def test_what_is_gone_is_told_once_to_each(place: Place) -> None:
    place.store(*range(1, 12))
    group = place.group()
    place.lost = 4
    clients = [Client(place, group, since) for since in (0, 0, 2, 4)]
    for client, starts in zip(clients, ("0-0", "0-0", "0-2", None), strict=True):
        events = await client.events()
        gaps = [(event["from"], event["to"]) for event in events if event["action"] == "gap"]
        assert gaps == ([(starts, "0-4")] if starts else [])
        assert [item["id"] for event in events for item in event.get("data", [])] == [f"0-{n}" for n in range(5, 12)]


async def test_who_is_ahead_of_the_group_is_not_read_to(place: Place) -> None:
    group = place.group()
    place.store(1, 2)
    group.flush()
    client = Client(place, group, since=4)
    assert not client.waits
    place.store(3, 4, 5)
    group.flush()
    assert await client.numbers() == [5]
    assert not place.reads


@pytest.mark.parametrize("place", [3], indirect=True)
async def test_of_several_partitions_each_is_read_from_where_one_was(place: Place) -> None:
    for topic in TOPICS:
        place.store(*range(1, 6), topic=topic)
    group = place.group()
    numbers = [place.layout.of(topic).number for topic in TOPICS]
    assert sorted(numbers) == [0, 1, 2]
    since = Cursor((5, 5, 5)).at(numbers[0], 1).at(numbers[1], 7).at(numbers[2], 4)  # ahead of this node in one
    clients = [Client(place, group, since) for _ in range(2)]
    both = [await client.events() for client in clients]
    assert both[0] == both[1]
    events = both[0]
    found = sorted((item["topic"], item["values"]["n"]) for event in events for item in event["data"])
    assert found == sorted([*((TOPICS[0], n) for n in (2, 3, 4, 5)), (TOPICS[2], 5)])
    until = Cursor((5, 5, 5)).at(numbers[1], 7)
    assert parse_cursor(events[-1]["cursor"], 3) == until
    assert [end for _, end in place.reads] == [until] * 2  # two pages, each read once
    assert not any(client.waits for client in clients)
    place.store(6, 7, 8, topic=TOPICS[1])
    group.flush()
    assert [await client.numbers() for client in clients] == [[8], [8]]


async def test_a_cancellation_in_the_midst_leaves_nobody_for_served() -> None:
    place = Place()
    task = asyncio.create_task(place.replays.run())
    await asyncio.sleep(0)
    place.store(1)
    group = place.group()
    place.open.clear()
    client = Client(place, group)
    await turns()
    assert not place.idle
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert place.idle
    assert client.waits


async def test_a_crowd_that_comes_back_costs_redis_as_much_as_one(valkey_url: str, redis_client: Redis) -> None:
    fields: dict[str, Any] = {"strategy": "batch", "interval": 0, "meta": True, "since": "0-0"}
    store = Store(redis_client)
    await store.numbers(range(2_500))
    spent = []
    for crowd in (1, 10):
        async with running(valkey_url) as node, AsyncExitStack() as stack:
            before = await _xranges(redis_client)
            peers = [await stack.enter_async_context(joined(node)) for _ in range(crowd)]
            found = await asyncio.gather(*(peer.subscribe("fleets/#", **fields) for peer in peers))
            for one in found:
                await eventually(lambda one=one: len(one.seqs) >= 2_500)  # type: ignore[misc, arg-type]
                assert one.seqs == list(range(2_500))
            spent.append(await _xranges(redis_client) - before)
    assert spent[0] == spent[1] > 0


async def _xranges(redis: Redis) -> int:
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_xrange", {"calls": 0})["calls"])
