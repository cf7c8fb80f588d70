"""`make bench-idle`: one short run, and what it says when it can't."""

from __future__ import annotations

import resource

import pytest

from bench.crowd import allow_files, open_all
from fleetwire.embedded import free_port
from tests.bench.benches import bench
from tests.programs import find
from wire.errors import Unavailable


async def test_every_connection_has_every_reading() -> None:
    find("redis-server", package="redis-server")
    ended = await bench("bench.idle", "--connections", "600", "--readings", "3", "--json")
    assert ended.status == 0, ended.err
    figures = ended.figures
    assert 0 < figures["a reading, stored to first client"] < figures["a reading, stored to last client"]
    assert figures["resident memory with them"] > figures["resident memory before"]


async def test_says_which_number_makes_no_sense() -> None:
    ended = await bench("bench.idle", "--connections", "0")
    assert ended.status == 2
    assert "--connections: at least 1" in ended.err


def test_says_that_the_machine_allows_too_few_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("no limit here")
    with pytest.raises(Unavailable, match=rf"the hard limit is {hard:,}"):
        allow_files(hard)


def test_says_that_nobody_listens() -> None:
    with pytest.raises(Unavailable, match="no connection to the node"):
        open_all(free_port(), 1)
