"""How much is read at once, of logs whose entries are large, or many."""

from __future__ import annotations

import asyncio

import pytest

from stream.logs import FIRST_ENTRIES, LEAST, READ_BYTES, READ_ENTRIES, Entries, Reach, in_order
from wire.ids import LAST, format_id


class Recorder:
    """Logs of so many entries of one size; and what was asked of them."""

    def __init__(self, entries: int, size: int) -> None:
        self.entries_of = entries
        self.size = size
        self.asked: list[int] = []

    def entries(self, topic: str, after: int, until: int, count: int) -> asyncio.Future[Entries]:
        self.asked.append(count)
        orders = range(after + 1, min(after + count, self.entries_of) + 1)
        found: asyncio.Future[Entries] = asyncio.get_running_loop().create_future()
        found.set_result(Entries([format_id(order).encode() for order in orders], [bytes(self.size) for _ in orders]))
        return found

    def trimmed(self, topic: str, after: int) -> asyncio.Future[int]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("logs", "entries", "size", "least", "most"),
    [
        (1, 10_000, 100, READ_ENTRIES, READ_ENTRIES),
        (1, 1_000, 65_536, 1, READ_BYTES // 65_536),
        (100, 200, 100, READ_ENTRIES // 100, READ_ENTRIES // 100),
        (100, 20, 65_536, 1, READ_BYTES // 65_536),
        (2_000, 20, 100, LEAST, LEAST),
    ],
)
async def test_what_is_read_at_once_is_bounded_in_bytes(
    logs: int, entries: int, size: int, least: int, most: int
) -> None:
    reader = Recorder(entries, size)
    reach = Reach([f"rooms/r{n}" for n in range(logs)], 0, LAST)
    found = [record async for records in in_order(reader, reach) for record in records]
    assert len(found) == logs * entries
    assert [record.order for record in found] == sorted(record.order for record in found)
    assert set(reader.asked[:logs]) == {max(1, FIRST_ENTRIES // logs)}
    assert all(least <= count <= most for count in reader.asked[logs:])
