"""What is known of those who were heard lately."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(dict[K, V]):
    """Values by key, made by `make(key)` when they are asked for. Of those that were asked for lately at least
    `least` are kept, and never more than twice as many; values that are among `strays` are not.

    Two generations, the elder of which is dropped as a whole: a hit is a plain dict's (0.04 us).
    """

    def __init__(self, least: int, make: Callable[[K], V], strays: Collection[V] = ()) -> None:
        super().__init__()
        self._least = least
        self._make = make
        self._strays = strays
        self._old: dict[K, V] = {}

    def __missing__(self, key: K) -> V:
        value = self._old.pop(key) if key in self._old else self._make(key)
        if value in self._strays:
            return value
        if len(self) >= self._least:
            self._old = dict(self)
            super().clear()
        self[key] = value
        return value

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self._old.clear()
