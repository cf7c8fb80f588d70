"""Targets of `wire`: what clients, operators and other nodes write."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgpack
import msgspec
from msgspec import UNSET
from redis.asyncio.connection import parse_url

from tests.fuzz.mutation import of_bytes, of_text
from tests.fuzz.syntax import JSON, MSGPACK, of_trees
from tests.fuzz.target import Run, Target
from wire import keys, signals, topics
from wire.command import decode_command as decode_body
from wire.command import reply_of
from wire.cursor import format_cursor, parse_cursor
from wire.errors import CommandError, SettingsError, TopicError
from wire.ids import LAST, format_id, parse_id
from wire.partition import Layout
from wire.protocol import ERRORS, Format, Subscribe, Update, decode_command, encode, error_reply, request_of
from wire.reading import UNREADABLE, decode_message, decode_reading, split
from wire.reading import encode as encode_body
from wire.retention import parse_retention
from wire.urls import parse_mqtt, parse_redis

__all__ = ["TARGETS"]

SECRET = "hunter2"  # noqa: S105  where a password of a URL is, it is this
LAYOUT = Layout(16)


def _command(format: Format) -> Run:
    decode = json.loads if format == "json" else msgpack.unpackb

    def run(data: bytes) -> None:
        try:
            command = decode_command(data, format)
        except CommandError as error:
            assert ERRORS[error.reason] == 400
            said = request_of(data, format)
            assert all(text is None or len(text) <= 64 for text in said)
            decode(encode(error_reply(error, *said), format))
            return
        again = decode_command(encode(command, format), format)
        assert again == command or "nan" in repr(command), again
        if isinstance(command, Update):
            with suppress(CommandError):
                command.applied(Subscribe(request_id="1", topic="#", from_=1))

    return run


def _topics(data: bytes) -> None:
    """Words: each is tried as a topic and as a filter, and each filter against all others and against topics that
    they should match."""
    words = data.decode("utf-8", "replace").split()[:4]
    names = [word for word in words if _is_topic(word)]
    filters = [word for word in words if _is_filter(word)]
    for filter in filters:
        names += _instances(filter)
    for filter in filters:
        trie: topics.Trie[str] = topics.Trie()
        trie.add(filter, filter)
        matched = [name for name in names if topics.matches(filter, name)]
        assert matched == [name for name in names if trie.match(name)]
        assert set(_instances(filter)) <= set(matched)
        assert topics.covers(filter, filter)
        assert topics.covers("#", filter)
        for grant in filters:
            # What any word could stand for is matched just when all is covered.
            covered = all(topics.matches(grant, name) for name in _instances(filter))
            assert topics.covers(grant, filter) is covered, (grant, filter)
        for name in filter_topics(matched):
            assert any(name.startswith(pattern[:-1]) for pattern in keys.patterns(filter)), (filter, name)
            assert LAYOUT.of(name) in LAYOUT.matching(filter)
            assert not topics.only_messages(filter) or topics.carries_messages(name)
        trie.remove(filter, filter)
        assert not len(trie)


def _is_topic(word: str) -> bool:
    try:
        parsed = topics.parse(word)
    except TopicError:
        return False
    assert "/".join((("fleets" if len(parsed) == 3 else "rooms"), *parsed)) == word
    assert topics.check_filter(word) == word
    return True


def _is_filter(word: str) -> bool:
    try:
        return topics.check_filter(word) == word
    except TopicError as error:
        assert len(str(error)) < 2_500
        return False


def _instances(filter: str) -> list[str]:
    """Topics, not only of ours, that a filter matches: words that no filter has stand for its wildcards."""
    levels = ["~" if level == "+" else level for level in filter.split("/")]
    if levels[-1] != "#":
        return ["/".join(levels)]
    found = ["/".join([*levels[:-1], *rest]) for rest in ([], ["~~"], ["~~", "~~"], ["~~", "~~", "~~"])]
    return [name for name in found if name]


def filter_topics(names: list[str]) -> list[str]:
    """Those that are topics of ours."""
    return [name for name in names if _is_topic(name)]


def _signals(data: bytes) -> None:
    """Words: each is tried as a pattern and as the name of a signal."""
    words = data.decode("utf-8", "replace").split()[:3]
    names = [*words, *(word.replace("*", "~") for word in words)]
    compiled = {word: signals.compile_patterns([word]) for word in words}
    for pattern in words:
        matched = [name for name in names if compiled[pattern].fullmatch(name)]
        assert pattern.replace("*", "~") in matched
        if pattern.count("*") < 5 and len(pattern) < 100:  # in the way that takes long
            plain = re.compile(re.escape(pattern).replace(r"\*", "[^.]+"))
            for name in (name for name in names if len(name) < 100):
                assert (plain.fullmatch(name) is not None) == (name in matched), (pattern, name)
        for grant in words:
            if signals.covers(grant, pattern):
                assert all(compiled[grant].fullmatch(name) for name in matched), (grant, pattern)


def _ids(data: bytes) -> None:
    found = []
    for word in data.split()[:8]:
        try:
            order = parse_id(word)
        except ValueError:
            continue
        ms, _, n = word.decode().partition("-")
        assert format_id(order) == f"{int(ms)}-{int(n)}"
        assert parse_id(format_id(order)) == order <= LAST | 0xFFFF_FFFF
        found.append((int(ms), int(n), order))
    found.sort()
    assert all(one[2] <= other[2] for one, other in pairwise(found))


def _cursor(data: bytes) -> None:
    """A number of partitions in the first byte, and a text."""
    partitions, text = data[0] % 20 + 1 if data else 1, data[1:].decode("latin-1")
    try:
        cursor = parse_cursor(text, partitions)
    except ValueError:
        return
    assert len(cursor) == partitions
    assert parse_cursor(format_cursor(cursor), partitions) == cursor
    assert cursor <= cursor.later(cursor.start(partitions))


def _mqtt(data: bytes) -> None:
    url = data.decode("utf-8", "replace")
    try:
        address = parse_mqtt(url)
    except SettingsError as error:
        _keeps(url, str(error))
        return
    assert 0 < address.port < 65_536
    _keeps(url, str(address))


def _redis(data: bytes) -> None:
    url = data.decode("utf-8", "replace")
    try:
        address = parse_redis(url)
    except SettingsError as error:
        _keeps(url, str(error))
        return
    assert all(host and 0 < port < 65_536 for host, port in address.hosts)
    parse_url(address.url)  # as redis-py reads it


def _keeps(url: str, told: str) -> None:
    """What is told does not have the password."""
    credentials = url.partition("://")[2].rpartition("@")[0]
    _, separator, password = credentials.partition(":")
    if separator and SECRET in password and url.count(SECRET) == 1:
        assert SECRET not in told


def _retention(data: bytes) -> None:
    kinds = data.decode("utf-8", "replace")
    try:
        retention = parse_retention(kinds, 1_000, 60)
    except SettingsError as error:
        assert str(error).startswith("--retention")
        return
    assert all(retention.of(kind).entries > 0 < retention.of(kind).age_ms for kind in (*topics.KINDS, "rooms"))


def _bodies(data: bytes) -> None:
    """What is read in a channel or a log, as each of the things that it may be."""
    with suppress(ValueError):
        id, body = split(data)
        assert id.encode("ascii") + b" " + body == data
    for decode in (decode_reading, decode_message):
        try:
            found: Any = decode(data)
        except UNREADABLE:
            continue
        encode(found, "json")
        assert decode(encode_body(found)) == found or "nan" in repr(found)
        if decode is decode_message:
            with suppress(msgspec.ValidationError):
                assert reply_of(found).message(1).data is not UNSET
    with suppress(*UNREADABLE):
        assert decode_body(data).expires is not None


ACTIONS = ["subscribe", "update", "unsubscribe", "publish", "get", "history", "authorize", "ping"]
FIELDS = [
    *("action", "requestId", "topic", "strategy", "interval", "signals", "snapshot", "since", "meta", "filter"),
    *("bbox", "geofence", "window", "delta", "from", "speed", "subscriptionId", "data", "ttl", "to", "limit"),
    *("after", "authorization", "variant", "parameter", "logic-op", "boundary", "combination-op", "diff", "period"),
    *("maxerr", "bufsize", "polygon", "events", "request_id", "*", "Speed", "CurrentLocation.*"),
]
VALUES = [
    *(*ACTIONS, "latest", "batch", "enter", "leave", "min", "max", "mean", "range", "change", "timebased"),
    *("curvelog", "eq", "ne", "gt", "gte", "lt", "lte", "AND", "OR", "fleets/+/+/telemetry", "rooms/ops"),
    *("1764000000000-0", 100, 60_000, 86_400_000, 86_400_001, 1_000, 10_000, 10_001, 0.5, 100.1),
]
SEGMENTS = [
    *("fleets", "rooms", "+", "#", "/", "//", "telemetry", "commands", "replies", "v1", "x" * 64, "x" * 65, " "),
    *("/+", "/#"),
]
URLS = [
    *("mqtt", "mqtts", "redis", "rediss", "unix", "+sentinel", "+cluster", "://", "@", ":", SECRET, f":{SECRET}@"),
    *("user", "[::1]", "[", "]", "host", "host2", ",", "/", "?", "partitions", "=", "16", "256", "257", "1883"),
    *("65536", "#", "%40", "%"),
]
BODY = [
    *("ts", "values", "seq", "historical", "clock", "received", "data", "sender", "ttl"),
    *("correlation", "status", "reason"),
]
IDS = ["-", "0", "9" * 15, "9" * 10, "4294967296", " ", "1764000000000-0"]
KINDS = ["status=", "=", ":", "10000", "86400", " ", "rooms"]

TARGETS = [
    Target("command-json", "wire.protocol, json", _command("json"), of_trees(JSON, FIELDS, VALUES)),
    Target("command-msgpack", "wire.protocol, msgpack", _command("msgpack"), of_trees(MSGPACK, FIELDS, VALUES)),
    Target("topics", "wire.topics", _topics, of_text(SEGMENTS)),
    Target("signals", "wire.signals", _signals, of_text(["*", "**", ".", "Speed", "CurrentLocation", "A", "a", " "])),
    Target("ids", "wire.ids", _ids, of_text(IDS)),
    Target("cursor", "wire.cursor", _cursor, of_bytes([b"c", b"-0", b"AAAA", b"_w", b"="])),
    Target("url-mqtt", "wire.urls.parse_mqtt", _mqtt, of_text(URLS)),
    Target("url-redis", "wire.urls.parse_redis", _redis, of_text(URLS)),
    Target("retention", "wire.retention", _retention, of_text(KINDS)),
    Target("bodies", "wire.reading, wire.command", _bodies, of_trees(MSGPACK, BODY, ["device", "SUCCEEDED"])),
]
