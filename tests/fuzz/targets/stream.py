"""Targets of `stream`: what clients ask for over HTTP, what tokens say, and what Redis has."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from stream import layer, past
from stream.auth import Authority
from stream.buckets import Buckets
from stream.columns import Columns, _mixed, columns
from stream.feed import Feed
from stream.formats import chosen
from stream.grants import EVERYTHING
from stream.intake import Intake
from stream.item import Item, View
from stream.keys import FixedKeys, Key
from stream.logs import Record
from stream.metrics import Metrics
from stream.picture import picture
from stream.query import query
from stream.rest import command
from stream.span import cursor, span
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

KINDS: dict[str, tuple[type, tuple[str, ...]]] = {
    "state": (protocol.Get, ()),
    "history": (protocol.History, ("format",)),
    "events": (protocol.Subscribe, ("format",)),
}


def _query(data: bytes) -> None:
    """What stands in a request after /v1/."""
    path, _, text = data.partition(b"?")
    kind, besides = KINDS.get(path.decode("latin-1"), KINDS["events"])
    request = Request({"type": "http", "query_string": text, "headers": []})
    try:
        asked = command(kind, request, *besides)
        if isinstance(asked, protocol.History):
            assert span(asked)[0] >= 0
            if asked.after is not None:
                cursor(asked.after)
    except CommandError as error:
        protocol.encode(protocol.error_reply(error), "json").decode()
        return
    assert isinstance(asked, kind)
    protocol.encode(asked, "json")


def _accept(data: bytes) -> None:
    """A format and an Accept header."""
    format, separator, accept = data.decode("latin-1").partition("\n")
    with suppress(CommandError):
        assert chosen(format if separator else None, accept if separator else format) in (
            "json",
            "msgpack",
            "ndjson",
            "csv",
        )


T = TypeVar("T")

KEY = "k" * 32


def _token() -> Run:
    """A token as it stands, or header and claims that are signed here with the right key."""
    authority = Authority([FixedKeys([Key("HS256", KEY.encode())])])

    def run(data: bytes) -> None:
        found = chunks(data)
        token = _signed(found[0][1], found[1][1]) if len(found) == 2 else data.decode("latin-1")
        try:
            grants = _at_once(authority.grants(token))
        except CommandError as error:
            assert error.reason == "invalid_token"
            assert len(token) < 20 or token not in str(error)
            protocol.encode(protocol.error_reply(error), "json")
            return
        assert len(found) == 2, "it was not signed with the key"
        for filter in (*grants.subscribe, *grants.publish):
            assert topics.check_filter(filter) == filter
        assert grants.subject is None or isinstance(grants.subject, str)
        for verb in ("subscribe", "publish"):
            with suppress(CommandError):
                grants.check(verb, "fleets/f/v/telemetry")

    return run


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """What needs no loop, as nothing is waited for."""
    try:
        work.send(None)
    except StopIteration as end:
        found: T = end.value
        return found
    raise AssertionError("it waits")


def _signed(header: bytes, claims: bytes) -> str:
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    signature = hmac.digest(KEY.encode(), signed, hashlib.sha256)
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


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
        for item in past._items([Record("rooms/r", 1, body) for body in bodies], view):
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
    with suppress(TopicError):
        topics.check_filter(asked.topic)
        wanted, again = (query(asked, EVERYTHING.view("json", asked.signals, asked.meta)) for _ in range(2))
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
                known = values if asked.bbox is None and asked.geofence is None else dict.fromkeys(NAMES)
                assert said["values"].keys() <= known.keys()
        shown.since(None)


NAMES = {name for values, _ in READINGS for name in values}


def _layer(data: bytes) -> None:
    with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
        layer._decode(data)


def _of_token() -> Mutate:
    names = ["sub", "exp", "nbf", "iat", "aud", "iss", "subscribe", "publish", "signals", "alg", "kid", "crit"]
    claims = of_trees(JSON, names, CLAIMS)
    return chunked(claims, 1)


def _of_published(bodies: Mutate) -> Mutate:
    """An id and a body."""
    bytewise = of_text(["-", "0", " ", "9" * 15, "9" * 10, "1764000000000-0 "])

    def mutate(data: bytes, random: Any) -> bytes:
        id, space, body = data.partition(b" ")
        if random.random() < 0.3:
            return bytewise(id + space, random) + body
        return id + space + bodies(body, random)

    return mutate


CLAIMS: list[Any] = [
    *("fleets/#", "#", "+/#", "rooms/ops", "HS256", "none", "RS256", 4_102_444_800, "4102444800", 1e400, [["#"]]),
]
HEADERS = [
    *("application/json", "text/csv", "application/x-ndjson", "*/*", ";q=", "q", "0.5", "nan", "inf", "-1", ","),
    *("1e999", "\n", "csv"),
]
QUERY = [
    *(*FIELDS, *map(str, VALUES), "state", "history", "events", "format", "csv", "true", "false", "null"),
    *("=", "&", "?", ",", "%22", "%7B", "%", "%ff", "%00", "["),
    '{"Speed":{"variant":"range","parameter":{"logic-op":"gt","boundary":"1"}}}',
]
GEOJSON = ["type", "coordinates", "geometry", "geometries", "features", "properties"]
SHAPES = [
    *("Point", "LineString", "Polygon", "MultiPolygon", "GeometryCollection", "Feature", "FeatureCollection"),
    [0.5, 1.5],
]

TARGETS = [
    Target("query", "stream.rest.command, stream.span", _query, of_text(QUERY)),
    Target("accept", "stream.formats.chosen", _accept, of_text(HEADERS)),
    Target("token", "stream.auth.Authority.grants", _token(), _of_token()),
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
