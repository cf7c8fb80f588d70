"""`make bench-retention`: one short run, on both servers."""

from __future__ import annotations

from tests.bench.benches import bench
from tests.programs import find


async def test_says_what_a_reading_takes() -> None:
    find("redis-server", package="redis-server")
    ended = await bench("bench.retention", "--entries", "50", "--json")
    assert ended.status == 0, ended.out + ended.err
    kept = {name: value for name, value in ended.figures.items() if name.endswith("really kept")}
    assert len(kept) == 4  # two servers, two kinds of names
    assert all(value >= 50 for value in kept.values())
    assert all(value > 50 for name, value in ended.figures.items() if name.endswith("a reading"))
