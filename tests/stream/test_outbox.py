"""The outbox: bounds, refusal and the moment after, room, and the end."""

from __future__ import annotations

import asyncio

import pytest

from stream.outbox import Frame, QueuedOutbox

LIMIT = 10


class Drained:
    """Counts the calls of `on_drained`; puts a frame when it is told to."""

    def __init__(self) -> None:
        self.outbox = QueuedOutbox(LIMIT)
        self.outbox.on_drained = self
        self.count = 0
        self.then: Frame | None = None

    def __call__(self) -> None:
        self.count += 1
        if self.then is not None:
            self.outbox.put(self.then)


def frame(size: int, mark: bytes = b"x") -> Frame:
    return Frame(mark * size)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def drained() -> Drained:
    return Drained()


async def test_frames_come_out_in_the_order_in_which_they_went_in(drained: Drained) -> None:
    frames = [frame(n) for n in range(1, 4)]
    for one in frames:
        drained.outbox.put(one)
    assert [await drained.outbox.get() for _ in frames] == frames


async def test_an_offer_is_taken_up_to_the_limit_and_not_beyond(drained: Drained) -> None:
    assert drained.outbox.offer(frame(6))
    assert drained.outbox.offer(frame(4))
    assert not drained.outbox.offer(frame(1))
    assert await drained.outbox.get() == frame(6)
    assert drained.outbox.offer(frame(6))
    assert not drained.outbox.offer(frame(1))


async def test_one_frame_may_be_larger_than_the_limit(drained: Drained) -> None:
    assert drained.outbox.offer(frame(LIMIT * 5))
    assert not drained.outbox.offer(frame(1))


async def test_replies_are_always_taken(drained: Drained) -> None:
    for _ in range(100):
        drained.outbox.put(frame(LIMIT))
    for _ in range(100):
        assert await drained.outbox.get() == frame(LIMIT)
    assert drained.count == 0  # nothing was refused


async def test_whoever_was_refused_is_told_once_when_everything_has_gone(drained: Drained) -> None:
    outbox = drained.outbox
    outbox.put(frame(LIMIT))
    outbox.put(frame(1))
    assert not outbox.offer(frame(2))
    assert not outbox.offer(frame(2))
    await outbox.get()
    await outbox.get()
    assert drained.count == 0  # the last frame is still being sent
    waiting = asyncio.create_task(outbox.get())
    await settle()
    assert drained.count == 1
    outbox.put(frame(3))
    assert await waiting == frame(3)
    assert drained.count == 1


async def test_what_is_put_when_it_has_drained_comes_next(drained: Drained) -> None:
    drained.then = frame(7)
    drained.outbox.put(frame(LIMIT))
    assert not drained.outbox.offer(frame(1))
    await drained.outbox.get()
    assert await drained.outbox.get() == frame(7)
    assert drained.count == 1


async def test_room_waits_while_more_than_the_limit_waits(drained: Drained) -> None:
    outbox = drained.outbox
    await outbox.room()
    outbox.put(frame(LIMIT))
    await outbox.room()
    outbox.put(frame(1))
    waiting = asyncio.create_task(outbox.room())
    await settle()
    assert not waiting.done()
    await outbox.get()
    await waiting


async def test_a_getter_waits_for_a_frame(drained: Drained) -> None:
    waiting = asyncio.create_task(drained.outbox.get())
    await settle()
    assert not waiting.done()
    drained.outbox.put(frame(1))
    assert await waiting == frame(1)


async def test_close_sends_what_waits_and_no_more(drained: Drained) -> None:
    drained.outbox.put(frame(1))
    drained.outbox.close(1012)
    drained.outbox.put(frame(2))
    assert await drained.outbox.get() == frame(1)
    assert await drained.outbox.get() is None
    assert drained.outbox.close_code == 1012


async def test_the_first_reason_to_close_stands(drained: Drained) -> None:
    drained.outbox.close(4001)
    drained.outbox.close(1000)
    assert drained.outbox.close_code == 4001


async def test_close_wakes_everyone_who_waits(drained: Drained) -> None:
    getting = asyncio.create_task(drained.outbox.get())
    await settle()
    drained.outbox.close(1000)
    assert await getting is None
    crowded = Drained().outbox
    crowded.put(frame(LIMIT + 1))
    waiting = asyncio.create_task(crowded.room())
    await settle()
    crowded.close(1000)
    await waiting
