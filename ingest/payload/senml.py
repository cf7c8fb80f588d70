"""SenML (RFC 8428), in JSON and in CBOR."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Annotated, Any, NamedTuple

import cbor2
import msgspec
from msgspec import UNSET, UnsetType

from ingest.payload.checks import check_size, grouped, maps, reading, scalars
from ingest.payload.json import load
from wire.errors import PayloadError
from wire.reading import Reading, Value

__all__ = ["decode_senml", "decode_senml_cbor"]

_VERSION = 10
_ABSOLUTE = 1 << 28  # seconds: a smaller time is relative to now (section 4.5.3)
_MAX_SECONDS = 1 << 43
_MAX_NAME = 256  # characters: what a client can ask for by name
_LABELS = {-6: "bs", -5: "bv", -4: "bu", -3: "bt", -2: "bn", -1: "bver"} | dict(
    enumerate(("n", "u", "v", "vs", "vb", "s", "t", "ut", "vd"))
)

_Number = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | float


class _Record(msgspec.Struct):
    bver: int = _VERSION
    bn: str | UnsetType = UNSET
    bt: _Number | UnsetType = UNSET
    bv: _Number | UnsetType = UNSET
    bs: _Number | UnsetType = UNSET
    n: str = ""
    t: _Number = 0
    v: _Number | UnsetType = UNSET
    vs: str | UnsetType = UNSET
    vb: bool | UnsetType = UNSET
    vd: Any = UNSET
    s: _Number | UnsetType = UNSET


class _Time(NamedTuple):
    ms: int
    relative: bool


def decode_senml(payload: bytes, received: int) -> list[Reading]:
    """The readings in a SenML pack in JSON: records are resolved, and those of one time are one reading.

    The topic names the device, so the base name is left out of a signal's name; a record without a name of
    its own is called by the base name, and a pack of several base names, which would be confused, keeps the
    full names. A sum `s` is the signal `<name>.sum`. Units are not carried. Times below 2**28 s are relative
    to `received`, epoch ms, and the reading's clock is then the arrival's.

    Raises PayloadError; its reason is bad_record, or one of JSON's. Data values (`vd`) are bad_value.
    """
    return _readings(_maps(load(payload)), received)


def decode_senml_cbor(payload: bytes, received: int) -> list[Reading]:
    """The same in CBOR. Of its tags, decimal fractions (4) are read, others are not.

    Raises PayloadError; its reason is not_cbor, or one of those of `decode_senml`.
    """
    records = _maps(_load_cbor(payload))
    return _readings(({_label(key): value for key, value in found.items()} for found in records), received)


def _maps(pack: Any) -> Iterator[dict[Any, Any]]:
    if not isinstance(pack, list):
        raise PayloadError("not_a_map", f"expected an array of records, got {type(pack).__name__}")
    return maps(pack)


def _readings(found: Iterator[dict[Any, Any]], received: int) -> list[Reading]:
    readings = []
    for time, values in grouped(_resolved([_record(labels) for labels in found], received)):
        one = reading(scalars(values), time.ms, None, False, received)
        readings.append(msgspec.structs.replace(one, clock="arrival") if time.relative else one)
    return readings


def _record(found: dict[Any, Any]) -> _Record:
    for label in found:
        if label.endswith("_"):
            raise PayloadError("bad_record", f"{label[:64]!r} must be understood, and isn't")
    try:
        record = msgspec.convert(found, _Record)
    except msgspec.ValidationError as error:
        raise PayloadError("bad_record", str(error)) from None
    if record.bver > _VERSION:
        raise PayloadError("bad_record", f"a version of SenML after {_VERSION}")
    return record


def _resolved(records: list[_Record], received: int) -> Iterator[tuple[_Time, str, Value]]:
    """Time, signal and value of each measurement."""
    one_base = len({record.bn for record in records if record.bn}) == 1
    before = _Record(bn="", bt=0)
    for record in records:
        for field in ("bn", "bt", "bv", "bs"):
            if getattr(record, field) is UNSET:
                setattr(record, field, getattr(before, field))
        before = record
        signal = record.n if record.n and one_base else f"{record.bn}{record.n}"
        if not signal:
            raise PayloadError("bad_record", "a record without a name")
        if len(signal) > _MAX_NAME:  # a base name that each of many records carries would multiply the payload
            raise PayloadError("bad_record", f"{signal[:64]!r}: a name of more than {_MAX_NAME} characters")
        time, value, total = _time(record, received), _value(record), _sum(record.bs, record.s)
        if value is UNSET and total is UNSET:
            raise PayloadError("bad_record", f"{signal[:64]!r} has no value")
        if value is not UNSET:
            yield time, signal, value
        if total is not UNSET:
            yield time, f"{signal}.sum", total


def _time(record: _Record, received: int) -> _Time:
    assert record.bt is not UNSET
    seconds = record.bt + record.t
    if not -_MAX_SECONDS < seconds < _MAX_SECONDS:
        raise PayloadError("bad_ts", f"the time {seconds!r:.64} s")
    ms = round(seconds * 1000)
    return _Time(received + ms, True) if seconds < _ABSOLUTE else _Time(ms, False)


def _value(record: _Record) -> Value | UnsetType:
    given = [value for value in (record.v, record.vs, record.vb, record.vd) if value is not UNSET]
    if len(given) > 1:
        raise PayloadError("bad_record", "a record of more than one value")
    if record.vd is not UNSET:
        raise PayloadError("bad_value", "data values (vd) are not read")
    return _sum(record.bv, record.v) if record.vs is UNSET and record.vb is UNSET else given[0]


def _sum(base: _Number | UnsetType, own: _Number | UnsetType) -> int | float | UnsetType:
    if base is UNSET or own is UNSET:
        return own if base is UNSET else base
    return base + own


def _label(key: Any) -> str:
    return _LABELS.get(key, "") if type(key) is int else key if type(key) is str else ""


def _load_cbor(payload: bytes) -> Any:
    check_size(payload)
    source = BytesIO(payload)
    try:
        found = cbor2.CBORDecoder(source, semantic_decoders=_Tags()).decode()
    except (cbor2.CBORError, RecursionError) as error:
        raise PayloadError(
            "not_utf8" if isinstance(error.__cause__, UnicodeDecodeError) else "not_cbor", str(error)
        ) from None
    if source.tell() != len(payload):
        raise PayloadError("not_cbor", "more after the end")
    return found


class _Tags(Mapping[int, Callable[[Any, bool], Any]]):
    """What cbor2 does with tags. Its own way makes regular expressions, e-mails, cycles and more of them."""

    def __getitem__(self, tag: int) -> Callable[[Any, bool], Any]:
        return _fraction if tag == 4 else _refused

    def __iter__(self) -> Iterator[int]:
        return iter((4,))

    def __len__(self) -> int:
        return 1


def _fraction(parts: Any, immutable: bool) -> float:
    exponent, mantissa = parts
    if type(exponent) is not int or type(mantissa) is not int:
        raise ValueError("a decimal fraction is two integers")
    return float(f"{mantissa}e{exponent}")


def _refused(value: Any, immutable: bool) -> Any:
    raise ValueError("a tag that is not read")
