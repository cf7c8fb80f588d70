"""Targets of `ingest`: what brokers send, and what operators say of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from typing import Any

from ingest.decoder import Decoder
from ingest.devices import Devices
from ingest.metrics import Metrics
from ingest.payload.sparkplug import NAMESPACE
from ingest.routes import ALL_FORMATS, Routes, overlap, parse_layouts
from ingest.session import Session
from ingest.settings import Settings
from ingest.source import Arrivals, Received
from ingest.state import Shapes
from tests.fuzz.mutation import chunked, chunks, of_bytes, of_text
from tests.fuzz.target import Run, Target
from tests.fuzz.targets.payload import JSON_PAYLOADS, NOW, REASONS
from wire import topics
from wire.errors import PayloadError, TopicError, Unavailable
from wire.store import Retention, arguments

__all__ = ["TARGETS"]


def _session() -> Run:
    """What a broker sends, whole and in pieces: either gives the same."""
    os.environ["RUST_BACKTRACE"] = "0"  # else the codec takes 0.4 s to panic at text that is not UTF-8
    nowhere = os.open(os.devnull, os.O_WRONLY)

    def run(data: bytes) -> None:
        whole, pieces = _new_session(), _new_session()
        size = data[0] % 50 + 1 if data else 1
        with _quiet(nowhere):
            found = _fed(whole, [data[1:]])
            assert found == _fed(pieces, [data[at : at + size] for at in range(1, len(data), size)])

    return run


@contextmanager
def _quiet(nowhere: int) -> Iterator[None]:
    """What the codec says of its panics goes nowhere."""
    hook, errors = sys.unraisablehook, os.dup(2)
    sys.unraisablehook = lambda unraisable: None
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(errors, 2)
        os.close(errors)
        sys.unraisablehook = hook


def _new_session() -> Session:
    session = Session("bridge", ["$share/g/fleets/#"], window=100, expiry_s=60, keepalive_s=20)
    session.outgoing()
    return session


def _fed(session: Session, pieces: list[bytes]) -> tuple[Any, ...]:
    waiting, refused = b"", False
    for piece in pieces:
        waiting += piece
        try:
            done = session.feed(memoryview(waiting))
        except Unavailable as error:
            assert str(error)
            refused = True
            break
        assert 0 <= done <= len(waiting)
        waiting = waiting[done:]
    found = [(m.topic, bytes(m.payload), m.packet_id) for m in session.take()]
    session.acknowledge([id for _, _, id in found if id is not None])
    return found, session.subscribed, session.outgoing(), refused or waiting


def _layouts(data: bytes) -> None:
    """A setting, and below it in a line each topics, perhaps with a content type."""
    setting, *lines = data.decode("utf-8", "replace").split("\n")
    try:
        layouts = parse_layouts(setting)
    except TopicError as error:
        assert len(str(error)) < 8 * len(setting) + 1_000
        return
    routes = Routes(setting, lambda topic, payload: None, lambda what: None)
    for line in lines[:5]:
        name, _, content_type = line.partition("\t")
        fitting = [layout.filter for layout in layouts if topics.matches(layout.filter, name)]
        assert len(fitting) < 2, fitting
        assert all(overlap(name, filter) for filter in fitting)
        with suppress(TopicError, PayloadError):
            for topic, reading in routes.find(name, content_type or None)(b'{"Speed":1}', NOW):
                assert fitting
                topics.parse(topic)
                assert reading.values


NAMES: list[tuple[str, str | None]] = [
    ("fleets/f/v/telemetry", None),
    ("fleets/f/v/status", "application/senml+cbor"),
    ("fleets/f/v/replies", None),
    ("fleets/f/v/alerts", "application/msgpack; a=b"),
    ("fleets/f/v/commands", None),
    ("fleets/f/v/nothing", None),
    ("nowhere", None),
]


def _decoder() -> Run:
    """Messages on several topics: each becomes entries that can be stored, a dead letter, or is counted."""
    settings = Settings(device_rate=1e6, device_burst_s=1e6, device_backlog_s=1e6)  # it is always the same moment
    template = Decoder(settings, Metrics(), lambda topic, payload: None, Devices(None).let_in)

    def run(data: bytes) -> None:
        decoder = copy(template)  # what is costly to make are the routes
        decoder._shapes = Shapes()
        messages = []
        for kind, payload in chunks(data):
            name, content_type = NAMES[kind % len(NAMES)]
            messages.append(Received(name, payload, content_type=content_type))
        batch = decoder.decode([Arrivals(NOW, messages)])
        assert len(batch.dead) <= len(messages)
        for dead in batch.dead:
            assert dead.reason in REASONS | {"bad_topic", "long_name"}
        arguments(batch.entries, Retention())

    return run


MQTT = [b"\x20", b"\x30", b"\x32", b"\x90", b"\xd0\x00", b"\xe0", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x7f"]
LAYOUTS = [
    *(*ALL_FORMATS, "{fleet}", "{vehicle}", "{kind}", "/", "+", "#", "=", " ", "\n", "\t", NAMESPACE, "fleets", "v1"),
    *("telemetry", "commands", "application/json", "application/senml+cbor", "; q=1", "NBIRTH", "DDATA", "gw"),
]

TARGETS = [
    Target("mqtt", "ingest.session.Session.feed", _session(), of_bytes(MQTT)),
    Target("layouts", "ingest.routes: parse_layouts, Routes.find", _layouts, of_text(LAYOUTS)),
    Target("decoder", "ingest.decoder.Decoder", _decoder(), chunked(JSON_PAYLOADS, len(NAMES))),
]
