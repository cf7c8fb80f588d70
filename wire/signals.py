"""Patterns of signal names, in which `*` stands for one segment or a part of it: does one match, does it cover. Pure.

A name is a path of segments with dots between them, as in VSS: `CurrentLocation.*` matches
`CurrentLocation.Latitude`, and not `CurrentLocation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["compile_patterns", "covers"]

_STARS = re.compile(r"(\*+)")


def compile_patterns(patterns: Iterable[str]) -> re.Pattern[str]:
    """Matches, as a whole, the names that any of the patterns matches; without patterns, nothing."""
    return re.compile("|".join(map(_expression, patterns)) or "(?!)")


def covers(grant: str, pattern: str) -> bool:
    """Whether every name that `pattern` can match is matched by `grant` too."""
    granted, asked = grant.split("."), pattern.split(".")
    return len(granted) == len(asked) and all(map(_covers_segment, granted, asked))


def _expression(pattern: str) -> str:
    return r"\.".join(map(_segment, pattern.split(".")))


def _segment(segment: str) -> str:
    """Clients write patterns, so a match must not take long, whatever is in them. The first place where what stands
    between two `*` is found is as good as any, so nothing before it is tried again (an atomic group)."""
    first, *rest = _STARS.split(segment)
    if not rest:
        return re.escape(first)
    *inner, last = zip(rest[::2], rest[1::2], strict=True)
    found = [re.escape(first), *(f"(?>[^.]{{{len(stars)},}}?{re.escape(text)})" for stars, text in inner)]
    stars, text = last
    return "".join((*found, f"[^.]{{{len(stars)},}}", re.escape(text)))


def _covers_segment(granted: str, asked: str) -> bool:
    if granted in ("*", asked):
        return bool(asked)
    # Of two segments with a `*` within, say `a*` and `ab*`, too little would be gained by finding out.
    return "*" not in asked and compile_patterns([granted]).fullmatch(asked) is not None
