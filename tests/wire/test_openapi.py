"""The OpenAPI document: it is one, it holds together, and its patterns are the grammar of topics."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from wire import openapi
from wire.errors import TopicError
from wire.openapi import ONLY, document
from wire.protocol import ERRORS
from wire.topics import KINDS, check_filter, parse

ROOT = Path(__file__).parents[2]
DOCUMENT = document()
OPERATIONS = {
    operation["operationId"]: operation for path in DOCUMENT["paths"].values() for operation in path.values()
}
SEGMENTS = st.sampled_from(["fleets", "rooms", "berlin", "v1", *KINDS, "+", "#", "", "a b", "x" * 64, "x" * 65])
TOPICS = st.lists(SEGMENTS, min_size=1, max_size=18).map("/".join) | st.text(max_size=20).filter(
    lambda text: not text.endswith("\n")
)


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        return {part["$ref"]} if "$ref" in part else set().union(*map(references, part.values()))
    return set().union(*map(references, part)) if isinstance(part, list) else set()


def test_it_is_an_openapi_document() -> None:
    problems = OpenAPIV31SpecValidator(DOCUMENT).iter_errors()
    assert [problem.message for problem in problems] == []


def test_each_schema_is_one_and_is_used() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    named = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert references(DOCUMENT) == named


def test_every_reason_is_in_it_unless_it_is_of_no_operation() -> None:
    assert ONLY.keys() <= ERRORS.keys()
    found = set()
    for operation in (found for found in OPERATIONS.values() if found["security"]):
        for status in operation["responses"].keys() - {"200", "414", "431"}:
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            detail = schema["properties"]["error"]["properties"]
            assert detail["number"] == {"const": int(status)}
            assert {ERRORS[reason] for reason in detail["reason"]["enum"]} == {int(status)}
            found |= set(detail["reason"]["enum"])
    assert found == {reason for reason in ERRORS if ONLY.get(reason, ("all",))}


def test_a_new_reason_comes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ERRORS, "too_odd", 418)
    for path in document()["paths"].values():
        for operation in path.values():
            assert ("418" in operation["responses"]) == bool(operation["security"])


@given(TOPICS)
@example("#")
@example("/".join("+" * 16))
@example("/".join("+" * 15) + "/#")
@example("/".join("+" * 16) + "/#")
def test_its_patterns_are_the_grammar(topic: str) -> None:
    (asked,) = (field for field in OPERATIONS["state"]["parameters"] if field["name"] == "topic")
    body = Draft202012Validator(OPERATIONS["publish"]["requestBody"]["content"]["application/json"]["schema"])
    assert bool(re.search(asked["schema"]["pattern"], topic)) == is_filter(topic)
    published = topic.startswith("rooms/") or topic.endswith("/commands")
    assert body.is_valid({"topic": topic, "data": {}}) == (is_topic(topic) and published)


def is_filter(topic: str) -> bool:
    try:
        return check_filter(topic) == topic
    except TopicError:
        return False


def is_topic(topic: str) -> bool:
    try:
        return bool(parse(topic))
    except TopicError:
        return False


def test_it_is_always_the_same() -> None:
    """Nothing of it hangs on the order of a set."""
    command = [sys.executable, "-m", openapi.__name__]
    printed = {
        subprocess.run(command, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in "123"
    }
    assert [json.loads(text) for text in printed] == [DOCUMENT]
