"""What logs keep, as an operator writes it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, strategies

from wire.errors import SettingsError
from wire.retention import MOST, parse_retention
from wire.store import RETAINED, Kept, Retention

NUMBERS = strategies.integers(1, MOST)


def test_without_kinds_all_keep_the_same() -> None:
    assert parse_retention("", 1_000, 3_600) == Retention(1_000, 3_600_000)
    assert parse_retention("  ", 5, 6).of("rooms") == Kept(5, 6_000)


def test_a_kind_may_keep_something_else() -> None:
    found = parse_retention(" status=10000:86400  alerts=7:604800 ", 1_000, 3_600)
    assert found.of("status") == Kept(10_000, 86_400_000)
    assert found.of("alerts") == Kept(7, 604_800_000)
    assert found.of("telemetry") == Kept(1_000, 3_600_000)


@given(kinds=strategies.dictionaries(strategies.sampled_from(RETAINED), strategies.tuples(NUMBERS, NUMBERS)))
def test_each_kind_keeps_what_is_written(kinds: dict[str, tuple[int, int]]) -> None:
    text = " ".join(f"{kind}={entries}:{seconds}" for kind, (entries, seconds) in kinds.items())
    found = parse_retention(text, 1, 2)
    for kind in RETAINED:
        entries, seconds = kinds.get(kind, (1, 2))
        assert found.of(kind) == Kept(entries, seconds * 1000)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ("status", "not 'status'"),
        ("status=10", "not 'status=10'"),
        ("status=10:", "not 'status=10:'"),
        ("status=10:60s", "not 'status=10:60s'"),
        ("status=-1:60", "not 'status=-1:60'"),
        ("status=10:60,alerts=10:60", "not 'status=10:60,alerts=10:60'"),
        ("state=10:60", "not 'state'"),
        ("room=10:60", "telemetry, status, alerts, commands, replies, rooms"),
        ("status=0:60", "1 to 1000000000"),
        ("status=1:0", "1 to 1000000000"),
        ("status=1:9999999999", "1 to 1000000000"),
        ("status=1:2 alerts=3:4 status=1:2", "twice what is kept of status"),
    ],
)
def test_what_is_wrong_is_named_with_an_example(kinds: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_retention(kinds, 1_000, 3_600)
    assert str(raised.value).startswith("--retention (FLEETWIRE_RETENTION) ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("entries", "age_s", "name"), [(0, 1, "log-entries"), (1, 0, "log-age-s"), (1, MOST + 1, "log-age-s")]
)
def test_what_all_keep_has_its_bounds_too(entries: int, age_s: int, name: str) -> None:
    with pytest.raises(SettingsError, match=f"--{name} .* must be 1 to"):
        parse_retention("", entries, age_s)


@given(kinds=strategies.text(alphabet="status=:0123456789 rom-é", max_size=40))
def test_any_text_is_taken_or_refused(kinds: str) -> None:
    with suppress(SettingsError):
        parse_retention(kinds, 1, 1)
