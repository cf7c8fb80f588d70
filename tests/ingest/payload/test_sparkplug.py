"""Sparkplug B: births name the metrics, gaps and strangers ask for a rebirth, deaths say who is gone."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from ingest.payload import sparkplug
from ingest.payload.sparkplug import REBIRTH_INTERVAL_MS, Sparkplug
from ingest.payload.sparkplug_codec import Codec
from tests.ingest.payload.wires import (
    BOOLEAN,
    DATETIME,
    DOUBLE,
    FLOAT,
    INT8,
    INT16,
    INT32,
    INT64,
    STRING,
    UINT8,
    UINT32,
    UINT64,
    Fields,
    Single,
    message,
    metric,
    payload,
)
from wire.errors import PayloadError, TopicError
from wire.reading import Reading

NOW = 1_764_000_000_500
T = 1_764_000_000_000
BIRTH = (
    metric("bdSeq", 3, datatype=INT64),
    metric("Node Control/Rebirth", False, datatype=BOOLEAN),
    metric("Speed", 54.5, alias=1, datatype=DOUBLE),
    metric("Level", 5, alias=2, datatype=INT32, field=10),
)


class Host:
    """A host application, what it asked to publish, and what it counted."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.counted: list[str] = []
        self.sparkplug = Sparkplug(lambda topic, data: self.sent.append((topic, data)), self.counted.append)
        self.now = NOW

    def take(self, name: str, data: bytes) -> list[tuple[str, Reading]]:
        return self.sparkplug.decoder(f"spBv1.0/{name}")(data, self.now)

    def born(self, edge: str = "edge", *devices: str) -> Host:
        self.take(f"plant/NBIRTH/{edge}", payload(*BIRTH, ts=T, seq=0))
        for seq, device in enumerate(devices, 1):
            self.take(f"plant/DBIRTH/{edge}/{device}", payload(*BIRTH[2:], ts=T, seq=seq))
        assert self.counted == []
        return self

    @property
    def asked(self) -> list[str]:
        return [topic for topic, _ in self.sent]


def telemetry(vehicle: str, ts: int = T, historical: bool = False, **values: Any) -> tuple[str, Reading]:
    return f"fleets/plant/{vehicle}/telemetry", Reading(ts, values, historical=historical, received=NOW)


def status(vehicle: str, state: str) -> tuple[str, Reading]:
    return (
        f"fleets/plant/{vehicle}/status",
        Reading(NOW, {"connectionState": state}, received=NOW, clock="arrival"),
    )


def test_a_birth_says_who_is_there_and_what_is_measured() -> None:
    host = Host()
    assert host.take("plant/NBIRTH/edge", payload(*BIRTH, ts=T, seq=0)) == [
        status("edge", "ONLINE"),
        telemetry("edge", Speed=54.5, Level=5),
    ]
    assert host.take("plant/DBIRTH/edge/pump", payload(metric("On", True, ts=T + 5), seq=1)) == [
        status("edge:pump", "ONLINE"),
        telemetry("edge:pump", T + 5, On=True),
    ]
    assert (host.sent, host.counted) == ([], [])


def test_aliases_and_data_types_are_the_births() -> None:
    host = Host().born("edge", "pump")
    data = (metric(alias=1, value=60.0), metric(alias=2, value=(1 << 32) - 7, field=10), metric("Level", 8, field=10))
    assert host.take("plant/NDATA/edge", payload(*data[:2], ts=T, seq=2)) == [telemetry("edge", Speed=60.0, Level=-7)]
    assert host.take("plant/DDATA/edge/pump", payload(data[2], ts=T, seq=3)) == [telemetry("edge:pump", Level=8)]
    assert (host.sent, host.counted) == ([], [])


def test_metrics_are_readings_by_time_and_history() -> None:
    host = Host().born()
    data = (
        metric(alias=1, value=1.0, ts=T),
        metric(alias=2, value=2, field=10, ts=T),
        metric(alias=1, value=3.0, ts=T - 60_000, historical=True),
        metric(alias=1, value=4.0, ts=T, historical=True),
        metric(alias=1, value=5.0),
        metric(alias=1, value=6.0, ts=T),
    )
    assert host.take("plant/NDATA/edge", payload(*data, ts=T + 1, seq=1)) == [
        telemetry("edge", T, Speed=1.0, Level=2),
        telemetry("edge", T - 60_000, True, Speed=3.0),
        telemetry("edge", T, True, Speed=4.0),
        telemetry("edge", T + 1, Speed=5.0),
        telemetry("edge", T, Speed=6.0),
    ]


def test_the_arrival_stands_in_for_a_time() -> None:
    ((_, reading),) = Host().born().take("plant/NDATA/edge", payload(metric(alias=1, value=1.0), seq=1))
    assert reading == Reading(NOW, {"Speed": 1.0}, received=NOW, clock="arrival")


def test_a_large_birth_is_several_readings() -> None:
    many = payload(*(metric(f"m{n}", n, datatype=INT32, field=10) for n in range(1_000)), ts=T, seq=0)
    _, *readings = Host().take("plant/NBIRTH/edge", many)
    assert [len(reading.values) for _, reading in readings] == [512, 488]


VALUES: list[tuple[Fields, Any]] = [
    (metric("a", 0xFF, datatype=INT8, field=10), -1),
    (metric("a", 0xFFFFFFFF, datatype=INT8, field=10), -1),
    (metric("a", 0x7F, datatype=INT8, field=10), 127),
    (metric("a", 0xFFFF8000, datatype=INT16, field=10), -32768),
    (metric("a", 0x8000, datatype=INT16, field=10), -32768),
    (metric("a", 0x80000000, datatype=INT32, field=10), -(1 << 31)),
    (metric("a", (1 << 64) - 1, datatype=INT64), -1),
    (metric("a", (1 << 63) - 1, datatype=INT64), (1 << 63) - 1),
    (metric("a", 255, datatype=UINT8, field=10), 255),
    (metric("a", 0xFFFFFFFF, datatype=UINT32, field=10), 0xFFFFFFFF),
    (metric("a", (1 << 63) - 1, datatype=UINT64), (1 << 63) - 1),
    (metric("a", T, datatype=DATETIME), T),
    (metric("a", Single(0.5), datatype=FLOAT), 0.5),
    (metric("a", 0.1, datatype=DOUBLE), 0.1),
    (metric("a", Single(nan), datatype=FLOAT), None),
    (metric("a", -inf, datatype=DOUBLE), None),
    (metric("a", False, datatype=BOOLEAN), False),
    (metric("a", "é", datatype=STRING), "é"),
    (metric("a", null=True, datatype=INT8), None),
]


@pytest.mark.parametrize(("fields", "value"), VALUES)
def test_a_value_is_read_by_its_data_type(fields: Fields, value: Any) -> None:
    host = Host().born()
    ((_, reading),) = host.take("plant/NDATA/edge", payload(fields, ts=T, seq=1))
    assert reading.values == {"a": value}
    assert type(reading.values["a"]) is type(value)


@pytest.mark.parametrize(
    "fields",
    [
        metric("a", b"\x00", datatype=17),
        metric("a", b"", datatype=16, field=17),
        metric("a", b"", datatype=19, field=18),
        metric("a", b"\x01\x02", datatype=22),
        metric("a", 1 << 63, datatype=UINT64),
        metric("a", 5, field=10),  # with a sign, or without?
        metric("a", datatype=INT8),
    ],
)
def test_what_a_reading_can_not_carry_is_counted_and_costs_the_rest_nothing(fields: Fields) -> None:
    host = Host().born()
    found = host.take("plant/NDATA/edge", payload(fields, metric(alias=1, value=1.0), ts=T, seq=1))
    assert found == [telemetry("edge", Speed=1.0)]
    assert (host.asked, host.counted) == ([], ["sparkplug_ignored_metric"])


def test_data_before_a_birth_asks_for_one() -> None:
    host = Host()
    data = payload(metric(alias=1, value=1.0), metric("Door", "open"), ts=T, seq=9)
    assert host.take("plant/NDATA/edge", data) == [telemetry("edge", Door="open")]
    assert host.asked == ["spBv1.0/plant/NCMD/edge"]
    assert host.counted == ["sparkplug_rebirth", "sparkplug_unknown_alias"]


def test_the_request_is_a_command_that_edge_nodes_know() -> None:
    host = Host()
    host.take("plant/DDATA/edge/pump", payload(seq=1))
    ((topic, sent),) = host.sent
    assert topic == "spBv1.0/plant/NCMD/edge"
    assert sent == message([(1, NOW), (2, metric("Node Control/Rebirth", True, ts=NOW, datatype=BOOLEAN))])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plant/DBIRTH/edge/pump", payload(seq=1)),
        ("plant/DDEATH/edge/pump", payload(seq=1)),
        ("plant/DDATA/edge/pump", payload(seq=1)),
    ],
)
def test_a_device_before_its_edge_node_asks_for_a_birth(name: str, data: bytes) -> None:
    host = Host()
    host.take(name, data)
    assert host.asked == ["spBv1.0/plant/NCMD/edge"]


def test_a_device_without_a_birth_and_a_strange_alias_ask_for_one() -> None:
    host = Host().born("edge").born("other")
    host.take("plant/DDATA/edge/pump", payload(metric("Door", "open"), seq=1))
    host.take("plant/NDATA/other", payload(metric(alias=99, value=1.0), seq=1))
    assert host.asked == ["spBv1.0/plant/NCMD/edge", "spBv1.0/plant/NCMD/other"]
    assert host.counted == ["sparkplug_rebirth", "sparkplug_rebirth", "sparkplug_unknown_alias"]


def test_a_gap_is_counted_once_and_asks_for_a_birth() -> None:
    host = Host().born("edge", "pump")
    data = metric(alias=1, value=1.0)
    host.take("plant/NDATA/edge", payload(data, ts=T, seq=2))
    assert host.take("plant/DDATA/edge/pump", payload(data, ts=T, seq=4)) == [telemetry("edge:pump", Speed=1.0)]
    host.take("plant/NDATA/edge", payload(data, ts=T, seq=5))
    assert host.asked == ["spBv1.0/plant/NCMD/edge"]
    assert host.counted == ["sparkplug_gap", "sparkplug_rebirth"]


def test_sequence_numbers_wrap_and_are_each_edge_nodes_own() -> None:
    host = Host().born("edge").born("other")
    for seq in range(1, 600):
        for edge in ("edge", "other"):
            host.take(f"plant/NDATA/{edge}", payload(seq=seq % 256))
    assert (host.sent, host.counted) == ([], [])


def test_a_payload_without_a_number_is_no_gap() -> None:
    host = Host().born()
    for seq in (1, None, 7, 8):
        host.take("plant/NDATA/edge", payload(seq=seq))
    assert host.counted == []


def test_births_are_asked_for_once_in_a_while() -> None:
    host = Host()
    for _ in range(3):
        host.take("plant/NDATA/edge", payload(seq=1))
    assert len(host.sent) == 1
    host.now += REBIRTH_INTERVAL_MS - 1
    host.take("plant/NDATA/edge", payload(seq=1))
    assert len(host.sent) == 1
    host.now += 1
    host.take("plant/NDATA/edge", payload(seq=1))
    assert len(host.sent) == 2
    host.now -= 3_600_000  # the clock was set back
    host.take("plant/NDATA/edge", payload(seq=1))
    assert len(host.sent) == 3


def test_a_death_takes_the_devices_along() -> None:
    host = Host().born("edge", "pump", "fan")
    assert host.take("plant/NDEATH/edge", payload(metric("bdSeq", 3), ts=T - 60_000)) == [
        status("edge", "OFFLINE"),
        status("edge:pump", "OFFLINE"),
        status("edge:fan", "OFFLINE"),
    ]
    assert host.asked == []
    host.take("plant/NDATA/edge", payload(seq=3))
    assert host.asked == ["spBv1.0/plant/NCMD/edge"]


def test_the_death_of_an_earlier_connection_is_passed_over() -> None:
    host = Host().born()
    assert host.take("plant/NDEATH/edge", payload(metric("bdSeq", 2))) == []
    host.take("plant/NDATA/edge", payload(metric(alias=1, value=1.0), seq=1))
    assert host.asked == []


def test_a_death_without_a_birth_is_a_death() -> None:
    assert Host().take("plant/NDEATH/edge", payload(metric("bdSeq", 2))) == [status("edge", "OFFLINE")]


def test_a_device_that_died_is_to_be_born_again() -> None:
    host = Host().born("edge", "pump")
    assert host.take("plant/DDEATH/edge/pump", payload(ts=T, seq=2)) == [status("edge:pump", "OFFLINE")]
    assert host.asked == []
    host.take("plant/DDATA/edge/pump", payload(seq=3))
    assert host.asked == ["spBv1.0/plant/NCMD/edge"]
    assert host.counted == ["sparkplug_rebirth"]


def test_a_new_birth_forgets_the_old_names() -> None:
    host = Host().born("edge", "pump")
    host.take("plant/NBIRTH/edge", payload(metric("Load", 1.0, alias=1, datatype=DOUBLE), seq=7))
    assert host.take("plant/NDATA/edge", payload(metric(alias=1, value=2.0), ts=T, seq=8)) == [
        telemetry("edge", Load=2.0)
    ]
    assert host.asked == []
    host.take("plant/DDATA/edge/pump", payload(seq=9))
    assert host.asked == ["spBv1.0/plant/NCMD/edge"]


@pytest.mark.parametrize(
    "name", ["plant/NCMD/edge", "plant/DCMD/edge/pump", "STATE/host", "plant/STATE/host", "é/NCMD/x y"]
)
def test_commands_and_states_of_hosts_are_passed_over(name: str) -> None:
    assert Host().take(name, b"\xff") == []


@pytest.mark.parametrize(
    "name",
    [
        "plant/NDATA",
        "plant/NDATA/edge/pump",
        "plant/DDATA/edge",
        "plant/XDATA/edge",
        "plant/NDATA/the edge",
        "the plant/NDATA/edge",
        "plant/DDATA/edge/é",
        f"plant/DDATA/edge/{'x' * 60}",
        "plant",
    ],
)
def test_other_topics_are_refused(name: str) -> None:
    with pytest.raises(TopicError):
        Host().sparkplug.decoder(f"spBv1.0/{name}")


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("not_protobuf", b"\xff"),
        ("not_protobuf", payload(metric("a", 1.0), seq=1)[:-3]),
        ("not_utf8", payload([(1, b"\xff"), (13, 1.0)])),
        ("not_utf8", payload([(1, "a"), (15, b"\xff")])),
        ("compressed", message([(3, 1), (4, "SPBV1.0_COMPRESSED"), (5, b"\x1f\x8b")])),
        ("bad_ts", payload(metric("a", 1.0, ts=1 << 53), seq=1)),
        ("too_big", bytes(300_000)),
    ],
)
def test_what_can_not_be_read_is_refused_with_its_reason(reason: str, data: bytes) -> None:
    for name in ("plant/NBIRTH/edge", "plant/NDATA/edge"):
        with pytest.raises(PayloadError) as caught:
            Host().take(name, data)
        assert caught.value.reason == reason


def test_unknown_fields_are_passed_over() -> None:
    more = [(8, [(1, 1)]), (9, b"\x0a\x00"), (6, True), (99, "x")]
    data = message([(1, T), (2, metric("Speed", 1.0) + more), (3, 1), (5, b"body"), (77, 5)])
    assert Host().born().take("plant/NDATA/edge", data) == [telemetry("edge", Speed=1.0)]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparkplug, "MAX_NODES", 2)
    host = Host().born("a").born("b")
    host.take("plant/NDATA/a", payload(seq=1))
    host.born("c")  # b was silent longest
    host.take("plant/NDATA/a", payload(seq=2))
    assert host.asked == []
    host.take("plant/NDATA/b", payload(seq=1))
    assert host.asked == ["spBv1.0/plant/NCMD/b"]


def test_names_and_aliases_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparkplug, "MAX_METRICS", 12)  # two births have 6 each
    host = Host().born("a").born("b").born("b").born("a")  # a birth anew takes no more room
    host.born("c")
    host.take("plant/NDATA/a", payload(seq=1))
    assert host.asked == []
    host.take("plant/NDATA/b", payload(seq=1))
    assert host.asked == ["spBv1.0/plant/NCMD/b"]


def test_an_edge_node_of_too_many_metrics_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparkplug, "MAX_METRICS_OF_NODE", 9)
    host = Host().born()
    with pytest.raises(PayloadError) as caught:
        host.take("plant/DBIRTH/edge/pump", payload(*BIRTH[2:], seq=1))
    assert caught.value.reason == "too_many_signals"
    host.take("plant/NDATA/edge", payload(metric(alias=1, value=1.0), seq=2))
    assert host.counted == []


def test_descriptors_are_each_codecs_own() -> None:
    assert Codec().rebirth(NOW) == Codec().rebirth(NOW)
