"""What is fuzzed: a decoder, with what must hold of whatever it is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import thread_time
from typing import NamedTuple

from tests.fuzz.mutation import Mutate

__all__ = ["CORPUS", "MOST_SECONDS", "Run", "Slow", "Target", "attempt"]

CORPUS = Path(__file__).parent / "corpus"
MOST_SECONDS = 2.0  # of CPU, for one input: a thousand times what any should take

Run = Callable[[bytes], None]


class Target(NamedTuple):
    """`run` decodes an input and checks what came of it: it raises what the decoder should not have raised, or an
    AssertionError. An input is looked at by itself: nothing of it is left for the next one. `decodes`: what is
    tried, for people."""

    name: str
    decodes: str
    run: Run
    mutate: Mutate

    @property
    def corpus(self) -> list[Path]:
        """The inputs to begin with, and those that were found to break something once."""
        return sorted((CORPUS / self.name).iterdir())


class Slow(Exception):
    """An input that took more than MOST_SECONDS."""


def attempt(target: Target, data: bytes) -> None:
    """Run the target. Raises what it raises, and Slow."""
    begun = thread_time()
    target.run(data)
    if (spent := thread_time() - begun) > MOST_SECONDS:
        raise Slow(f"{spent:.1f} s of CPU for {len(data)} bytes")
