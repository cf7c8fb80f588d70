"""What is kept of what was asked for lately."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.recent import Recent


@given(st.lists(st.integers(0, 30), max_size=300), st.integers(1, 10))
def test_the_last_ones_are_kept_and_never_twice_as_many(keys: list[int], least: int) -> None:
    made: list[int] = []
    recent: Recent[int, int] = Recent(least, lambda key: made.append(key) or len(made))
    lately: list[int] = []
    for key in keys:
        before = len(made)
        assert recent[key] == recent[key]
        if key in lately:
            assert len(made) == before
        lately = [key, *(other for other in lately if other != key)][:least]
        assert len(recent) + len(recent._old) <= 2 * least


def test_strays_are_made_each_time_and_take_no_room() -> None:
    stray = object()
    recent: Recent[int, object] = Recent(10, lambda key: stray, (stray,))
    assert all(recent[key] is stray for key in range(100))
    assert len(recent) == 0


def test_it_forgets() -> None:
    recent: Recent[int, list[int]] = Recent(1, lambda key: [key])
    one, two = recent[1], recent[2]
    assert recent[1] is one
    recent.clear()
    assert (recent[1], recent[2]) == (one, two)
    assert recent[2] is not two
