"""Which decoder a message gets: by topic and by content type."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import routes as module
from ingest.payload import FORMATS
from ingest.routes import ALL_FORMATS, Layout, Routes, overlap, parse_layouts
from tests.ingest.payload.wires import metric, payload
from wire.errors import PayloadError, TopicError
from wire.reading import Reading
from wire.topics import matches

NOW = 1_764_000_000_500
VALUES = {"Speed": 54.5}
MANY = (
    "vehicles/{vehicle}/{fleet}/data=msgpack own/{fleet}/{vehicle}/{kind} owntracks/{fleet}/{vehicle}=owntracks"
    " v1/gateway/telemetry=thingsboard-gateway gateways/{fleet}/up=thingsboard-gateway"
    " tb/{vehicle}=thingsboard spBv1.0=sparkplug"
)


def routes(layouts: str | None = None) -> Routes:
    return Routes(layouts, lambda topic, data: None, lambda what: None)


def read(found: Routes, name: str, data: bytes, content_type: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    return [(topic, reading.values) for topic, reading in found.find(name, content_type)(data, NOW)]


def as_json(found: Any) -> bytes:
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("a/+", "+/b", True),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),  # the level before it included
        ("a/#", "b", False),
        ("a", "a/+", False),
        ("a/+/c", "a/#", True),
    ],
)
def test_filters_overlap_when_a_topic_fits_both(one: str, other: str, shared: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is shared


def test_without_layouts_the_topics_are_ours_and_json() -> None:
    found = routes()
    assert found.filters == ["fleets/#"]
    assert found.find("fleets/berlin/v1/telemetry", None)(b'[{"ts":5,"a":1},{"ts":6,"a":2}]', NOW) == [
        ("fleets/berlin/v1/telemetry", Reading(5, {"a": 1}, received=NOW)),
        ("fleets/berlin/v1/telemetry", Reading(6, {"a": 2}, received=NOW)),
    ]
    assert read(found, "fleets/berlin/v1/status", as_json(VALUES)) == [("fleets/berlin/v1/status", VALUES)]
    with pytest.raises(PayloadError):
        read(found, "fleets/berlin/v1/telemetry", b"?")


def test_every_layout_has_its_topics_and_format() -> None:
    found = routes(MANY)
    assert found.filters == [
        "vehicles/+/+/data",
        "own/+/+/+",
        "owntracks/+/+",
        "v1/gateway/telemetry",
        "gateways/+/up",
        "tb/+",
        "spBv1.0/#",
    ]
    packed, plain = msgpack.packb(VALUES), as_json(VALUES)
    assert read(found, "vehicles/v1/berlin/data", packed) == [("fleets/berlin/v1/telemetry", VALUES)]
    assert read(found, "own/berlin/v1/alerts", plain) == [("fleets/berlin/v1/alerts", VALUES)]
    assert read(found, "owntracks/ann/phone", b'{"_type":"location","lat":1,"lon":2}') == [
        ("fleets/ann/phone/telemetry", {"CurrentLocation.Latitude": 1, "CurrentLocation.Longitude": 2})
    ]
    devices = as_json({"A": [VALUES], "B": [VALUES]})
    assert read(found, "v1/gateway/telemetry", devices) == [
        ("fleets/default/A/telemetry", VALUES),
        ("fleets/default/B/telemetry", VALUES),
    ]
    assert read(found, "gateways/berlin/up", as_json({"A": [VALUES]})) == [("fleets/berlin/A/telemetry", VALUES)]
    assert read(found, "tb/v1", as_json({"seq": 4})) == [("fleets/default/v1/telemetry", {"seq": 4})]
    assert read(found, "spBv1.0/plant/NBIRTH/edge", payload(metric("Speed", 54.5), seq=0)) == [
        ("fleets/plant/edge/status", {"connectionState": "ONLINE"}),
        ("fleets/plant/edge/telemetry", VALUES),
    ]


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("application/json", as_json(VALUES)),
        ("application/msgpack", msgpack.packb(VALUES)),
        ("application/x-msgpack", msgpack.packb(VALUES)),
        ("application/vnd.msgpack", msgpack.packb(VALUES)),
        ("Application/JSON ; charset=utf-8", as_json(VALUES)),
        ("application/senml+json", as_json([{"n": "Speed", "v": 54.5}])),
        ("application/senml+cbor;x=y", cbor2.dumps([{0: "Speed", 2: 54.5}])),
    ],
)
@pytest.mark.parametrize("name", ["own/berlin/v1/telemetry", "vehicles/v1/berlin/data"])
def test_a_content_type_is_believed_before_the_layout(content_type: str, data: bytes, name: str) -> None:
    assert read(routes(MANY), name, data, content_type) == [("fleets/berlin/v1/telemetry", VALUES)]


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/octet-stream", ";", "x" * 10_000])
def test_an_unknown_content_type_leaves_it_to_the_layout(content_type: str | None) -> None:
    found = read(routes(MANY), "vehicles/v1/berlin/data", msgpack.packb(VALUES), content_type)
    assert found == [("fleets/berlin/v1/telemetry", VALUES)]


def test_json_leaves_a_layout_of_another_json_as_it_is() -> None:
    found = routes(MANY)
    assert read(found, "tb/v1", as_json({"seq": 4}), "application/json") == [
        ("fleets/default/v1/telemetry", {"seq": 4})
    ]
    assert read(found, "owntracks/ann/phone", b'{"_type":"lwt"}', "application/json") == []


def test_formats_of_many_devices_are_the_layouts_alone() -> None:
    found = routes(MANY)
    devices = as_json({"A": [VALUES]})
    assert read(found, "v1/gateway/telemetry", devices, "application/msgpack") == [
        ("fleets/default/A/telemetry", VALUES)
    ]
    assert read(found, "spBv1.0/plant/NDATA/edge", payload(metric("Speed", 54.5), seq=0), "application/json") == [
        ("fleets/plant/edge/telemetry", VALUES)
    ]


def test_commands_are_counted_and_not_read() -> None:
    counted: list[str] = []
    for layouts, name in ((None, "fleets/berlin/v1/commands"), (MANY, "own/berlin/v1/commands")):
        found = Routes(layouts, lambda topic, data: None, counted.append)
        assert found.find(name, None)(b"?", NOW) == []
    assert counted == ["commands", "commands"]


def test_what_is_to_be_published_and_counted_reaches_the_bridge() -> None:
    sent: list[str] = []
    counted: list[str] = []
    found = Routes("spBv1.0=sparkplug", lambda topic, data: sent.append(topic), counted.append)
    found.find("spBv1.0/plant/NDATA/edge", None)(payload(seq=0), NOW)
    assert (sent, counted) == (["spBv1.0/plant/NCMD/edge"], ["sparkplug_rebirth"])


@pytest.mark.parametrize(
    ("layouts", "name"),
    [
        (None, "rooms/ops"),
        (None, "fleets/berlin/v1/other"),
        (None, "fleets/berlin/v 1/telemetry"),
        (None, "$SYS/uptime"),
        (MANY, "fleets/berlin/v1/telemetry"),
        (MANY, "vehicles/v1/berlin"),
        (MANY, "vehicles/v 1/berlin/data"),
        (MANY, "own/berlin/v1/other"),
        (MANY, "gateways/ber lin/up"),
        (MANY, "spBv1.0/plant/OTHER/edge"),
        (MANY, "spBv1.0"),
    ],
)
def test_a_name_that_fits_nothing_is_refused(layouts: str | None, name: str) -> None:
    found = routes(layouts)
    for _ in range(2):
        with pytest.raises(TopicError) as caught:
            found.find(name, None)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("layouts", "words"),
    [
        ("a/{vehicle}=xml", ["'xml'", "a/{vehicle}=xml", *ALL_FORMATS]),
        ("a/{vehicle}=", ["''", *ALL_FORMATS]),
        ("a/b", ["a/b", "{vehicle}"]),
        ("a/{vehicle}/{vehicle}", ["{vehicle} once"]),
        ("a/#/{vehicle}", ["'#'"]),
        ("=json", ["''"]),
        ("gw/{vehicle}=thingsboard-gateway", ["gw/{vehicle}=thingsboard-gateway", "payload names"]),
        ("gw//up=thingsboard-gateway", ["''"]),
        ("spBv1.0", ["spBv1.0=sparkplug"]),
        ("plants/{vehicle}=sparkplug", ["spBv1.0=sparkplug"]),
        ("a/{vehicle} a/{vehicle}=msgpack", ["'a/+'"]),
        ("a/{vehicle} {fleet}/{vehicle}", ["'a/+'", "'+/+'"]),
        ("spBv1.0=sparkplug {fleet}/x/{vehicle}", ["'spBv1.0/#'", "'+/x/+'"]),
    ],
)
def test_a_bad_layout_says_what_is_wrong(layouts: str, words: list[str]) -> None:
    with pytest.raises(TopicError) as caught:
        routes(layouts)
    for word in words:
        assert word in str(caught.value)


def test_blanks_separate_layouts() -> None:
    assert [layout.filter for layout in parse_layouts("  a/{vehicle}\n b/{vehicle}=json ")] == ["a/+", "b/+"]
    assert [layout.format for layout in parse_layouts("")] == ["json"]


def test_routes_are_remembered_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROUTES", 2)
    found = routes()
    first = found.find("fleets/berlin/v1/telemetry", None)
    assert found.find("fleets/berlin/v1/telemetry", None) is first
    assert found.find("fleets/berlin/v1/telemetry", "application/msgpack") is not first
    found.find("fleets/berlin/v2/telemetry", None)
    assert found.find("fleets/berlin/v1/telemetry", None) is not first


levels = st.sampled_from(["a", "b", "{fleet}", "{kind}"])


@given(st.lists(levels, max_size=3), st.lists(levels, max_size=3))
def test_two_layouts_are_refused_just_when_a_name_fits_both(one: list[str], other: list[str]) -> None:
    try:
        first, second = (Layout.parse("/".join([*parts, "{vehicle}"])) for parts in (one, other))
    except TopicError:
        return  # a slot twice
    names: list[list[str]] = [[]]
    for _ in range(max(len(one), len(other)) + 1):
        names = [[*name, level] for name in names for level in ("a", "b", "c")] + names
    both = any(matches(first.filter, name) and matches(second.filter, name) for name in map("/".join, names))
    try:
        routes(f"{'/'.join([*one, '{vehicle}'])} {'/'.join([*other, '{vehicle}'])}")
    except TopicError:
        assert both
    else:
        assert not both


OTHER = {"topic": "fleets/berlin/v2/telemetry", "fleet": "munich", "vehicle": "v2", "device": "v2", "id": "v2"}
IMPOSTORS: dict[str, list[bytes]] = {
    "json": [
        as_json(OTHER | VALUES),
        as_json({"values": OTHER | VALUES} | OTHER),
        as_json([OTHER | VALUES, VALUES]),
        as_json({"fleets/berlin/v2/telemetry": 1}),
        as_json({"v2": [VALUES]}),
        as_json({"v2": {"values": VALUES}}),
    ],
    "msgpack": [msgpack.packb(OTHER | VALUES), msgpack.packb({"v2": [VALUES]})],
    "thingsboard": [as_json(OTHER | VALUES), as_json({"v2": [VALUES]})],
    "senml": [
        as_json([{"bn": "fleets/berlin/v2/", "n": "Speed", "v": 1}]),
        as_json([{"bn": "urn:dev:v2:", "n": "Speed", "v": 1}, {"bn": "../v2/", "n": "telemetry", "v": 1}]),
    ],
    "senml-cbor": [cbor2.dumps([{-2: "fleets/berlin/v2/", 0: "Speed", 2: 1}])],
    "owntracks": [as_json({"_type": "location", "lat": 1, "lon": 2, "tid": "v2"} | OTHER)],
}


@pytest.mark.parametrize("format", IMPOSTORS)
def test_no_payload_lands_under_another_name_than_the_one_it_came_under(format: str) -> None:
    assert set(IMPOSTORS) == set(FORMATS)
    found = routes(f"up/{{fleet}}/{{vehicle}}/{{kind}}={format}")
    kept = 0
    for data in IMPOSTORS[format]:
        try:
            landed = read(found, "up/berlin/v1/telemetry", data)
        except PayloadError:
            continue
        assert {topic for topic, _ in landed} == {"fleets/berlin/v1/telemetry"}
        kept += len(landed)
    assert kept


def test_a_payload_of_sparkplug_lands_under_its_edge_node_whatever_it_says() -> None:
    found = routes("spBv1.0=sparkplug")
    birth = payload(metric("v2/Speed", 1.5, alias=1), metric("fleets/plant/v2/telemetry", 1.5), seq=0)
    named = {topic for topic, _ in read(found, "spBv1.0/plant/NBIRTH/v1", birth)}
    named |= {topic for topic, _ in read(found, "spBv1.0/plant/DBIRTH/v1/arm", birth)}
    assert named == {f"fleets/plant/{who}/{kind}" for who in ("v1", "v1:arm") for kind in ("status", "telemetry")}
    # An alias is its own edge node's: another one's says nothing.
    assert read(found, "spBv1.0/plant/NDATA/v2", payload(metric(alias=1, value=2.5), seq=1)) == []


def test_a_gateway_names_devices_of_its_fleet_only() -> None:
    found = routes("gateways/{fleet}/up=thingsboard-gateway")
    for name in ("../munich/v1", "munich/v1", "v1/status", "", "+", "#", "v 1"):
        with pytest.raises(PayloadError, match="can't be part of a topic"):
            read(found, "gateways/berlin/up", as_json({"v1": [VALUES], name: [VALUES]}))


def test_whose_readings_come_under_a_name() -> None:
    found = routes(MANY)
    assert found.topic("vehicles/v1/berlin/data") == "fleets/berlin/v1/telemetry"
    assert found.topic("own/berlin/v1/status") == "fleets/berlin/v1/status"
    assert found.topic("spBv1.0/plant/DDATA/edge/arm") == "fleets/plant/edge:arm/telemetry"
    for name in ("own/berlin/v1/commands", "gateways/berlin/up", "spBv1.0/plant/NCMD/edge", "spBv1.0/STATE/host"):
        assert found.topic(name) is None
    for name in ("elsewhere/v1", "own/b c/v1/status", "spBv1.0/plant/NDATA/b c", "spBv1.0/x"):
        with pytest.raises(TopicError):
            found.topic(name)
