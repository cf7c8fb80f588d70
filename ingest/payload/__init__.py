"""From a device's bytes to readings, one module a format. Pure: the only clock is the `received` that comes in.

A payload that can't be read raises PayloadError, whose reason is one of

    too_big, too_many_signals                             more than is read
    not_json, not_msgpack, not_cbor, not_protobuf         not of the format
    not_utf8                                              text that isn't
    not_a_map, no_values, bad_ts, bad_seq, bad_value      of the format, but no reading
    bad_record                                            a SenML record outside RFC 8428
    bad_device                                            a device's name that can't be part of a topic
    encrypted, compressed                                 for others to read

Values are what JSON can carry: a number that isn't finite (NaN, an infinity), which the binary formats can say,
becomes null, the signal's "not known", and costs the rest of the reading nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from ingest.payload.checks import MAX_PAYLOAD_BYTES, MAX_SIGNALS
from ingest.payload.json import decode_json
from ingest.payload.msgpack import decode_msgpack
from ingest.payload.owntracks import decode_owntracks
from ingest.payload.senml import decode_senml, decode_senml_cbor
from ingest.payload.thingsboard import decode_gateway, decode_thingsboard
from wire.reading import Reading

__all__ = [
    "CONTENT_TYPES",
    "FORMATS",
    "MAX_PAYLOAD_BYTES",
    "MAX_SIGNALS",
    "Decode",
    "decode_gateway",
    "decode_json",
    "decode_msgpack",
    "decode_owntracks",
    "decode_senml",
    "decode_senml_cbor",
    "decode_thingsboard",
]

Decode = Callable[[bytes, int], list[Reading]]

# The formats of one device a payload: the topic names the device.
FORMATS: dict[str, Decode] = {
    "json": decode_json,
    "msgpack": decode_msgpack,
    "thingsboard": decode_thingsboard,
    "senml": decode_senml,
    "senml-cbor": decode_senml_cbor,
    "owntracks": decode_owntracks,
}

CONTENT_TYPES = {
    "application/json": "json",
    "application/msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
    "application/senml+json": "senml",
    "application/senml+cbor": "senml-cbor",
}
