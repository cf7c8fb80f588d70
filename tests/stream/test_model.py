"""Nodes on a real Valkey, held against a model: readings and messages are stored, clients come, read or do not read,
go, come back to either node and ask for something else, feeds break, nodes are replaced, logs are trimmed, in any
order.
In the end everybody knows what they asked for, or was told what of it is gone.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, suppress
from typing import Any, Literal, NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stream import feed, framer, history, interest, pages, recent
from stream import group as groups
from stream.node import Node
from tests.stream.model import Asked, Truth, Watch
from tests.stream.nodes import Event, Peer, Store, counted, joined, running
from wire import keys
from wire.ids import LAST, format_id, parse_id
from wire.protocol import Format
from wire.reading import Message, Reading, decode_message, decode_reading
from wire.store import parse_entry
from wire.topics import carries_messages

T = TypeVar("T")

TELEMETRY = ("fleets/a/v0/telemetry", "fleets/a/v0/status", "fleets/a/v1/telemetry", "fleets/b/v0/telemetry")
ROOMS = ("rooms/x", "rooms/y")
MESSAGES = (*ROOMS, "fleets/a/v0/commands")
FILTERS = (
    "fleets/#",
    "#",
    "fleets/a/#",
    "fleets/+/v0/#",
    "fleets/+/+/telemetry",
    TELEMETRY[0],
    TELEMETRY[3],
    "rooms/#",
    "rooms/x",
)
STRATEGIES: tuple[Literal["latest", "batch"], ...] = ("batch", "latest")
EXAMPLES = int(os.environ.get("EXAMPLES", "40"))
STEPS = int(os.environ.get("STEPS", "40"))
LONG = 60_000  # an interval that ends when a rule says so
WAIT_SECONDS = 3.0


class Said(NamedTuple):
    """A reading to be stored: when it was made, as it says, and which signals it has beside its number."""

    topic: str
    when: str
    signals: tuple[str, ...]


topics = st.sampled_from(TELEMETRY)
some_said = st.builds(
    Said,
    topics,
    st.sampled_from(("now", "now", "now", "same", "late", "past", "again")),
    st.sampled_from(((), ("a",), ("a", "p.x"), ("p.x", "p.y"))),
)
readings = st.lists(some_said, min_size=1, max_size=6)
asked = st.builds(
    Asked,
    st.sampled_from(FILTERS),
    st.sampled_from(STRATEGIES),
    st.sampled_from((0, LONG, 3)),
    st.sampled_from((None, None, ("n",), ("n", "p.x"), ("a",), ("p.*",))),
)
numbers = st.integers(0, 1)  # of nodes
clients = st.integers(0, 2)
picks = st.integers(0, 8)  # of what there is


# What has to do with the inside of a node


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the nodes' times short, and the pages that they read of a log small."""
    monkeypatch.setattr(feed, "BACKOFF_SECONDS", 0.02)
    monkeypatch.setattr(feed, "PROBE_SECONDS", 0.25)
    monkeypatch.setattr(interest, "LINGER_SECONDS", 0.02)
    monkeypatch.setattr(history.History.page, "__defaults__", (LAST, 10))
    monkeypatch.setattr(pages.read, "__defaults__", (10,))


class Limits(NamedTuple):
    """How little nodes hold at once."""

    frame_items: int
    pending_items: int
    recent_bytes: int

    def set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For the nodes in this process."""
        monkeypatch.setattr(framer, "FRAME_ITEMS", self.frame_items)
        monkeypatch.setattr(groups, "PENDING_ITEMS", self.pending_items)
        monkeypatch.setattr(recent, "RECENT_BYTES", self.recent_bytes)


limits = st.builds(
    Limits, st.sampled_from((1_000, 3)), st.sampled_from((10_000, 7)), st.sampled_from((1 << 22, 0, 2_500))
)


async def deliver(node: Node) -> None:
    """Until what was stored before has been delivered to the groups."""
    async with asyncio.timeout(10):
        while True:
            with suppress(RedisError, TimeoutError):
                if await node.ready():
                    await node._shards[0]._feed.sync()
                    return
            await asyncio.sleep(0.001)


def flush(node: Node) -> None:
    """End the long intervals."""
    for group in node.hub.groups:
        if group.query.interval == LONG:
            group.flush()


# Servers and clients


class Server:
    """A node that runs until it is stopped, whichever task of the loop that is."""

    def __init__(self, url: str, number: int) -> None:
        self.name = f"node{number}"
        self._url = f"{url}?client_name={self.name}"
        self.node: Node
        self._stop = asyncio.Event()
        self._started = asyncio.Event()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())
        await asyncio.wait((self._task, asyncio.create_task(self._started.wait())), return_when="FIRST_COMPLETED")
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        self._stop.set()
        await self._task

    async def _run(self) -> None:
        async with running(self._url, outbox_bytes=1_024) as self.node:
            self._started.set()
            await self._stop.wait()


class Command:
    """A command on its way: what it asks of which watch. `calls`: of the truth, when it was carried out."""

    def __init__(self, action: str, watch: Watch | None, asked: Asked | None = None) -> None:
        self.action = action
        self.watch = watch
        self.asked = asked
        self.calls: int | None = None


class Client:
    """A client of one node or the other, or of none at the moment, with what it watches."""

    def __init__(self, truth: Truth, format: Format) -> None:
        self._truth = truth
        self._format = format
        self.watches: list[Watch] = []
        self.server: Server | None = None
        self.failed = False  # a command was refused, since the node was not ready
        self._reset()

    def _reset(self) -> None:
        self._commands: dict[str, Command] = {}  # by request id, until they are answered
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self._by_id: dict[str, Watch] = {}
        self._read = 0
        self._sent = 0

    async def enter(self, server: Server, *, reading: bool) -> None:
        """Come to a node, and ask for what was watched before."""
        self._reset()
        self.server, self.failed = server, False
        self._stack = AsyncExitStack()
        self.peer: Peer = await self._stack.enter_async_context(joined(server.node, self._format))
        if not reading:
            self.peer.reading.clear()
        self._sender = asyncio.create_task(self._carry_out())
        for watch in self.watches:
            if watch.cursor is None:
                watch.begin()
            else:
                watch.resume()
            self.subscribe(watch)

    async def leave(self) -> None:
        """Go away: what was not read is lost."""
        if self.server is None:
            return
        self.digest()
        self.server = None
        self.peer.session.close()
        while not self._sender.done():  # redis-py may swallow it
            self._sender.cancel()
            await asyncio.wait((self._sender,), timeout=0.1)
        await self._stack.aclose()
        with suppress(asyncio.CancelledError):
            self._sender.result()

    async def _carry_out(self) -> None:
        while True:
            id, command = await self._queue.get()
            await self.peer.send(command)
            self._commands[id].calls = self._truth.calls

    def _ask(self, command: Command, **fields: Any) -> None:
        self._sent += 1
        id = str(self._sent)
        self._commands[id] = command
        self._queue.put_nowait((id, {"action": command.action, "requestId": id, **fields}))

    def subscribe(self, watch: Watch) -> None:
        """Ask for what is watched, from its cursor on if it has one."""
        fields: dict[str, Any] = watch.asked._asdict() | {"snapshot": watch.snapshot}
        if watch.cursor is not None:
            fields["since"] = watch.cursor
        self._ask(Command("subscribe", watch), **fields)

    def update(self, watch: Watch, **changes: Any) -> None:
        """Ask for something else."""
        self._ask(
            Command("update", watch, watch.asked._replace(**changes)), subscriptionId=self._id(watch), **changes
        )

    def unsubscribe(self, watch: Watch) -> None:
        """Ask for it no more."""
        self.watches.remove(watch)
        self._ask(Command("unsubscribe", watch), subscriptionId=self._id(watch))

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._ask(Command("ping", None))

    def _id(self, watch: Watch) -> str:
        return next(id for id, found in self._by_id.items() if found is watch)

    @property
    def here(self) -> bool:
        return self.server is not None

    @property
    def answered(self) -> bool:
        """Whether every command was."""
        self.digest()
        return not self._commands

    @property
    def at_rest(self) -> list[Watch]:
        """What is subscribed, and nothing else is asked for."""
        moving = [command.watch for command in self._commands.values()]
        return [watch for watch in self.watches if watch in self._by_id.values() and watch not in moving]

    @property
    def asked(self) -> set[Asked]:
        """All that is asked for, or may be in a moment."""
        wanted = [command.asked for command in self._commands.values() if command.asked]
        return {asked.key for asked in [*wanted, *(watch.asked for watch in self.watches)]}

    def digest(self) -> None:
        """Look at what was read."""
        if self.server is None:
            return
        new, self._read = self.peer.messages[self._read :], len(self.peer.messages)
        for message in new:
            if "requestId" in message:
                self._take_reply(self._commands.pop(message["requestId"]), message)
            else:
                id = message["subscriptionId"]
                assert id in self._by_id, f"nobody has asked for {message}"
                self._by_id[id].receive(message)

    def _take_reply(self, command: Command, reply: Event) -> None:
        watch = command.watch
        if "error" in reply:
            assert reply["error"]["reason"] == "unavailable"
            self.failed = True
        elif watch is not None:
            calls = command.calls if command.calls is not None else self._truth.calls
            self._by_id = {id: found for id, found in self._by_id.items() if found is not watch}
            if command.action != "unsubscribe":
                assert command.action == "subscribe" or reply["subscriptionId"] not in self._by_id
                self._by_id[reply["subscriptionId"]] = watch
            if command.action == "subscribe" and watch.joined is None:
                watch.join(calls)
            elif command.asked is not None:
                watch.update(command.asked, calls)


def pick(found: list[T], which: int) -> T:
    """One of some."""
    return found[which % len(found)]


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> bool:
    """Whether the condition comes true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.001)
    return True


# The machine


class Machine(RuleBasedStateMachine):
    """Everything that may happen to nodes and their clients."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._runner = asyncio.Runner()
        self._patches = pytest.MonkeyPatch()
        self._truth = Truth()
        self._clients = [Client(self._truth, "msgpack" if n == 2 else "json") for n in range(3)]
        self._servers: list[Server] = []
        self._number = 0  # of the last reading, and its ts
        self._do(self._begin())

    async def _begin(self) -> None:
        self._redis = Redis.from_url(self._url)
        await self._redis.flushall()
        self._store = Store(self._redis)
        self._servers = [await self._start(number) for number in (0, 1)]

    async def _start(self, number: int) -> Server:
        server = Server(self._url, number)
        await server.start()
        return server

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._runner.run(self._check_after(coroutine))

    async def _check_after(self, coroutine: Coroutine[Any, Any, None]) -> None:
        await coroutine
        for client in self._clients:
            client.digest()
            if client.here and client.peer.closed is not None:
                assert client.peer.closed == 1012
                await client.leave()

    @initialize(limits=limits, asked=st.lists(asked, min_size=1, max_size=3))
    def begin(self, limits: Limits, asked: list[Asked]) -> None:
        limits.set(self._patches)
        for number, one in enumerate(asked):
            watch = Watch(self._truth, one, snapshot=True)
            self._do(self._subscribe(self._clients[number], number % 2, watch, wait=True))

    # What is stored

    @rule(readings=readings)
    def store(self, readings: list[Said]) -> None:
        self._do(self._put(readings))

    @rule(topic=topics, calls=st.integers(1, 6), each=st.integers(1, 8))
    def burst(self, topic: str, calls: int, each: int) -> None:
        async def put() -> None:
            for _ in range(calls):
                await self._put([Said(topic, "now", ("a",))] * each)

        self._do(put())

    @rule(topic=st.sampled_from(MESSAGES), number=numbers, count=st.integers(1, 4))
    def say(self, topic: str, number: int, count: int) -> None:
        self._do(self._say(topic, number, count))

    @rule(topic=st.sampled_from((*TELEMETRY, *ROOMS)), keep=st.integers(1, 3))
    def trim(self, topic: str, keep: int) -> None:
        self._do(self._trim(topic, keep))

    async def _put(self, readings: Iterable[Said]) -> None:
        self._truth.calls += 1
        found = [(said.topic, self._reading(said)) for said in readings]
        await self._store.readings(*found)
        await self._note(topic for topic, _ in found)

    def _reading(self, said: Said) -> Reading:
        log = self._truth.log(said.topic)
        if said.when == "again" and log:
            last = log[-1].body
            assert isinstance(last, Reading)
            return last
        self._number += 1
        ts = 1_000 + self._number - {"same": 1, "late": 4, "past": 4}.get(said.when, 0)
        return Reading(ts, dict.fromkeys(("n", *said.signals), self._number), historical=said.when == "past")

    async def _say(self, topic: str, number: int, count: int) -> None:
        if topic not in ROOMS and not await self._redis.sismember(keys.fleet("a"), "v0"):
            return
        for _ in range(count):
            self._truth.calls += 1
            self._number += 1
            await self._servers[number].node.publisher.publish(topic, {"n": self._number}, None)
            await self._note([topic])

    async def _note(self, topics: Iterable[str]) -> None:
        """Put down what the logs have now that they had not before."""
        for topic in dict.fromkeys(topics):
            decode = decode_message if carries_messages(topic) else decode_reading
            after = f"({format_id(self._truth.last(topic))}"
            for id, fields in await self._redis.xrange(keys.log(topic), after):
                body: Reading | Message = decode(parse_entry(fields))
                self._truth.add(topic, parse_id(id), body)

    async def _trim(self, topic: str, keep: int) -> None:
        if await self._redis.xtrim(keys.log(topic), maxlen=keep, approximate=False):
            ((id, _),) = await self._redis.xrange(keys.log(topic), count=1)
            self._truth.kept[topic] = parse_id(id)

    # What clients do

    @rule(client=clients, number=numbers, asked=asked, snapshot=st.booleans(), wait=st.booleans())
    def subscribe(self, client: int, number: int, asked: Asked, snapshot: bool, wait: bool) -> None:
        self._do(self._subscribe(self._clients[client], number, Watch(self._truth, asked, snapshot=snapshot), wait))

    async def _subscribe(self, client: Client, number: int, watch: Watch, wait: bool) -> None:
        if not client.here:
            await client.enter(self._servers[number], reading=True)
        same = next((found for found in client.watches if found.asked.key == watch.asked.key), None)
        if same is not None and same not in client.at_rest:
            return
        if same is not None:  # it begins anew
            client.watches.remove(same)
        if watch.asked.key in client.asked or len(client.watches) == 3:
            return
        client.watches.append(watch)
        client.subscribe(watch)
        await self._wait(client, wait)

    async def _wait(self, client: Client, wait: bool) -> None:
        if wait and client.peer.reading.is_set():
            assert await until(lambda: client.answered)

    @precondition(lambda self: self._here())
    @rule(
        which=picks,
        changes=st.one_of(
            st.fixed_dictionaries({"interval": st.sampled_from((0, LONG, 3))}),
            st.fixed_dictionaries({"strategy": st.sampled_from(STRATEGIES)}),
            st.fixed_dictionaries({"signals": st.sampled_from((None, ("n",), ("n", "p.x")))}),
        ),
        wait=st.booleans(),
    )
    def update(self, which: int, changes: dict[str, Any], wait: bool) -> None:
        if found := self._at_rest():
            self._do(self._update(*pick(found, which), changes, wait))

    async def _update(self, client: Client, watch: Watch, changes: dict[str, Any], wait: bool) -> None:
        hides = watch.asked.signals is not None and "n" not in watch.asked.signals
        if watch.asked._replace(**changes).key in client.asked or (hides and "signals" in changes):
            return
        client.update(watch, **changes)
        await self._wait(client, wait)

    @precondition(lambda self: self._here())
    @rule(which=picks)
    def unsubscribe(self, which: int) -> None:
        if found := self._at_rest():
            client, watch = pick(found, which)
            client.unsubscribe(watch)

    def _at_rest(self) -> list[tuple[Client, Watch]]:
        return [(client, watch) for client in self._here() for watch in client.at_rest]

    def _here(self, *, reading: bool | None = None) -> list[Client]:
        here = [client for client in self._clients if client.here]
        return [client for client in here if reading in (None, client.peer.reading.is_set())]

    @precondition(lambda self: self._here(reading=True))
    @rule(which=picks)
    def stop_reading(self, which: int) -> None:
        client = pick(self._here(reading=True), which)
        client.peer.reading.clear()
        client.ping()  # since one more is read

    @precondition(lambda self: self._here(reading=False))
    @rule(which=picks)
    def read_again(self, which: int) -> None:
        pick(self._here(reading=False), which).peer.reading.set()

    @precondition(lambda self: self._here())
    @rule(which=picks)
    def leave(self, which: int) -> None:
        self._do(pick(self._here(), which).leave())

    @rule(client=clients, number=numbers, reading=st.booleans(), wait=st.booleans())
    def come_back(self, client: int, number: int, reading: bool, wait: bool) -> None:
        self._do(self._come_back(self._clients[client], number, reading, wait))

    async def _come_back(self, client: Client, number: int, reading: bool, wait: bool) -> None:
        await client.leave()
        await client.enter(self._servers[number], reading=reading)
        await self._wait(client, wait)

    # What happens to nodes

    @rule(which=st.sampled_from(((0,), (1,), (0, 1))), readings=st.lists(readings, max_size=2))
    def break_feeds(self, which: tuple[int, ...], readings: list[list[Said]]) -> None:
        async def do() -> None:
            await self._break([self._servers[number].name for number in which])
            for some in readings:
                await self._put(some)

        self._do(do())

    async def _break(self, names: list[str]) -> None:
        for link in await self._redis.client_list(_type="pubsub"):
            if link["name"] in names:
                await self._redis.client_kill_filter(_id=link["id"])

    @rule(number=numbers, drain=st.booleans(), readings=st.lists(readings, max_size=1))
    def replace_node(self, number: int, drain: bool, readings: list[list[Said]]) -> None:
        self._do(self._replace(number, drain, readings))

    async def _replace(self, number: int, drain: bool, readings: list[list[Said]]) -> None:
        server = self._servers[number]
        here = [client for client in self._clients if client.server is server]
        if drain:
            server.node.drain()
            await until(lambda: all(c.peer.closed is not None or not c.peer.reading.is_set() for c in here))
        for client in here:
            await client.leave()
        await server.stop()
        for some in readings:
            await self._put(some)
        self._servers[number] = await self._start(number)

    # Time

    @rule(number=numbers)
    def end_intervals(self, number: int) -> None:
        async def do() -> None:
            flush(self._servers[number].node)

        self._do(do())

    @rule(turns=st.integers(1, 5))
    def turn(self, turns: int) -> None:
        async def do() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self._do(do())

    @rule(ms=st.sampled_from((1, 5, 40)))
    def rest(self, ms: int) -> None:
        self._do(asyncio.sleep(ms / 1_000))

    @rule()
    def settle(self) -> None:
        self._do(self._settle())

    async def _settle(self) -> None:
        for server in self._servers:
            await deliver(server.node)
        self._truth.settled = self._truth.calls

    # The end

    def teardown(self) -> None:
        try:
            if sys.exc_info()[1] is None:
                self._do(self._end())
        finally:
            self._runner.run(self._close())
            self._runner.close()
            self._patches.undo()

    async def _end(self) -> None:
        """Everybody reads everything; what is stored after that reaches everybody, too, and who comes now."""
        await self._settle()
        for number, client in enumerate(self._clients):
            if client.here:
                client.peer.reading.set()
                await self._wait(client, True)
            if client.failed or not client.here:
                await self._come_back(client, number % 2, reading=True, wait=True)
        await self._complete()
        for server in self._servers:
            self._clients.append(newcomer := Client(self._truth, "json"))
            await newcomer.enter(server, reading=True)
            for strategy in STRATEGIES:
                await self._subscribe(
                    newcomer, 0, Watch(self._truth, Asked("#", strategy, 0), snapshot=True), wait=True
                )
        await self._put(Said(topic, "now", ()) for topic in TELEMETRY)
        for room in ROOMS:
            await self._say(room, 0, 1)
        await self._complete()
        for client in self._clients:
            client.ping()
        assert await until(lambda: all(client.answered for client in self._clients))
        await self._complete()
        for client in self._clients:
            assert client.server is not None
            if not counted(client.server.node, "feed_breaks_total"):
                assert not any(watch.unaccounted() for watch in client.watches)

    async def _complete(self) -> None:
        def missing() -> list[str]:
            for server in self._servers:
                flush(server.node)
            for client in self._clients:
                client.digest()
            return [line for client in self._clients for watch in client.watches for line in watch.missing()]

        if not await until(lambda: not missing(), WAIT_SECONDS):
            raise AssertionError("\n".join(missing()))

    async def _close(self) -> None:
        for client in self._clients:
            await client.leave()
        for server in self._servers:
            await server.stop()
        await self._redis.aclose()


def test_whatever_happens_everybody_is_told_what_they_asked_for(
    session_valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    run_state_machine_as_test(
        lambda: Machine(session_valkey),  # type: ignore[arg-type, return-value]
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )
