"""Views and items: what is shown of a reading, in both formats, and encoded how often."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import item as module
from stream.item import Item, View
from wire.ids import parse_id
from wire.protocol import Format
from wire.reading import Message, Reading, Value

TOPIC = "fleets/berlin/v1/telemetry"
READ: dict[Format, Any] = {"json": json.loads, "msgpack": msgpack.unpackb}
FORMATS: tuple[Format, ...] = ("json", "msgpack")

names = st.lists(st.sampled_from(["A", "B", "a.b", "Ä", "x+y"]), min_size=1, max_size=4).map(".".join)
pattern_names = st.lists(st.sampled_from(["A", "B", "*", "x+y"]), min_size=1, max_size=3).map(".".join)
values: st.SearchStrategy[Value] = (
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats(allow_nan=False, allow_infinity=False)
) | st.text(max_size=5)
readings = st.builds(
    Reading,
    ts=st.integers(0, 1 << 50),
    values=st.dictionaries(names, values, max_size=5),
    seq=st.none() | st.integers(0, 1 << 40),
    historical=st.booleans(),
    received=st.none() | st.integers(0, 1 << 50),
    clock=st.sampled_from(["device", "arrival"]),
)


def shown(item: Item, view: View) -> dict[str, Any]:
    found: dict[str, Any] = READ[view.format](item.encoded(view))
    return found


def plainly_wants(pattern: str, name: str) -> bool:
    """Segment by segment."""
    wanted, levels = pattern.split("."), name.split(".")
    return len(wanted) == len(levels) and all(w in ("*", level) for w, level in zip(wanted, levels, strict=True))


@pytest.mark.parametrize(
    ("pattern", "name", "wanted"),
    [
        ("Speed", "Speed", True),
        ("Speed", "Speeds", False),
        ("Speed", "speed", False),
        ("CurrentLocation.*", "CurrentLocation.Latitude", True),
        ("CurrentLocation.*", "CurrentLocation", False),
        ("CurrentLocation.*", "CurrentLocation.", False),
        ("CurrentLocation.*", "CurrentLocation.a.b", False),
        ("CurrentLocation.*", "CurrentLocationxLatitude", False),
        ("Cabin.*.IsOpen", "Cabin.Door.IsOpen", True),
        ("Cabin.*.IsOpen", "Cabin.Door.Row1.IsOpen", False),
        ("*", "Speed", True),
        ("*", "a.b", False),
        ("*.*", "a.b", True),
        ("a|b", "a", False),
        ("(.+)", "a", False),
    ],
)
def test_a_star_is_one_segment_and_nothing_else_is_special(pattern: str, name: str, wanted: bool) -> None:
    view = View("json", (pattern,))
    reading = Reading(1, {name: 1})
    assert view.shows(reading) is wanted
    assert view.values(reading) == ({name: 1} if wanted else {})


@given(readings, st.lists(pattern_names, min_size=1, max_size=4))
def test_a_projection_shows_what_any_of_its_patterns_wants(reading: Reading, patterns: list[str]) -> None:
    expected = {n: v for n, v in reading.values.items() if any(plainly_wants(p, n) for p in patterns)}
    view = View("json", tuple(patterns))
    assert view.values(reading) == expected
    assert view.shows(reading) is bool(expected)


@given(readings, st.integers(0, 1 << 40), st.integers(0, 1 << 20), st.integers(0, 1 << 41), st.sampled_from(FORMATS))
def test_a_reading_is_shown_without_and_with_its_meta_fields(
    reading: Reading, ms: int, n: int, read: int, format: Format
) -> None:
    item = Item(TOPIC, parse_id(f"{ms}-{n}"), reading, read)
    expected = {"topic": TOPIC, "id": f"{ms}-{n}", "ts": reading.ts, "values": reading.values}
    assert shown(item, View(format)) == expected
    meta = {
        "seq": reading.seq,
        "historical": reading.historical or None,
        "received": reading.received,
        "clock": "arrival" if reading.clock == "arrival" else None,
        "stored": ms,
        "read": read or None,
    }
    expected |= {name: value for name, value in meta.items() if value is not None}
    assert shown(item, View(format, meta=True)) == expected


@given(readings, st.sampled_from(FORMATS), st.booleans())
def test_both_formats_show_the_same(reading: Reading, format: Format, meta: bool) -> None:
    item = Item(TOPIC, 5, reading)
    assert shown(item, View("json", meta=meta)) == shown(item, View("msgpack", meta=meta))


@pytest.mark.parametrize("format", FORMATS)
def test_a_message_is_shown_whole_in_every_view(format: Format) -> None:
    item = Item("rooms/ops", parse_id("7-1"), Message(5, {"text": ["hé", None, 1.5]}, "anna"))
    expected = {"topic": "rooms/ops", "id": "7-1", "ts": 5, "data": {"text": ["hé", None, 1.5]}, "sender": "anna"}
    for view in (View(format), View(format, ("Speed",)), View(format, meta=True)):
        assert view.shows(item.body)
        assert shown(item, view) == expected
    anonymous = Item("rooms/ops", 5, Message(5, None))
    assert "sender" not in shown(anonymous, View(format))


def test_views_that_ask_for_the_same_are_equal() -> None:
    assert View("json", ("a", "b")) == View("json", ("b", "a", "a"))
    assert hash(View("json", ("a", "b"))) == hash(View("json", ("b", "a", "a")))
    different = {View("json"), View("msgpack"), View("json", meta=True), View("json", ("a",)), View("json", ("b",))}
    assert len(different) == 5


def test_an_item_is_encoded_at_most_once_for_equal_views(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Format] = []
    real = module.encode

    def counting(message: Any, format: Format) -> bytes:
        encoded.append(format)
        return real(message, format)

    monkeypatch.setattr(module, "encode", counting)
    item = Item(TOPIC, 5, Reading(1, {"a": 1, "b": 2}))
    first = item.encoded(View("json", ("a", "b")))
    assert item.encoded(View("json", ("b", "a"))) is first
    assert encoded == ["json"]
    assert item.encoded(View("msgpack", ("a", "b"))) is item.encoded(View("msgpack", ("a", "b")))
    assert item.encoded(View("json", ("a",))) != first
    assert encoded == ["json", "msgpack", "json"]


def test_a_view_may_see_more_names_than_it_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CACHED_NAMES", 3)
    view = View("json", ("a.*",))
    for n in range(10):
        assert view.values(Reading(1, {f"a.{n}": n, f"b.{n}": n})) == {f"a.{n}": n}
