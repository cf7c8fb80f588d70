"""What logs keep, as an operator writes it."""

from __future__ import annotations

import re

from wire.errors import SettingsError
from wire.store import RETAINED, Kept, Retention

__all__ = ["MOST", "parse_retention"]

MOST = 1_000_000_000  # entries, or seconds: 31 years, so that what is too old is still after 1970

_KIND = re.compile(r"([a-z]+)=([0-9]{1,10}):([0-9]{1,10})")
_FORM = "KIND=ENTRIES:SECONDS, separated by spaces, like 'status=10000:86400 alerts=10000:604800'"


def parse_retention(kinds: str, entries: int, age_s: int) -> Retention:
    """What logs keep: `entries` and `age_s` seconds, but of some kinds what `kinds` says, `KIND=ENTRIES:SECONDS …`.

    Raises SettingsError, which names the setting, when one can't be used.
    """
    for name, value in (("log-entries", entries), ("log-age-s", age_s)):
        if not 1 <= value <= MOST:
            raise SettingsError.about(name, f"must be 1 to {MOST}")
    found: dict[str, Kept] = {}
    for word in kinds.split():
        kind, kept = _parse(word)
        if kind in found:
            raise SettingsError.about("retention", f"says twice what is kept of {kind}")
        found[kind] = kept
    return Retention(entries, age_s * 1000, tuple(found.items()))


def _parse(word: str) -> tuple[str, Kept]:
    parts = _KIND.fullmatch(word)
    if parts is None:
        raise SettingsError.about("retention", f"must look like {_FORM}; not {word[:64]!r}")
    kind, entries, seconds = parts[1], int(parts[2]), int(parts[3])
    if kind not in RETAINED:
        raise SettingsError.about("retention", f"knows {', '.join(RETAINED)}; not {kind[:64]!r}: {_FORM}")
    if not (1 <= entries <= MOST and 1 <= seconds <= MOST):
        raise SettingsError.about("retention", f"must keep 1 to {MOST} entries and seconds; not {word!r}")
    return kind, Kept(entries, seconds * 1000)
