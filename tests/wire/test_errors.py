"""The exception tree: one base to catch, one line for people, a fixed word for machines."""

from __future__ import annotations

import inspect

import pytest

from wire import errors
from wire.errors import CommandError, FleetwireError, PayloadError
from wire.protocol import ERRORS


def test_every_error_is_a_fleetwire_error() -> None:
    found = [error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, Exception)]
    assert {error.__name__ for error in found} == set(errors.__all__)
    assert all(issubclass(error, FleetwireError) for error in found)


def test_the_tree_in_the_docstring_names_them_all() -> None:
    assert errors.__doc__ is not None
    assert [name for name in errors.__all__ if name not in errors.__doc__] == []


@pytest.mark.parametrize(("detail", "text"), [("", "not_json"), ("line 1, column 2", "line 1, column 2")])
def test_a_payload_error_has_a_reason_and_a_text(detail: str, text: str) -> None:
    error = PayloadError("not_json", detail)
    assert (error.reason, str(error)) == ("not_json", text)


@pytest.mark.parametrize("reason", ERRORS)
def test_a_command_error_has_a_reason_and_a_description(reason: str) -> None:
    error = CommandError(reason, "said plainly")
    assert (error.reason, error.description, str(error)) == (reason, "said plainly", "said plainly")
