"""Memory is given back when a crowd has gone, and once more after it, and not for less."""

from __future__ import annotations

import pytest

from fleetwire.memory import Memory


@pytest.mark.parametrize(
    ("connections", "expected"),
    [
        ([0, 10, 0], 0),
        ([0, 60, 11, 10, 0, 0, 0], 2),
        ([100, 40, 0, 0], 2),
        ([100, 50, 0, 0, 0], 3),
        ([10_000, 9_500, 9_000, 8_999, 8_999], 2),
        ([10_000, 20_000, 10_000, 0, 0, 0], 3),
    ],
)
def test_when_many_have_gone(connections: list[int], expected: int) -> None:
    given = []
    memory = Memory(lambda: given.append(1))
    for number in connections:
        memory.look(number)
    assert len(given) == expected


def test_it_does_no_harm() -> None:
    memory = Memory()
    memory.look(1_000)
    memory.look(0)
