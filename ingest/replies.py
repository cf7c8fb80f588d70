"""Replies of devices to commands."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from ingest.payload.json import load
from wire.command import Reply, Status
from wire.data import MAX_MESSAGE_BYTES, check_data
from wire.errors import PayloadError
from wire.reading import Message

__all__ = ["decode_reply"]

_MAX_TS = 1 << 53  # what every JSON reader holds exactly
_TEXT = 128


class _Fields(msgspec.Struct):
    """What a device says, not checked yet; other fields are its own affair."""

    status: Any = None
    correlation: Any = None
    reason: Any = None
    data: Any = None
    ts: Any = None


def decode_reply(payload: bytes, correlation_data: bytes | None, received: int) -> Message:
    """The reply in a payload, `{"correlation", "status", "reason"?, "data"?, "ts"?}` in JSON. The correlation may
    come as the message's Correlation Data instead (MQTT 5, section 3.3.2.3.6). `received`: the arrival, epoch ms; it
    stands in for a missing `ts`.

    Raises PayloadError; its reason is one of too_big, not_utf8, not_json, not_a_map, bad_status, no_correlation,
    bad_correlation, bad_reason, bad_value, bad_ts.
    """
    if len(payload) > MAX_MESSAGE_BYTES:
        raise PayloadError("too_big", f"{len(payload)} bytes, at most {MAX_MESSAGE_BYTES} are read")
    found = load(payload)
    if not isinstance(found, dict):
        raise PayloadError("not_a_map", f"expected a map, got {type(found).__name__}")
    fields = msgspec.convert(found, _Fields)
    if fields.status not in get_args(Status):
        raise PayloadError("bad_status", f"status must be one of {', '.join(get_args(Status))}")
    if fields.reason is not None and type(fields.reason) is not str:
        raise PayloadError("bad_reason", "reason must be text")
    ts = received if fields.ts is None else fields.ts
    if type(ts) not in (int, float) or not 0 <= ts < _MAX_TS:
        raise PayloadError("bad_ts", f"ts must be epoch milliseconds, got {ts!r:.64}")
    try:
        check_data(fields.data)
    except ValueError as error:
        raise PayloadError("bad_value", str(error)) from None
    correlation = _correlation(fields.correlation, correlation_data)
    return Reply(correlation, fields.status, fields.reason, fields.data).message(int(ts))


def _correlation(said: Any, attached: bytes | None) -> str:
    if said is None and attached is not None:
        try:
            said = attached.decode()
        except UnicodeDecodeError as error:
            raise PayloadError("bad_correlation", str(error)) from None
    if said is None:
        raise PayloadError("no_correlation", "neither in the payload nor as Correlation Data")
    if type(said) is not str or not 1 <= len(said) <= _TEXT:
        raise PayloadError("bad_correlation", f"correlation must be text of 1 to {_TEXT} characters")
    return said
