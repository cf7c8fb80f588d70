"""The fields of the state: few, and merged they are the newest of every signal."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from ingest.state import MAX_SHAPES, Shapes
from wire.reading import Reading, Value, decode_reading, encode

TOPIC = "fleets/berlin/v1/telemetry"


def unpack(packed: bytes) -> tuple[tuple[str, bytes], ...]:
    """The parts in `wire.store.pack_parts`."""
    count, at = int.from_bytes(packed[:2]) & 0x3FFF, 3 + packed[2]
    name, parts = packed[3:at].decode(), []
    for _ in range(count):
        start = at + 1 + packed[at]
        end = start + 4 + int.from_bytes(packed[start : start + 4])
        parts.append((packed[at + 1 : start].decode(), packed[start + 4 : end]))
        at = end
    assert at == len(packed)
    return ((name, b""),) if name else tuple(parts)


# Names that would be taken for several, or for one another, were they only joined.
signals = st.sampled_from(["a", "b", "c", "a,b", "b,c", ",", "", "x" * 70, "y" * 70, "a," + "x" * 70])
readings = st.builds(
    Reading,
    ts=st.integers(0, 5),
    values=st.dictionaries(signals, st.integers(0, 99), min_size=1, max_size=4),
    historical=st.sampled_from([False, False, False, True]),
)


def store(shapes: Sequence[Shapes], sent: list[Reading]) -> dict[str, tuple[int, int, bytes]]:
    """What the script leaves in the hash (ts, order, body), with the bridges taking turns."""
    state: dict[str, tuple[int, int, bytes]] = {}
    for order, reading in enumerate(sent):
        for field, body in unpack(shapes[order % len(shapes)].parts(TOPIC, reading)):
            if field not in state or reading.ts >= state[field][0]:
                state[field] = (reading.ts, order, body or encode(reading))
    return state


def merge(state: dict[str, tuple[int, int, bytes]]) -> dict[str, Value]:
    merged: dict[str, Value] = {}
    for _, _, body in sorted(state.values()):
        merged |= decode_reading(body).values
    return merged


def truth(sent: list[Reading]) -> dict[str, Value]:
    """The newest of every signal by `ts`; of equal ones, the later."""
    newest: dict[str, tuple[int, Value]] = {}
    for reading in sent:
        for name, value in reading.values.items():
            if not reading.historical and (name not in newest or reading.ts >= newest[name][0]):
                newest[name] = (reading.ts, value)
    return {name: value for name, (_, value) in newest.items()}


@given(st.lists(readings, max_size=40), st.integers(1, 3))
@example([Reading(1, {"a": 1, "b": 1}), Reading(2, {"a,b": 2})], 1)
@example([Reading(1, {"a": 1, "b": 1, "x" * 70: 1}), Reading(2, {"a,b": 2, "x" * 70: 2})], 1)
@example(
    [
        *(Reading(1, {f"s{n}": 1}) for n in range(MAX_SHAPES - 1)),
        Reading(1, {"a": 1, "b": 1}),
        Reading(2, {"a,b": 2}),
    ],
    1,
)
def test_the_merged_fields_are_the_newest_of_every_signal(sent: list[Reading], bridges: int) -> None:
    assert merge(store([Shapes() for _ in range(bridges)], sent)) == truth(sent)


@given(st.lists(readings, max_size=60))
def test_the_fields_of_a_topic_are_few(sent: list[Reading]) -> None:
    names = {name for reading in sent for name in reading.values}
    assert len(store([Shapes()], sent)) <= MAX_SHAPES + len(names)


@given(readings)
def test_the_names_of_fields_are_short(reading: Reading) -> None:
    shapes = Shapes()
    for n in range(MAX_SHAPES):
        shapes.parts(TOPIC, Reading(1, {f"other {n}": 1}))
    for some in (Shapes(), shapes):
        assert all(len(field) <= 64 for field, _ in unpack(some.parts(TOPIC, reading)))


def test_the_same_signals_are_one_field_that_is_the_reading_itself() -> None:
    shapes = Shapes()
    assert unpack(shapes.parts(TOPIC, Reading(1, {"b": 1, "a": 2}))) == (("a,b", b""),)
    assert unpack(shapes.parts(TOPIC, Reading(2, {"a": 1, "b": 2}))) == (("a,b", b""),)


def test_a_topic_of_many_shapes_gets_a_field_for_each_signal() -> None:
    shapes = Shapes()
    for n in range(MAX_SHAPES):
        assert unpack(shapes.parts(TOPIC, Reading(1, {f"s{n}": n}))) == ((f"s{n}", b""),)
    assert unpack(shapes.parts(TOPIC, Reading(5, {"a": 1, "b": 2}))) == (
        ("a", encode(Reading(5, {"a": 1}))),
        ("b", encode(Reading(5, {"b": 2}))),
    )
    assert unpack(shapes.parts(TOPIC, Reading(6, {"s0": 3}))) == (("s0", b""),)  # one that it knew before
    assert unpack(shapes.parts("fleets/berlin/v2/telemetry", Reading(1, {"a": 1, "b": 2}))) == (("a,b", b""),)


def test_a_historical_reading_sets_nothing() -> None:
    assert unpack(Shapes().parts(TOPIC, Reading(1, {"a": 1}, historical=True))) == ()
