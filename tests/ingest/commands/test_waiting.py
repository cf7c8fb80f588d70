"""What waits, by a clock of the test's own: when it is sent, how often, and when it is too late."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingest.commands.waiting import FIRST_REPEAT_MS, MOST_REPEAT_MS, TRY_AGAIN_MS, Pending, Waiting
from wire.command import Command

V1, V2 = "fleets/berlin/v1", "fleets/berlin/v2"
NOW = 1_764_000_000_000
ALL = 1_000


def waiting() -> Waiting:
    return Waiting(jitter=lambda: 0.5)  # the middle: the pauses are exact


def add(
    found: Waiting, n: int, vehicle: str = V1, *, ttl: int = 60_000, now: int = NOW, sent: bool = False
) -> Pending:
    pending = found.add(f"{n}-0", vehicle, Command(NOW, {"n": n}, ttl), now, sent=sent)
    assert pending is not None
    return pending


def send(found: Waiting, now: int) -> list[str]:
    """Send what is due: the ids."""
    due = found.due(now, ALL)
    for pending in due:
        found.sent(pending, now)
    return [pending.id for pending in due]


def over(found: Waiting, now: int) -> list[str]:
    return [pending.id for pending in found.over(now, ALL)]


def test_a_command_is_sent_at_once_and_in_order() -> None:
    found = waiting()
    for n in range(1, 6):
        add(found, n)
    assert found.next_due() == NOW
    assert [pending.id for pending in found.due(NOW, 2)] == ["1-0", "2-0"]
    assert send(found, NOW) == ["3-0", "4-0", "5-0"]
    assert found.next_due() == NOW + FIRST_REPEAT_MS


def test_it_is_repeated_more_and_more_slowly_until_something_is_heard() -> None:
    found = waiting()
    pending = add(found, 1, ttl=86_400_000)
    assert send(found, NOW) == ["1-0"]
    pauses, now = [], NOW
    for _ in range(8):
        due = found.next_due()
        assert due is not None
        assert not send(found, due - 1)
        assert send(found, due) == ["1-0"]
        pauses.append(due - now)
        now = due
    assert pauses[:3] == [FIRST_REPEAT_MS, 2 * FIRST_REPEAT_MS, 4 * FIRST_REPEAT_MS]
    assert max(pauses) == pauses[-1] == MOST_REPEAT_MS
    found.progress(pending)
    assert found.next_due() is None
    assert found.next_end() == NOW + 86_400_000


def test_what_the_broker_did_not_take_is_tried_again_soon() -> None:
    found = waiting()
    pending = add(found, 1)
    assert found.due(NOW, ALL) == [pending]
    found.failed(pending, NOW)
    assert found.next_due() == NOW + TRY_AGAIN_MS
    assert found.reason(pending) == "expired"
    assert send(found, NOW + TRY_AGAIN_MS) == ["1-0"]
    assert found.reason(pending) == "no_answer"


def test_a_vehicle_that_is_offline_is_told_once_and_again_when_it_comes_back() -> None:
    found = waiting()
    pending = add(found, 1)
    found.present(V1, "CONNECTIONBROKEN", 5, NOW)
    assert send(found, NOW) == ["1-0"]  # the broker may keep it for the device
    assert send(found, NOW + 2 * FIRST_REPEAT_MS) == []
    assert found.next_due() is None
    assert found.reason(pending) == "offline"
    found.present(V1, "ONLINE", 4, NOW)  # said before, and heard after
    assert found.next_due() is None
    found.present(V1, "ONLINE", 6, NOW + 30_000)
    assert send(found, NOW + 30_000) == ["1-0"]
    assert found.reason(pending) == "no_answer"
    found.present(V1, "ONLINE", 7, NOW + 31_000)  # no news
    assert send(found, NOW + 31_000) == []


def test_one_that_comes_back_while_it_is_at_it_may_have_forgotten_it() -> None:
    found = waiting()
    pending = add(found, 1)
    send(found, NOW)
    found.progress(pending)
    found.present(V1, "OFFLINE", 1, NOW)
    found.present(V1, "CONNECTED", 2, NOW + 5)
    assert send(found, NOW + 5) == ["1-0"]
    assert found.next_due() is None  # it is known to be at it


def test_one_that_comes_back_while_its_command_is_on_its_way_gets_it_again() -> None:
    found = waiting()
    found.present(V1, "OFFLINE", 1, NOW)  # of no interest yet
    pending = add(found, 1)
    found.present(V1, "OFFLINE", 1, NOW)
    assert found.due(NOW, ALL) == [pending]
    found.present(V1, "ONLINE", 2, NOW)
    found.sent(pending, NOW)
    assert send(found, NOW) == ["1-0"]


def test_what_is_too_late_is_told_once_and_not_sent() -> None:
    found = waiting()
    add(found, 1, ttl=100)
    add(found, 2, ttl=50)
    add(found, 3)
    assert found.next_end() == NOW + 50
    assert over(found, NOW + 49) == []
    assert send(found, NOW + 100) == ["3-0"]
    assert over(found, NOW + 100) == ["2-0", "1-0"]
    assert over(found, NOW + 100) == []
    assert len(found) == 3  # until they are settled


def test_what_was_taken_over_may_have_been_sent() -> None:
    found = waiting()
    assert found.reason(add(found, 1, sent=True)) == "no_answer"
    assert found.reason(add(found, 2)) == "expired"
    found.present(V1, "OFFLINE", 1, NOW)
    assert [found.reason(pending) for pending in found.all] == ["offline", "expired"]


def test_one_that_went_and_came_back_is_too_late_once_all_the_same() -> None:
    found = waiting()
    for _ in range(3):  # claimed by another bridge, and back
        found.forget("1-0")
        add(found, 1, ttl=100)
    assert send(found, NOW) == ["1-0"]
    assert over(found, NOW + 100) == ["1-0"]
    assert over(found, NOW + 200) == []


def test_a_command_waits_once_and_for_one_vehicle() -> None:
    found = waiting()
    pending = add(found, 1)
    assert found.add("1-0", V2, pending.command, NOW, sent=False) is None
    assert found.get("1-0", V1) is pending
    assert found.get("1-0", V2) is None  # a vehicle answers for itself only
    assert found.get("2-0", V1) is None
    found.forget("1-0")
    found.forget("1-0")
    assert (len(found), list(found.vehicles), found.next_due(), found.next_end()) == (0, [], None, None)
    found.sent(pending, NOW)
    found.failed(pending, NOW)
    assert found.next_due() is None


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 40_000),  # how long after the one before
        st.sampled_from(["add", "send", "fail", "online", "offline", "progress", "forget", "over"]),
        st.integers(0, 5),  # which command; its vehicle is the rest by 2
    ),
    max_size=60,
)


@given(EVENTS)
def test_whatever_happens_nothing_late_is_sent_and_nothing_is_forgotten(events: list[tuple[int, str, int]]) -> None:
    found, now = waiting(), NOW
    held: dict[str, int] = {}  # what must be there, and until when
    told: set[str] = set()
    for number, (pause, what, which) in enumerate(events):
        now += pause
        id, vehicle = f"{which}-0", (V1, V2)[which % 2]
        pending: Any = found.get(id, vehicle)
        if what == "add" and pending is None:
            add(found, which, vehicle, ttl=30_000 + now - NOW, now=now)
            held[id] = now + 30_000
            told.discard(id)
        elif what in ("online", "offline"):
            found.present(vehicle, what.upper(), number, now)
        elif what == "progress" and pending is not None:
            found.progress(pending)
        elif what == "forget":
            found.forget(id)
            held.pop(id, None)
        elif what == "over":
            ended = over(found, now)
            assert not told & set(ended)
            told |= set(ended)
            assert told >= {id for id, end in held.items() if end <= now}
            assert all(held[id] <= now for id in ended)
        elif what in ("send", "fail"):
            for one in found.due(now, ALL):
                assert now < held[one.id]
                (found.sent if what == "send" else found.failed)(one, now)
            moment = found.next_due()
            assert moment is None or moment > now
        assert {one.id for one in found.all} == set(held)
        assert len(found) == len(held)
        assert set(found.vehicles) == {(V1, V2)[int(id[0]) % 2] for id in held}
    # Whoever is not known to be offline, and has not said that it is at it, will be told again, while there is time.
    for one in found.all:
        if one.due is None:
            found.present(one.vehicle, "OFFLINE", 1_000, now)
            found.present(one.vehicle, "ONLINE", 1_001, now)
            assert one.due == now
