"""Verify must see every reading that is lost, doubled or invented, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetwire.verify import Finding, Report, check
from simulator.truth import TopicCount

TOPIC = "fleets/berlin/v1/telemetry"


def truth(first: int, last: int, dropped: int = 0) -> TopicCount:
    return TopicCount(sent=last - first + 1, first=first, last=last, dropped=dropped)


@given(last=st.integers(1, 50), data=st.data())
def test_each_kind_of_fault_is_counted(last: int, data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.integers(1, last)))
    doubled = data.draw(
        st.lists(st.integers(1, last).filter(lambda seq: seq not in lost)) if len(lost) < last else st.just([])
    )
    invented = data.draw(st.sets(st.integers(last + 1, last + 50)))
    stored = [seq for seq in range(1, last + 1) if seq not in lost] + doubled + list(invented)
    finding = check(TOPIC, truth(1, last), data.draw(st.permutations(stored)), trimmed=False)
    assert finding == Finding(TOPIC, last, len(lost), len(doubled), len(invented), 0)
    assert finding.good is not bool(lost or doubled or invented)


def test_what_the_log_no_longer_keeps_is_not_called_lost_but_is_not_good_either() -> None:
    finding = check(TOPIC, truth(1, 100), [50, *range(52, 101)], trimmed=True)
    assert finding == Finding(TOPIC, 100, lost=1, duplicates=0, invented=0, trimmed=49)
    assert not finding.good


def test_what_the_simulator_never_sent_is_not_lost() -> None:
    assert check(
        TOPIC, TopicCount(sent=8, first=1, last=10, dropped=2), [1, 2, 3, 6, 7, 8, 9, 10], trimmed=False
    ).good


def test_nothing_sent_and_nothing_stored_is_good() -> None:
    assert check(TOPIC, TopicCount(), [], trimmed=False).good


def test_a_report_names_the_topics_that_are_not_good() -> None:
    report = Report([Finding("a", 5, 0, 0, 0, 0), Finding("b", 5, 1, 2, 0, 0)])
    assert not report.good
    assert report.totals == {"topics": 2, "sent": 10, "lost": 1, "duplicates": 2, "invented": 0, "trimmed": 0}
    assert "b: sent 5, lost 1, duplicates 2" in report.text()
    assert "  a:" not in report.text()
