"""The bucket: whatever a device says, the arrival bounds it; and what was made at the rate is never refused."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from ingest.bucket import Bucket, Rate

RATE = Rate.of(10, 1, 20)  # one each 100 ms, 10 at once, 200 that were kept back
COST, BURST, BACKLOG = RATE
T = 1_764_000_000_000

gaps = st.lists(st.integers(0, 300) | st.just(0), max_size=200)
times = st.none() | st.integers(0, T + 10_000) | st.integers(T - 5_000, T + 5_000)


def grown(start: int, steps: list[int]) -> list[int]:
    return list(accumulate(steps, initial=start))


@given(st.lists(st.tuples(st.integers(0, 200), times, st.booleans()), max_size=400))
def test_no_stretch_of_time_brings_more_than_the_backlog_whatever_a_device_says(
    sent: list[tuple[int, int | None, bool]],
) -> None:
    bucket, now, taken = Bucket(RATE), T, []
    for gap, made, promised in sent:
        now += gap
        if bucket.take(now, made, promised):
            taken.append(now)
    for first in range(len(taken)):
        for last in (first, (first + len(taken)) // 2, len(taken) - 1):
            assert last - first + 1 <= (taken[last] - taken[first] + BACKLOG) / COST + 1


@given(st.lists(st.integers(100, 1_000), max_size=190), st.lists(st.integers(0, 50), min_size=190, max_size=190))
def test_what_was_made_at_the_rate_is_taken_however_it_comes(own: list[int], arrival: list[int]) -> None:
    bucket = Bucket(RATE)
    for made, now in zip(grown(T, own), grown(T + 600_000, arrival), strict=False):
        assert bucket.take(now, made, False)


@given(st.lists(st.lists(st.integers(100, 150), max_size=60), min_size=1, max_size=3), st.randoms())
def test_uploads_of_several_times_may_come_among_each_other(uploads: list[list[int]], random: object) -> None:
    bucket = Bucket(RATE)
    lanes = [grown(T - number * 3_600_000, steps) for number, steps in enumerate(uploads)]
    while any(lanes):
        lane = random.choice([lane for lane in lanes if lane])  # type: ignore[attr-defined]
        assert bucket.take(T, lane.pop(0), False)


@given(st.lists(st.integers(0, 40), min_size=100, max_size=400), st.booleans())
def test_a_flood_is_cut_to_the_rate_and_need_not_be_read(gaps: list[int], timed: bool) -> None:
    """Timed or not, at QoS 0: what comes while it is shut would have been refused, too."""
    bucket, seen = Bucket(RATE), Bucket(RATE)
    taken = 0
    arrivals = grown(T, gaps)
    for now in arrivals:
        made = now if timed else None
        let = seen.take(now, made, False)
        if now < bucket.shut:
            assert not let
        else:
            assert bucket.take(now, made, False) is let
        taken += let
    assert taken <= (arrivals[-1] - T + 2 * BURST) / COST + 2
    assert taken >= min(len(arrivals), (arrivals[-1] - T + BURST) // COST)


def test_a_flood_is_looked_at_once_for_each_that_is_taken() -> None:
    bucket, looked, taken = Bucket(RATE), 0, 0
    for now in range(T, T + 60_000):  # a thousand a second
        if now >= bucket.shut:
            looked += 1
            taken += bucket.take(now, now, True)
    assert 600 <= taken <= 630
    assert looked <= 2 * taken + 2
    assert bucket.why == "rate"


def test_of_qos_1_without_a_time_a_backlog_is_taken_and_no_more() -> None:
    bucket = Bucket(RATE)
    assert [bucket.take(T, None, True) for _ in range(300)] == [True] * 201 + [False] * 99
    assert bucket.why == "backlog"
    assert bucket.shut == T + COST
    assert bucket.take(T + 100, None, True)


def test_a_clock_that_stands_still_costs_nothing_at_the_rate() -> None:
    bucket = Bucket(RATE)
    assert all(bucket.take(now, 0, False) for now in range(T, T + 600_000, 100))


def test_a_rate_of_less_than_one_a_second() -> None:
    bucket = Bucket(Rate.of(0.1, 0, 0))
    assert [bucket.take(now, None, True) for now in range(T, T + 30_000, 2_500)] == [True, False, False, False] * 3
