"""The clusters that tests run on do what these want of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread

import pytest
import redis

from tests.clusters import Kind, ask, cluster, sentinels, until
from wire.partition import slot


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_slots_move_with_their_keys(kind: Kind) -> None:
    with cluster(kind=kind) as running:
        port = running.owner(slot("{a}"))
        ask(port, "SET", "{a}b", "kept")
        fourth = running.add_master()
        running.move_key_by_key([slot("{a}")], fourth)
        assert ask(fourth, "GET", "{a}b") == b"kept"
        with pytest.raises(redis.exceptions.MovedError):
            ask(port, "GET", "{a}b")
        if kind == "valkey":
            running.move([slot("{a}")], port)
            assert ask(port, "GET", "{a}b") == b"kept"
        running.empty()
        assert ask(running.owner(slot("{a}")), "GET", "{a}b") is None


def test_a_replica_takes_the_place_of_its_master() -> None:
    with sentinels("--appendonly", "yes") as watched:
        old = watched.master
        with closing(redis.Redis(port=old, single_connection_client=True)) as client:
            client.set("a", "kept")
            until(lambda: client.wait(1, 1_000) == 1, "the replica has it")  # counts what this connection wrote
        assert watched.kill_master() == old
        new = watched.failed_over(old)
        assert ask(new, "GET", "a") == b"kept"
        watched.restart(old)
        assert watched.master == new
        assert ask(old, "GET", "a") == b"kept"


def test_a_replica_follows_a_master_that_is_written_to() -> None:
    with sentinels() as watched:
        old = watched.kill_master()
        with writes(watched.failed_over(old)):
            watched.restart(old)
            assert ask(old, "GET", "a") is not None


@contextmanager
def writes(port: int) -> Iterator[None]:
    """Writes to a server without a pause."""
    enough = Event()

    def write() -> None:
        with closing(redis.Redis(port=port)) as client:
            while not enough.is_set():
                client.incr("a")

    thread = Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
