"""Ending background work that talks to Redis."""

from __future__ import annotations

import asyncio

__all__ = ["cancelled"]


def cancelled() -> bool:
    """Whether this task is to end. redis-py waits with `asyncio.wait_for`, which in Python 3.11 swallows a
    cancellation that comes at the moment of a result or of a broken connection; so loops ask for it too."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
