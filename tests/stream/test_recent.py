"""The frames of a group's last flushes: all that a client misses, or nothing."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from stream import recent as module
from stream.outbox import Frame
from stream.recent import Flush, Recent
from wire.cursor import Cursor

# By partition ids at which nothing was to be told, then those of a flush; and the bytes of its frame.
steps = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=2, max_size=2), st.integers(0, 6)),
    max_size=12,
)
cursors = st.builds(lambda *orders: Cursor(orders), st.integers(0, 30), st.integers(0, 30))


def on(cursor: Cursor, by: list[int]) -> Cursor:
    return Cursor(order + more for order, more in zip(cursor, by, strict=True))


@given(steps, cursors | st.integers(0, 24), st.integers(0, 20))
def test_what_is_told_is_all_that_came_after_a_cursor(
    steps: list[tuple[list[tuple[int, int]], int]], cursor: Cursor | int, limit: int
) -> None:
    with patch.object(module, "RECENT_BYTES", limit):
        recent, flushes, at = Recent(), [], Cursor((0, 0))
        for moves, size in steps:
            after = on(at, [rest for rest, _ in moves])
            at = on(after, [length for _, length in moves])
            flushes.append(Flush(after, at, [Frame(b"x" * size)], 1))
            recent.add(flushes[-1])
        if isinstance(cursor, int):  # of one who was given some of the flushes
            ends = [Cursor((0, 0)), *(end for flush in flushes for end in (flush.after, flush.until))]
            cursor = ends[cursor % len(ends)]
        found = recent.since(cursor)
        missed = [flush for flush in flushes if not flush.until <= cursor]
        assert found in ([], missed)
        whole = sum(len(flush.frames[0].data) for flush in flushes) <= limit
        boundary = not missed or cursor <= missed[0].after
        if whole and missed and boundary and cursor >= flushes[0].after:
            assert found == missed
        if not boundary:
            assert not found
        if found:  # nothing of what is told has been seen, and nothing that came before is missed
            assert all(flush.until <= cursor for flush in flushes[: flushes.index(found[0])])
        assert sum(len(frame.data) for flush in recent._flushes for frame in flush.frames) <= limit


def test_nothing_is_kept_when_nobody_is_behind() -> None:
    def at(order: int) -> Cursor:
        return Cursor((order,))

    recent = Recent()
    recent.add(Flush(at(1), at(2), [Frame(b"x")], 1))
    assert recent.since(at(1))
    recent.clear()
    assert not recent.since(at(1))
    recent.add(Flush(at(5), at(6), [Frame(b"y")], 1))
    assert not recent.since(at(1))
    assert [flush.until for flush in recent.since(at(5))] == [at(6)]
