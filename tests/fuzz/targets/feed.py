"""Targets of `stream`: what Redis and its publishers say, and what subscriptions make of it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec

from stream import layer, past
from stream.buckets import Buckets
from stream.columns import Columns, _mixed, columns
from stream.feed import Feed
from stream.grants import EVERYTHING, Grants
from stream.intake import Intake
from stream.item import Item, View
from stream.logs import Record
from stream.metrics import Metrics
from stream.picture import picture
from stream.query import query
from stream.table import Table
from tests.fuzz.mutation import Mutate, chunked, chunks, of_text
from tests.fuzz.syntax import JSON, MSGPACK, of_trees
from tests.fuzz.target import Run, Target
from tests.fuzz.targets.wire import BODY, FIELDS, VALUES
from wire import protocol, topics
from wire.cursor import Cursor
from wire.errors import CommandError, TopicError
from wire.ids import parse_id
from wire.partition import WHOLE, Partition
from wire.reading import Reading

__all__ = ["TARGETS"]

CHANNELS = [
    *(b"fleets/f/v/telemetry", b"rooms/r", b"fleets/f/v/commands", b"fleets/f/v/status", b"foo", b"", b"fleets/x"),
    *(b"rooms/", b"fleets//", b"\xff/telemetry", b"fleets/f/" + b"v" * 300 + b"/telemetry"),
]


def _intake(*partitions: Partition) -> Run:
    """What somebody publishes in Redis, with a channel as the kind: passed on, or counted; what is passed on can be
    shown to everyone."""
    views = [View("json"), View("msgpack", ("Speed",), meta=True)]

    metrics = Metrics()

    def run(data: bytes) -> None:
        messages = [[b"pmessage", b"*", CHANNELS[kind % len(CHANNELS)], payload] for kind, payload in chunks(data)]
        for partition in partitions:
            table = Table()
            items = Intake(partition, metrics).items(messages)
            assert len(items) <= len(messages)
            for item in items:
                topics.parse(item.topic)
                assert item.order == parse_id(item.id)
                shown = table.apply(item) or item
                for view in views:
                    if view.shows(shown.body):
                        shown.encoded(view)
            table.matching("#", Cursor((0, 0)))

    return run


def _announced() -> Run:
    """What is said on the channel of the batches."""
    feed = Feed.__new__(Feed)
    feed._metrics, feed._link, feed._lose = Metrics(), None, lambda loss: None

    def run(data: bytes) -> None:
        feed._announced = 0
        feed._heed(data)
        assert feed._announced >= 0

    return run


def _logs(data: bytes) -> None:
    """Bodies of a log, each a chunk: read at once, or one by one, they say the same."""
    bodies = [body for _, body in chunks(data)]
    if not bodies:
        return
    view = View("json", ("Speed", "A.*") if len(data) % 2 else None)
    quick, plain = columns(bodies, view), _mixed(bodies, view)
    assert _content(quick) == _content(plain)
    assert quick.ts == plain.ts
    buckets = Buckets("fleets/f/v/telemetry", 1_000, view)
    assert 0 <= buckets.add(bodies) <= len(bodies)
    for window in buckets.items():
        protocol.encode(window, "json")
    past.log.disabled = True  # else it says of each that it can't be read
    try:
        for item in past._items([Record("rooms/r", 1, "0-1", body) for body in bodies], view):
            item.encoded(view)
    finally:
        past.log.disabled = False


def _content(found: Columns) -> str:
    """All that columns say, in any order of the signals."""
    said = {
        name: [(ts, value) for ts, value in zip(found.ts, values, strict=True)] for name, _, values in found.signals
    }
    return repr(sorted(said.items()))


READINGS = [
    ({"Speed": 50.0, "CurrentLocation.Latitude": 52.5, "CurrentLocation.Longitude": 13.4}, 1_000),
    ({"Speed": 50.0, "A.B": True}, 1_100),
    ({"Speed": -3, "CurrentLocation.Latitude": 0.5, "CurrentLocation.Longitude": 0.5, "A.B": "x"}, 1_100),
    ({"Speed": None, "CurrentLocation.Latitude": 90, "CurrentLocation.Longitude": -180}, 900),
    ({"Speed": 1e308, "A.B": 5}, 2_000),
    ({"Speed": -1e308}, 2_500),
    ({"Speed": (1 << 63) - 1, "A.B": 5e-324}, 3_000),
    ({"Speed": False, "CurrentLocation.Latitude": "x"}, 3_001),
]


def _shaping(data: bytes) -> None:
    """A subscription, and what it makes of some readings: of each not more than was in it."""
    try:
        asked = protocol.decode_command(data, "json")
    except CommandError:
        return
    if not isinstance(asked, protocol.Subscribe):
        return
    grants = Grants(("#",), (), ("Speed", "A.*")) if len(data) % 2 else EVERYTHING
    with suppress(TopicError, CommandError):
        topics.check_filter(asked.topic)
        grants.check_shape(asked)
        wanted, again = (query(asked, grants.view("json", asked.signals, asked.meta)) for _ in range(2))
        assert hash(wanted) == hash(again)
        assert wanted == again
        table = Table()
        shown = picture(wanted, table)
        for order, (values, ts) in enumerate(READINGS, 1):
            item = Item("fleets/f/v/telemetry", order << 32, Reading(ts, dict(values)))
            table.apply(item)
            for told in shown.news([item]):
                said = json.loads(told.encoded(wanted.view))
                assert said["topic"] == item.topic
                known = values.keys() if asked.bbox is None and asked.geofence is None else NAMES
                assert said["values"].keys() <= known
                assert grants is EVERYTHING or said["values"].keys() | said.get("points", {}).keys() <= {
                    "Speed",
                    "A.B",
                }
        shown.since(None)


NAMES = {name for values, _ in READINGS for name in values}


def _layer(data: bytes) -> None:
    with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
        layer._decode(data)


def _of_published(bodies: Mutate) -> Mutate:
    """An id and a body."""
    bytewise = of_text(["-", "0", " ", "9" * 15, "9" * 10, "1764000000000-0 "])

    def mutate(data: bytes, random: Any) -> bytes:
        id, space, body = data.partition(b" ")
        if random.random() < 0.3:
            return bytewise(id + space, random) + body
        return id + space + bodies(body, random)

    return mutate


GEOJSON = ["type", "coordinates", "geometry", "geometries", "features", "properties"]
SHAPES = [
    *("Point", "LineString", "Polygon", "MultiPolygon", "GeometryCollection", "Feature", "FeatureCollection"),
    [0.5, 1.5],
]

TARGETS = [
    Target("shaping", "stream.query, stream.picture", _shaping, of_trees(JSON, FIELDS, VALUES)),
    Target(
        "published",
        "stream.intake.Intake",
        _intake(WHOLE, Partition(1, "{1}")),
        chunked(_of_published(of_trees(MSGPACK, [*BODY, "Speed"])), len(CHANNELS)),
    ),
    Target("announced", "stream.feed.Feed", _announced(), of_text(["-", " ", "lost", "0-0", "9" * 15, "9" * 10])),
    Target("logs", "stream.columns, buckets, past", _logs, chunked(of_trees(MSGPACK, [*BODY, "Speed", "A.B"]), 1)),
    Target("layer", "stream.layer", _layer, of_trees(JSON, GEOJSON, SHAPES)),
]
