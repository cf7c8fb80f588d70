"""The frames of a group's last flushes: all that a client misses, or nothing."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from stream import recent as module
from stream.outbox import Frame
from stream.recent import Flush, Recent


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5), st.integers(0, 6)), max_size=12),
    st.integers(0, 40),
    st.integers(0, 20),
)
def test_what_is_told_is_all_that_came_after_a_cursor(
    steps: list[tuple[int, int, int]], cursor: int, limit: int
) -> None:
    with patch.object(module, "RECENT_BYTES", limit):
        recent, flushes, at = Recent(), [], 0
        for rest, length, size in steps:  # ids at which nothing was to be told, then those of a flush
            flush = Flush(at + rest, at + rest + length, [Frame(b"x" * size)], 1)
            at = flush.until
            flushes.append(flush)
            recent.add(flush)
        found = recent.since(cursor)
        missed = [flush for flush in flushes if flush.until > cursor]
        assert found in ([], missed)
        whole = sum(len(flush.frames[0].data) for flush in flushes) <= limit
        boundary = not missed or cursor <= missed[0].after
        if whole and missed and boundary and cursor >= flushes[0].after:
            assert found == missed
        if not boundary:
            assert not found
        assert sum(len(frame.data) for flush in recent._flushes for frame in flush.frames) <= limit


def test_nothing_is_kept_when_nobody_is_behind() -> None:
    recent = Recent()
    recent.add(Flush(1, 2, [Frame(b"x")], 1))
    assert recent.since(1)
    recent.clear()
    assert not recent.since(1)
    recent.add(Flush(5, 6, [Frame(b"y")], 1))
    assert not recent.since(1)
    assert [flush.until for flush in recent.since(5)] == [6]
