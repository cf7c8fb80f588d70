"""A target in the hands of atheris (libFuzzer): what reaches new code is kept, and mutated further.

    python -m tests.fuzz.guided TARGET FLAGS…

The flags are libFuzzer's. In a process of its own: libFuzzer never gives it back.
"""

from __future__ import annotations

import sys
from random import Random

import atheris

__all__ = ["main"]

OURS = ["wire", "store", "ingest", "stream", "simulator", "websockets"]


def main(arguments: list[str]) -> None:
    """Fuzz until the inputs are used up, or one breaks something: then libFuzzer ends the process, with a status."""
    with atheris.instrument_imports(include=OURS, enable_loader_override=False):
        from tests.fuzz.target import attempt
        from tests.fuzz.targets import TARGETS

    target = TARGETS[arguments[1]]

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.25:
            found: bytes = atheris.Mutate(data, most)
            return found
        return target.mutate(data, random)[:most]

    atheris.Setup([arguments[0], *arguments[2:]], lambda data: attempt(target, data), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
