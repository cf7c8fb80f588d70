"""Targets of `stream`: what clients ask for over HTTP, and what they show: tokens, addresses, origins."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Coroutine
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from stream import publisher, rest
from stream.auth import Authority
from stream.formats import chosen
from stream.keys import FixedKeys, Key, read_keys
from stream.origin import allowed
from stream.peer import networks, place
from stream.rest import command
from stream.span import cursor, span
from tests.fuzz.mutation import Mutate, chunked, chunks, of_text
from tests.fuzz.syntax import JSON, of_trees
from tests.fuzz.target import Run, Target
from tests.fuzz.targets.wire import FIELDS, VALUES
from wire import protocol, topics
from wire.errors import CommandError, TopicError
from wire.reading import Message, decode_message

__all__ = ["TARGETS"]

T = TypeVar("T")

FORMATS: tuple[protocol.Format, ...] = ("json", "msgpack")
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


def _publish(data: bytes) -> None:
    """The body of a POST."""
    try:
        asked = msgspec.json.decode(data, type=rest._Publish)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    with suppress(TopicError, CommandError):
        topics.parse(asked.topic)
        message = decode_message(publisher._encode(Message(1, asked.data, "somebody")))
        assert message.data == asked.data
        for format in FORMATS:
            protocol.encode(message, format)


def _accept(data: bytes) -> None:
    """A format and an Accept header."""
    format, separator, accept = data[:300].decode("latin-1").partition("\n")
    with suppress(CommandError):
        assert chosen(format if separator else None, accept if separator else format) in (
            "json",
            "msgpack",
            "ndjson",
            "csv",
        )


KEY = "k" * 32


def _token() -> Run:
    """A token as it stands, or header and claims that are signed here with the right key."""
    authority = Authority([FixedKeys([Key("HS256", KEY)])])

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
        with suppress(CommandError):
            assert grants.view("json", ("Speed",)).wants("Speed")

    return run


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What it gives, without waiting for anything."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        given: T = end.value
        return given
    raise AssertionError("it waits")


def _keys(data: bytes) -> None:
    with suppress(ValueError):
        for key in read_keys(data.decode("utf-8", "replace")):
            assert key.algorithm in ("RS256", "ES256", "EdDSA")


def _place(data: bytes) -> None:
    """The other end of a connection, and X-Forwarded-For."""
    peer, _, forwarded = data.decode("latin-1").partition("\n")
    trusted = networks(("10.0.0.0/8", "::1/128"))
    found = place(peer, forwarded, trusted)
    assert found == peer or "/64" in found or ip_address(found).version == 4
    assert place("192.0.2.1", forwarded, trusted) == "192.0.2.1", "nobody trusts it"


def _origin(data: bytes) -> None:
    """An Origin and a Host."""
    origin, _, host = data.decode("latin-1").partition("\n")
    if allowed(origin, host, ["https://ours.example"]):
        assert origin.lower() == "https://ours.example" or origin.partition("://")[2].lower() == host.lower()


def _signed(header: bytes, claims: bytes) -> str:
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    signature = hmac.digest(KEY.encode(), signed, hashlib.sha256)
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def _of_token() -> Mutate:
    names = ["sub", "exp", "nbf", "iat", "aud", "iss", "subscribe", "publish", "signals", "alg", "kid", "limits"]
    claims = of_trees(JSON, names, CLAIMS)
    return chunked(claims, 1)


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
JWK = ["keys", "kty", "kid", "alg", "use", "key_ops", "n", "e", "crv", "x", "y", "d", "k"]
ADDRESSES = [",", "10.0.0.1", "::1", "::ffff:10.0.0.1", "2001:db8::5", "%1", "\n"]
ORIGINS = ["https", "://", "ours.example", ":443", "null", "@", "\n"]

TARGETS = [
    Target("query", "stream.rest.command, stream.span", _query, of_text(QUERY)),
    Target("publish", "stream.rest, stream.publisher", _publish, of_trees(JSON, ["topic", "data", "ttl"], VALUES)),
    Target("accept", "stream.formats.chosen", _accept, of_text(HEADERS)),
    Target("token", "stream.auth.Authority.grants", _token(), _of_token()),
    Target("keys", "stream.keys.read_keys", _keys, of_trees(JSON, JWK, ["RSA", "EC", "OKP", "P-256", "AQAB"])),
    Target(
        "place",
        "stream.peer.place",
        _place,
        of_text(ADDRESSES),
    ),
    Target(
        "origin",
        "stream.origin.allowed",
        _origin,
        of_text(ORIGINS),
    ),
]
