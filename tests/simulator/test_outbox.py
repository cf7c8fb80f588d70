"""The outbox: whatever the connection does, every reading is sent in order, or counted as dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.fleet import Emission
from simulator.outbox import Outbox
from simulator.truth import Ledger

TOPIC = "fleets/berlin/v1/telemetry"


def readings(count: int) -> list[Emission]:
    return [Emission(n * 10, TOPIC, n + 1, b"") for n in range(count)]


def test_in_order_and_late_without_loss() -> None:
    ledger = Ledger()
    outbox = Outbox(iter(readings(5)), ledger, limit=1)
    assert outbox.next_due_ms == 0
    taken = [outbox.take() for _ in range(5)]
    assert [one.seq for one in taken] == [1, 2, 3, 4, 5]
    assert outbox.next_due_ms is None
    for one in taken:
        outbox.confirm(one)
    assert (ledger.sent, ledger.dropped) == (5, 0)
    with pytest.raises(IndexError):
        outbox.take()


def test_the_newest_are_kept_while_there_is_no_connection() -> None:
    ledger = Ledger()
    outbox = Outbox(iter(readings(100)), ledger, limit=10)
    outbox.take()
    outbox.broken(200)
    outbox.broken(300)
    assert outbox.waiting == 10
    assert [outbox.take().seq for _ in range(12)] == list(range(22, 34))
    assert ledger.topics[TOPIC].dropped == 21


def test_giving_up_counts_what_was_due() -> None:
    ledger = Ledger()
    outbox = Outbox(iter(readings(10)), ledger)
    outbox.confirm(outbox.take())
    outbox.take()
    outbox.broken(35)
    outbox.give_up()
    assert (ledger.sent, ledger.dropped) == (1, 3)


@given(
    st.integers(0, 60),
    st.integers(1, 8),
    st.lists(st.sampled_from(["take", "confirm", "break"]), max_size=120),
)
def test_every_reading_is_sent_or_dropped_and_each_new_one_comes_in_order(
    count: int, limit: int, story: list[str]
) -> None:
    ledger = Ledger()
    outbox = Outbox(iter(readings(count)), ledger, limit=limit)
    in_flight: list[Emission] = []
    confirmed: list[int] = []
    now = newest = 0
    for event in [*story, *["break"], *["take", "confirm"] * (count + 1)]:
        now += 7
        if event == "take" and outbox.next_due_ms is not None:
            emission = outbox.take()
            assert emission.seq not in confirmed, "sent again though confirmed"
            assert not in_flight or emission.seq > in_flight[-1].seq, "out of order"
            in_flight.append(emission)
            newest = max(newest, emission.seq)
        elif event == "confirm" and in_flight:
            outbox.confirm(one := in_flight.pop(0))
            confirmed.append(one.seq)
        elif event == "break":
            outbox.broken(now)
            in_flight.clear()
            assert outbox.waiting <= limit
    assert confirmed == sorted(confirmed)
    assert len(confirmed) == ledger.sent
    assert ledger.sent + ledger.dropped == count
