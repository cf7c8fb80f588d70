"""Runs what a command does, on a loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from wire.errors import FleetwireError

__all__ = ["run"]

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it; of several errors at once, raise the first that is ours."""
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        ours = group.subgroup(FleetwireError)
        raise (_first(ours) if ours else group) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
