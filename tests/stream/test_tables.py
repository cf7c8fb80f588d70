"""History as files, read back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.item import Item, View
from stream.tables import Csv, Ndjson
from wire.ids import parse_id
from wire.protocol import Last, Numbers, WindowItem
from wire.reading import Body, Message, Reading, Value

TOPIC = "fleets/a/v1/telemetry"
ALL = View("json")
META = View("json", meta=True)
FORMULAS = ("=", "+", "-", "@", "\t", "\r")

text = st.text(st.characters(codec="utf-8"), max_size=5) | st.sampled_from(["=1+1", "-5", "a,b", '"', "x\r\ny"])
values: st.SearchStrategy[dict[str, Value]] = st.dictionaries(
    text, st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
)


def items(bodies: Sequence[Body]) -> list[Item]:
    return [Item(TOPIC, parse_id(f"{ms}-7"), body) for ms, body in enumerate(bodies)]


def rows(bodies: Sequence[Body], view: View = ALL) -> list[list[str]]:
    data = Csv().head(windows=False, meta=view.meta) + Csv().readings(items(bodies), view)
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def cell(value: Any) -> str:
    """What a value is in CSV, said another way."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value if value[:1] in FORMULAS else value
    return repr(value)


@given(st.lists(values, max_size=5))
def test_csv_has_each_value_as_a_row(found: list[dict[str, Value]]) -> None:
    expected = [
        [TOPIC, f"{ms}-7", str(ms), cell(name), cell(value)]
        for ms, one in enumerate(found)
        for name, value in one.items()
    ]
    head, *body = rows([Reading(ms, one) for ms, one in enumerate(found)])
    assert head == ["topic", "id", "ts", "signal", "value"]
    assert body == expected


@given(st.lists(values, max_size=5))
def test_no_cell_of_text_begins_a_formula(found: list[dict[str, Value]]) -> None:
    for _, _, _, name, value in rows([Reading(1, one) for one in found])[1:]:
        assert not name.startswith(FORMULAS)
        if value.startswith(FORMULAS):
            float(value)


@pytest.mark.parametrize("number", [-5, -0.5, 1e300, 5e-324, 1 << 64])
def test_numbers_stay_numbers(number: float) -> None:
    assert json.loads(rows([Reading(1, {"n": number})])[1][4]) == number


def test_csv_of_messages_loses_nothing() -> None:
    said = rows([Message(5, {"a": [1, None]}, "=anna"), Message(6, "=1")])[1:]
    assert said == [
        [TOPIC, "0-7", "5", "data", '{"a":[1,null]}'],
        [TOPIC, "0-7", "5", "sender", "'=anna"],
        [TOPIC, "1-7", "6", "data", '"=1"'],
    ]


def test_csv_with_meta() -> None:
    reading = Reading(5, {"a": 1}, 7, historical=True, clock="clamped", received=9)
    head, *body = rows([reading, Reading(6, {"b": "x"}), Message(7, 1)], META)
    assert head == ["topic", "id", "ts", "signal", "value", "seq", "historical", "received", "clock", "stored"]
    assert body == [
        [TOPIC, "0-7", "5", "a", "1", "7", "true", "9", "clamped", "0"],
        [TOPIC, "1-7", "6", "b", "x", "", "false", "", "device", "1"],
        [TOPIC, "2-7", "7", "data", "1", "", "", "", "", "2"],
    ]


def test_csv_shows_the_signals_that_are_asked_for() -> None:
    assert [row[3:] for row in rows([Reading(1, {"a.x": 1, "b": 2})], View("json", ("a.*",)))[1:]] == [["a.x", "1"]]


def test_windows_as_tables() -> None:
    window = WindowItem(TOPIC, 60_000, 3, {"n": Numbers(-1, 2, 0.5), "=s": Last("@x"), "t": Last(True)})
    data = Csv().head(windows=True, meta=False) + Csv().windows([window])
    assert list(csv.reader(io.StringIO(data.decode(), newline=""))) == [
        ["topic", "ts", "signal", "count", "min", "max", "mean", "last"],
        [TOPIC, "60000", "n", "3", "-1", "2", "0.5", ""],
        [TOPIC, "60000", "'=s", "3", "", "", "", "'@x"],
        [TOPIC, "60000", "t", "3", "", "", "", "true"],
    ]
    (line,) = Ndjson().windows([window]).splitlines()
    told = {"n": {"min": -1, "max": 2, "mean": 0.5}, "=s": {"last": "@x"}, "t": {"last": True}}
    assert json.loads(line) == {"topic": TOPIC, "ts": 60_000, "count": 3, "values": told}


@given(st.lists(values, max_size=5))
def test_lines_of_json_are_the_items_of_a_page(found: list[dict[str, Value]]) -> None:
    made = items([Reading(ms, one) for ms, one in enumerate(found)])
    lines = Ndjson().readings(made, ALL).split(b"\n")
    assert lines == [*(item.encoded(ALL) for item in made), b""]
