"""The short form of `make fuzz`: every input of the corpus, and some thousand mutations of them for each target."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.mutation import chunks, packed, repeated
from tests.fuzz.target import CORPUS, attempt
from tests.fuzz.targets import TARGETS

INPUTS = 2_000


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_in_the_corpus_and_what_is_made_of_it_is_taken_or_refused(name: str) -> None:
    target = TARGETS[name]
    corpus = [file.read_bytes() for file in target.corpus]
    assert corpus
    random, mutate = Random(name), repeated(target.mutate)
    for data in [*corpus, *(mutate(random.choice(corpus), random) for _ in range(INPUTS))]:
        try:
            attempt(target, data)
        except BaseException as error:
            error.add_note(f"the input: {data!r}")
            raise


def test_every_corpus_has_its_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)


def test_a_seed_says_what_the_inputs_are() -> None:
    for target in TARGETS.values():
        one, other = ([target.mutate(file.read_bytes(), Random(5)) for file in target.corpus] for _ in range(2))
        assert one == other


def test_any_bytes_are_chunks() -> None:
    found = [(0, b"abc"), (255, b""), (7, b"x" * 300)]
    assert chunks(packed(found)) == found
    assert chunks(b"\x01\x00\x05ab") == [(1, b"ab")]
    assert chunks(b"\x01\x00") == []
