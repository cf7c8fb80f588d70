"""Patterns of signal names: what matches, what covers, and that no pattern takes long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.signals import compile_patterns, covers

segments = st.text("ab*", min_size=1, max_size=5)
patterns = st.lists(segments, min_size=1, max_size=3).map(".".join)
names = st.text("ab.", max_size=9)


def matches(pattern: str, name: str) -> bool:
    """As the definition has it, however long it takes."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^.]+"), name) is not None


@given(patterns, names)
def test_a_pattern_matches_what_its_definition_says(pattern: str, name: str) -> None:
    assert (compile_patterns([pattern]).fullmatch(name) is not None) == matches(pattern, name)


@given(st.lists(patterns, max_size=4), names)
def test_several_match_what_one_of_them_does(found: list[str], name: str) -> None:
    assert (compile_patterns(found).fullmatch(name) is not None) == any(matches(each, name) for each in found)


@given(patterns, patterns, names)
def test_what_is_covered_is_matched(grant: str, pattern: str, name: str) -> None:
    if covers(grant, pattern) and matches(pattern, name):
        assert matches(grant, name)


@pytest.mark.parametrize(
    ("grant", "pattern", "expected"),
    [
        ("Speed", "Speed", True),
        ("Speed", "*", False),
        ("*", "Speed", True),
        ("*", "*", True),
        ("*", "Cabin.Door", False),
        ("CurrentLocation.*", "CurrentLocation.Latitude", True),
        ("CurrentLocation.*", "CurrentLocation.*", True),
        ("CurrentLocation.*", "CurrentLocation", False),
        ("CurrentLocation.Latitude", "CurrentLocation.*", False),
        ("CurrentLocation.L*", "CurrentLocation.Latitude", True),
        ("CurrentLocation.L*", "CurrentLocation.*", False),
        ("*.*", "Cabin.Door", True),
        ("*", "", False),
        ("a*", "a", False),
        ("a*", "a*", True),
    ],
)
def test_what_covers_what(grant: str, pattern: str, expected: bool) -> None:
    assert covers(grant, pattern) is expected


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["*" * 128 + "b", "*a" * 100 + "*b", ".".join(["*a*a*b"] * 40), "a*" * 128])
def test_no_pattern_takes_long(pattern: str) -> None:
    """With `[^.]+` for each `*` these would take until the end of the universe."""
    compiled = compile_patterns([pattern] * 64)
    for name in ("a" * 256, "aa." * 80, ".".join(["a" * 60] * 4)):
        assert compiled.fullmatch(name) is None or set(name) == {"a"}
