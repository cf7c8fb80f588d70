"""Ending work that waits for aiomqtt."""

from __future__ import annotations

import asyncio

__all__ = ["heed_cancellation"]


def heed_cancellation() -> None:
    """Raises CancelledError when the task was cancelled and has not ended: aiomqtt waits with `asyncio.wait_for`,
    which in Python 3.11 may swallow a cancellation that comes together with what it waits for."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
