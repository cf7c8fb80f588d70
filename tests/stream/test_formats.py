"""Which format an answer over HTTP has."""

from __future__ import annotations

import pytest

from stream.formats import HttpFormat, chosen
from wire.errors import CommandError


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "json"),  # a browser
        ("application/json", "json"),
        ("application/msgpack", "msgpack"),
        ("Application/VND.msgpack; q=0.5", "msgpack"),
        ("application/x-ndjson", "ndjson"),
        ("text/csv; charset=utf-8", "csv"),
        ("text/csv;q=0.4, application/x-ndjson;q=0.6, application/json;q=0.5", "ndjson"),
        ("text/csv, application/json", "csv"),  # of equals the first
        ("text/csv;q=0", "json"),
        ("text/csv;q=much", "json"),
        (";;,,=", "json"),
    ],
)
def test_an_accept_header_chooses(accept: str, format: HttpFormat) -> None:
    assert chosen(None, accept) == format


@pytest.mark.parametrize("format", ["json", "msgpack", "ndjson", "csv"])
def test_a_name_wins_over_the_header(format: str) -> None:
    assert chosen(format, "text/csv") == format


@pytest.mark.parametrize("format", ["", "CSV", "xml", "x" * 1_000])
def test_an_unknown_name_is_an_error(format: str) -> None:
    with pytest.raises(CommandError, match="format is json, msgpack, ndjson, csv") as caught:
        chosen(format, "")
    assert caught.value.reason == "bad_request"
    assert len(str(caught.value)) < 200
