"""A program of the ingest side that is killed, at any moment, loses nothing and stores nothing twice.

Debian's servers: they can be started again on the same port, with what they had saved.
"""

from __future__ import annotations

import pytest

from tests.e2e.crash import SAVE, TARGETS, crash, plan


@pytest.mark.timeout(400)  # programs that are starved start slowly, again and again
@pytest.mark.parametrize(
    ("targets", "kills", "seed"),
    [(("bridge",), 4, 1), (("redis",), 6, 2), (("mosquitto",), 5, 3), (TARGETS, 6, 4)],
    ids=["bridge", "redis", "mosquitto", "mixed"],
)
async def test_what_was_accepted_is_stored_once_over_crashes(targets: tuple[str, ...], kills: int, seed: int) -> None:
    outcome = await crash(seed, kills, targets)
    assert sum(outcome.kills.values()) == kills
    assert outcome.published > 100 * kills
    assert outcome.good, outcome


def test_a_plan_is_the_seeds_alone() -> None:
    assert plan(7, 30, TARGETS) == plan(7, 30, TARGETS) != plan(8, 30, TARGETS)
    names = [step.name for step in plan(7, 30, TARGETS) if step.name != SAVE]
    shares = (sum(name.startswith("bridge") for name in names), names.count("redis"), names.count("mosquitto"))
    assert shares == (10, 10, 10)
