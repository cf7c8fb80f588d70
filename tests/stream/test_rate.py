"""Rates: never more than a burst and what was earned since, and never less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.rate import Rate, Ration, rate

STEPS = st.lists(st.tuples(st.integers(0, 2_000), st.integers(1, 5)), max_size=200)  # ms later, cost
RATES = st.builds(Rate, st.sampled_from([0.5, 3.0, 50.0]), st.sampled_from([5, 20]))


class Bucket:
    """The same with a bucket: what it holds, and when that was so (ms)."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._holds = float(rate.burst)
        self._at = 0

    def take(self, now: int, cost: int) -> bool | None:
        """Whether it holds enough; None when that is a matter of rounding."""
        self._holds = min(self._rate.burst, self._holds + (now - self._at) / 1000 * self._rate.per_second)
        self._at = now
        if abs(self._holds - cost) < 1e-3:
            return None
        if self._holds < cost:
            return False
        self._holds -= cost
        return True


@given(RATES, STEPS)
def test_a_ration_is_a_bucket_that_fills(rate: Rate, steps: list[tuple[int, int]]) -> None:
    ration, bucket, now = Ration(rate), Bucket(rate), 0
    for later, cost in steps:
        now += later
        expected = bucket.take(now, cost)
        if expected is None:
            return
        assert (ration.take(now / 1000, cost) == 0) is expected


@given(RATES, STEPS)
def test_who_waits_as_long_as_is_said_may_go_on(rate: Rate, steps: list[tuple[int, int]]) -> None:
    ration, now = Ration(rate), 0.0
    for later, cost in steps:
        now += later / 1000
        if wait := ration.take(now, cost):
            now += wait
            assert ration.take(now, cost) == 0


@given(RATES, st.floats(1.0, 1.9))
def test_a_little_too_fast_is_refused_for_ever_and_never_exhausted(rate: Rate, excess: float) -> None:
    ration, now, taken = Ration(rate), 0.0, 0
    for _ in range(500):
        now += 1 / (rate.per_second * excess)
        taken += not ration.take(now)
        assert not ration.exhausted
    assert taken >= rate.per_second * now - 1


@given(RATES, st.floats(2.5, 100))
def test_who_goes_on_and_on_is_exhausted(rate: Rate, excess: float) -> None:
    ration, now, sent = Ration(rate), 0.0, 0
    while not ration.exhausted:
        now += 1 / (rate.per_second * excess)
        ration.take(now)
        sent += 1
    assert sent > 2 * rate.burst
    assert sent <= 2 * rate.burst * excess / (excess - 2) + 2


def test_what_costs_more_than_a_burst_takes_all_of_it() -> None:
    ration = Ration(Rate(1, 5))
    assert ration.take(0, 10) == 0
    assert ration.take(0) == pytest.approx(1)


def test_what_can_not_be_refused_is_paid_later() -> None:
    ration = Ration(Rate(1, 5))
    ration.charge(0, 7)
    assert ration.take(0) == pytest.approx(3)
    assert ration.take(3) == 0


def test_no_limit() -> None:
    ration = Ration(rate(0, 1))
    assert not any(ration.take(0, 1_000_000) for _ in range(1_000))
    assert not ration.exhausted
