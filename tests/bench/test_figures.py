"""What the benchmarks print, and how they end."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from bench.figures import Figure, Found, conclude, table
from wire.errors import Unavailable

FIGURES = [Figure("memory", 18.256, "KB", "≤ 25 KB"), Figure("accepted", 2_345.6, "/s"), Figure("patterns", 20)]


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    """A benchmark is a program of its own, and sets what SIGTERM does."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_table_for_people() -> None:
    assert table(Found("some connections", FIGURES, [])).splitlines() == [
        "some connections",
        "",
        "memory         18.26 KB      goal ≤ 25 KB",
        "accepted       2,346 /s",
        "patterns          20",
        "",
        "nothing wrong",
    ]


async def found(problems: list[str]) -> Found:
    return Found("some connections", FIGURES, problems)


async def impossible() -> Found:
    raise Unavailable("redis-server is not installed")


@pytest.mark.parametrize(("problems", "status"), [([], 0), (["2 were lost"], 1)])
def test_what_is_wrong_is_said_and_is_the_exit_status(
    problems: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        conclude("bench-some", found(problems), as_json=True)
    assert ended.value.code == status
    shown = json.loads(capsys.readouterr().out)
    assert shown["problems"] == problems
    assert shown["figures"][0] == {"name": "memory", "value": 18.256, "unit": "KB", "goal": "≤ 25 KB"}


def test_what_is_missing_is_said_in_one_line() -> None:
    with pytest.raises(SystemExit, match=r"^bench-some: redis-server is not installed$"):
        conclude("bench-some", impossible(), as_json=False)
