"""`replicas`: nothing is acknowledged before a replica of Redis has it, so that a failover loses nothing that was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from ingest.link import Link
from tests.ingest.bridge import TOPIC, Bridge, device, logged, numbers, publish, running
from tests.programs import eventually, mosquitto, redis_server, valkey
from wire import keys
from wire.clock import now_ms
from wire.command import Command, reply_of
from wire.reading import decode_message, encode
from wire.store import SCRIPT, Entry, Retention, arguments, parse_entry

COMMANDS, REPLIES = (TOPIC.replace("telemetry", kind) for kind in ("commands", "replies"))


class Pair(NamedTuple):
    """Two servers; the second is a replica of the first while it is attached."""

    master: Redis
    replica: Redis
    port: str

    async def attach(self) -> None:
        """Returns when it has all."""
        await self.replica.replicaof("127.0.0.1", self.port)
        await eventually(self._attached, 20)

    async def detach(self) -> None:
        await self.replica.replicaof("NO", "ONE")

    async def _attached(self) -> bool:
        return (await self.replica.info("replication"))["master_link_status"] == "up"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is retained here, so the bridge need not listen for it for long; nor for a replica."""
    monkeypatch.setattr("ingest.presence.QUIET_SECONDS", 0.05)
    monkeypatch.setattr("ingest.writer.WAIT_MS", 20)


@pytest.fixture(params=["valkey", "redis"])
def urls(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    with ExitStack() as stack:
        if request.param == "valkey":
            yield [stack.enter_context(valkey()) for _ in range(2)]
        else:
            yield [stack.enter_context(redis_server()).url for _ in range(2)]


@pytest.fixture
async def pair(urls: list[str]) -> AsyncIterator[Pair]:
    async with Redis.from_url(urls[0]) as master, Redis.from_url(urls[1]) as replica:
        await master.config_set("repl-diskless-sync-delay", 0)
        yield Pair(master, replica, urls[0].rpartition(":")[2])


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many replicas were there, each time that somebody waited for them."""
    call: Any = Link.call
    found: list[int] = []

    async def watched(self: Link, *command: Any) -> Any:
        answer = await call(self, *command)
        if command[0] == "WAIT":
            found.append(answer)
        return answer

    monkeypatch.setattr(Link, "call", watched)
    return found


@pytest.fixture
def broker() -> Iterator[str]:
    with mosquitto() as server:
        yield server.url


async def has(redis: Redis, wanted: range) -> bool:
    return await numbers(redis) == list(wanted)


async def counted(bridge: Bridge, stored: int) -> bool:
    return await bridge.count("stored") == stored


async def why(bridge: Bridge, text: str) -> bool:
    return text in await bridge.why()


async def test_nothing_is_acknowledged_while_no_replica_has_it(
    broker: str, urls: list[str], pair: Pair, waits: list[int]
) -> None:
    async with running(broker, urls[0], replicas=1) as bridge, device(broker) as client:
        await publish(client, range(10))
        await eventually(lambda: waits.count(0) >= 3)
        await eventually(lambda: why(bridge, "has 0 replicas that are up to date, of 1"))
        assert await bridge.count("stored") == 0
        assert await bridge.gauge("waiting_messages") == 10
        assert not await bridge.gauge("redis_full")
        await pair.attach()
        await eventually(lambda: counted(bridge, 10))
        await eventually(bridge.ready)
        assert await numbers(pair.master) == await numbers(pair.replica) == list(range(10))

        await publish(client, range(10, 20))
        await eventually(lambda: counted(bridge, 20))
        await pair.detach()
        await publish(client, range(20, 30))
        tried = len(waits)
        await eventually(lambda: len(waits) > tried + 2)
        assert await bridge.count("stored") == 20
        await pair.attach()
        await eventually(lambda: counted(bridge, 30))
        assert await numbers(pair.master) == await numbers(pair.replica) == list(range(30))
        assert await bridge.count("redelivered") == 0


async def test_what_no_replica_has_is_not_acknowledged(
    broker: str, urls: list[str], pair: Pair, waits: list[int]
) -> None:
    """The bridge goes away with it, and another is given it; readings without a time can't be told apart."""
    async with device(broker) as client:
        async with running(broker, urls[0], replicas=1) as bridge:
            for _ in range(10):
                await client.publish(TOPIC, b'{"Speed":0}', qos=1)
            await eventually(lambda: waits.count(0) >= 3)
            assert await bridge.count("stored") == 0
        await pair.master.flushall()  # as a failover would
        await pair.attach()
        async with running(broker, urls[0], replicas=1) as bridge:
            await eventually(lambda: counted(bridge, 10))
    assert len(await logged(pair.master)) == len(await logged(pair.replica)) == 10


async def test_what_a_failover_loses_between_the_store_and_the_wait_is_stored_again(
    broker: str, urls: list[str], pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A WAIT knows of what was written on its own connection: on another one it would say that all is well."""
    await pair.attach()
    call: Any = Link.call
    lost = 0

    async def failing_over(self: Link, *command: Any) -> Any:
        nonlocal lost
        if command[0] == "WAIT" and not lost:
            lost += 1
            await pair.master.flushall()
            await pair.master.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return await call(self, *command)

    monkeypatch.setattr(Link, "call", failing_over)
    async with running(broker, urls[0], replicas=1) as bridge, device(broker) as client:
        await publish(client, range(10))
        await eventually(lambda: counted(bridge, 10))
        assert lost
        assert await has(pair.master, range(10))


async def test_a_reply_of_the_bridge_s_own_is_stored_once(
    broker: str, urls: list[str], pair: Pair, waits: list[int]
) -> None:
    async with running(broker, urls[0], replicas=1) as bridge:
        entry = Entry(COMMANDS, encode(Command(now_ms(), {"name": "stop"}, 1)))
        names, args = arguments([entry], Retention())
        await pair.master.eval(SCRIPT, len(names), *names, *args)
        await eventually(lambda: waits.count(0) >= 3)
        assert await pair.master.xlen(keys.log(REPLIES)) == 1
        assert await pair.master.xlen(keys.COMMANDS) == 1
        await pair.attach()
        await eventually(lambda: counted(bridge, 1))
        await eventually(lambda: settled(pair.master))
    [(_, fields)] = await pair.master.xrange(keys.log(REPLIES))
    assert reply_of(decode_message(parse_entry(fields))).status == "TIMED_OUT"


async def settled(redis: Redis) -> bool:
    return not await redis.xlen(keys.COMMANDS)
