"""Sparkplug's Protocol Buffers: the payload, the metrics in it, and what a metric's value is.

The descriptors are built here, field by field, of those that are read; unknown fields are passed over.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from msgspec import UNSET, UnsetType

from ingest.payload.checks import check_size
from wire.errors import PayloadError
from wire.reading import Value

__all__ = ["REBIRTH", "Codec", "Metric", "Payload", "scalar"]

REBIRTH = "Node Control/Rebirth"

_Field = descriptor_pb2.FieldDescriptorProto
_TEXT = _Field.TYPE_BYTES  # the library does not check the UTF-8 of such strings (proto2): `_metric` does
_METRIC = {
    1: ("name", _TEXT),
    2: ("alias", _Field.TYPE_UINT64),
    3: ("timestamp", _Field.TYPE_UINT64),
    4: ("datatype", _Field.TYPE_UINT32),
    5: ("is_historical", _Field.TYPE_BOOL),
    7: ("is_null", _Field.TYPE_BOOL),
}
_VALUE = {
    10: ("int_value", _Field.TYPE_UINT32),
    11: ("long_value", _Field.TYPE_UINT64),
    12: ("float_value", _Field.TYPE_FLOAT),
    13: ("double_value", _Field.TYPE_DOUBLE),
    14: ("boolean_value", _Field.TYPE_BOOL),
    15: ("string_value", _TEXT),
    16: ("bytes_value", _Field.TYPE_BYTES),
    17: ("dataset_value", _Field.TYPE_BYTES),  # a message, left folded
    18: ("template_value", _Field.TYPE_BYTES),
}
_PAYLOAD = {
    1: ("timestamp", _Field.TYPE_UINT64),
    3: ("seq", _Field.TYPE_UINT64),
    4: ("uuid", _TEXT),
}
_COMPRESSED = b"SPBV1.0_COMPRESSED"

# Data types: how many bits of an integer count, and whether the topmost is its sign.
_SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
_UNSIGNED = {5: 8, 6: 16, 7: 32, 8: 64, 13: 64}
_BOOLEAN = 11
_MAX_INT = 1 << 63


class Metric(NamedTuple):
    """A metric as it came. `ts` is epoch ms; `kind` the field of its value, None for a null or for none."""

    name: str
    alias: int | None
    ts: int | None
    datatype: int
    historical: bool
    null: bool
    kind: str | None
    value: Any


class Payload(NamedTuple):
    """A payload. `ts` is epoch ms; `bd_seq` pairs a death with its birth."""

    ts: int | None
    seq: int | None
    bd_seq: int | None
    metrics: list[Metric]


class Codec:
    """Reads payloads, and writes the one that the bridge sends."""

    def __init__(self) -> None:
        file = descriptor_pb2.FileDescriptorProto(name="sparkplug.proto", package="sparkplug", syntax="proto2")
        metric = file.message_type.add(name="Metric")
        metric.oneof_decl.add(name="value")
        payload = file.message_type.add(name="Payload")
        for message, fields in ((metric, _METRIC), (payload, _PAYLOAD)):
            for number, (name, type) in fields.items():
                message.field.add(name=name, number=number, type=type, label=_Field.LABEL_OPTIONAL)
        for number, (name, type) in _VALUE.items():
            metric.field.add(name=name, number=number, type=type, label=_Field.LABEL_OPTIONAL, oneof_index=0)
        payload.field.add(
            name="metrics",
            number=2,
            type=_Field.TYPE_MESSAGE,
            type_name=".sparkplug.Metric",
            label=_Field.LABEL_REPEATED,
        )
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        self.message: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))

    def decode(self, payload: bytes) -> Payload:
        """Raises PayloadError too_big, not_protobuf, not_utf8, compressed."""
        check_size(payload)
        try:
            found = self.message.FromString(payload)
            if found.uuid == _COMPRESSED:
                raise PayloadError("compressed", "compressed payloads of Sparkplug are not read")
            metrics = [_metric(metric) for metric in found.metrics]
        except DecodeError as error:
            raise PayloadError("not_protobuf", str(error)) from None
        except UnicodeDecodeError as error:
            raise PayloadError("not_utf8", str(error)) from None
        bd_seq = next((metric.value for metric in metrics if metric.name == "bdSeq"), None)
        return Payload(
            found.timestamp if found.HasField("timestamp") else None,
            found.seq if found.HasField("seq") else None,
            bd_seq if type(bd_seq) is int else None,
            metrics,
        )

    def rebirth(self, now: int) -> bytes:
        """The command that asks an edge node for its births. `now`: epoch ms."""
        payload = self.message(timestamp=now)
        payload.metrics.add(name=REBIRTH.encode(), timestamp=now, datatype=_BOOLEAN, boolean_value=True)
        encoded: bytes = payload.SerializeToString()
        return encoded


def _metric(found: Any) -> Metric:
    kind = found.WhichOneof("value")
    return Metric(
        found.name.decode(),
        found.alias if found.HasField("alias") else None,
        found.timestamp if found.HasField("timestamp") else None,
        found.datatype,
        found.is_historical,
        found.is_null,
        kind,
        found.string_value.decode() if kind == "string_value" else getattr(found, kind) if kind else None,
    )


def scalar(metric: Metric, datatype: int) -> Value | UnsetType:
    """The value of a metric of this data type; UNSET for what a reading can't carry: bytes, data sets,
    templates, arrays, an integer beyond 64 bits with a sign or without a data type."""
    if metric.null:
        return None
    match metric.kind:
        case "int_value" | "long_value":
            return _integer(metric.value, datatype)
        case "float_value" | "double_value":
            number: float = metric.value
            return number if isfinite(number) else None
        case "boolean_value" | "string_value":
            value: bool | str = metric.value
            return value
    return UNSET


def _integer(value: int, datatype: int) -> int | UnsetType:
    if bits := _SIGNED.get(datatype):
        sign = 1 << (bits - 1)
        return ((value & (2 * sign - 1)) ^ sign) - sign
    if bits := _UNSIGNED.get(datatype):
        value &= (1 << bits) - 1
        return value if value < _MAX_INT else UNSET
    return UNSET
