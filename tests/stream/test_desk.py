"""The desk: who asks for too much history is told what to ask for, and only so many are served at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from stream import desk as module
from stream.desk import Desk
from stream.limits import Limits
from stream.metrics import Metrics
from tests.programs import eventually
from wire.clock import now_ms
from wire.errors import CommandError
from wire.protocol import History
from wire.store import Kept, Retention

DAY = 86_400_000


def desk(*, kinds: tuple[tuple[str, Kept], ...] = (), **limits: Any) -> Desk:
    return Desk(Limits(**limits), Retention(age_ms=30 * DAY, kinds=kinds), Metrics())


def asked(topic: str = "#", **fields: Any) -> History:
    return History(
        request_id="1", topic=topic, **{"from_" if name == "start" else name: v for name, v in fields.items()}
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"start": 0, "to": 1 << 52},
        {"topic": "fleets/a/v1/telemetry"},
        {"topic": "fleets/+/+/+"},
    ],
)
def test_more_time_than_may_be_asked_for_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match=r"2592000 s are too much at once: ask for at most 604800 s \(from, to\)"):
        desk().check(asked(**fields))
    desk(history_s=0).check(asked(**fields))


def test_less_is_fine() -> None:
    now = now_ms()
    desk().check(asked(start=now - 6 * DAY))
    desk().check(asked(start=now - 20 * DAY, to=now - 14 * DAY))
    desk().check(asked(start=0, to=now - 25 * DAY))
    desk().check(asked(start=now + DAY))


def test_what_logs_do_not_keep_does_not_count() -> None:
    short = desk(kinds=(("telemetry", Kept(10, DAY)), ("rooms", Kept(10, DAY))))
    short.check(asked("fleets/+/+/telemetry"))
    short.check(asked("rooms/ops"))
    short.check(asked("rooms/#"))
    with pytest.raises(CommandError):
        short.check(asked("fleets/+/+/status"))


def test_topics_are_counted() -> None:
    desk(history_topics=3).check_topics(asked(), 3)
    desk(history_topics=0).check_topics(asked(), 3_000_000)
    with pytest.raises(CommandError, match="4 topics are too many at once: ask for at most 3"):
        desk(history_topics=3).check_topics(asked(), 4)


async def test_so_many_are_served_and_others_wait_for_their_turn() -> None:
    at, one = [0, 0], desk(histories=2)

    async def read() -> None:
        async with one.place("page"):
            at[0] += 1
            at[1] = max(at)
            await asyncio.sleep(0)
            at[0] -= 1

    await asyncio.gather(*(read() for _ in range(2 + 2 * module.QUEUES["page"])))
    assert at == [0, 2]


async def test_when_too_many_wait_one_more_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = desk(histories=1)

    async def wait() -> None:
        async with one.place("download"):
            pass

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(one.place("download"))
        waiting = [asyncio.create_task(wait()) for _ in range(module.QUEUES["page"])]
        await eventually(lambda: one._places["download"]._waiting == module.QUEUES["page"])
        with pytest.raises(CommandError) as caught:
            await wait()
        assert caught.value.reason == "unavailable"
        async with one.place("page"):  # these don't wait for downloads
            pass
        waiting.pop().cancel()
        monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
        with pytest.raises(CommandError):
            await wait()
    await asyncio.gather(*waiting)


async def test_no_limit() -> None:
    one = desk(histories=0)
    async with AsyncExitStack() as stack:
        for _ in range(100):
            await stack.enter_async_context(one.place("page"))
