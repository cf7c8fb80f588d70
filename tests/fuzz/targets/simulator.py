"""Targets of `simulator`: recorded tracks, and commands to its vehicles."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import islice, pairwise

from simulator import track
from simulator.commands import Driver
from simulator.fleet import Fleet
from simulator.way import BadTrack
from tests.fuzz.mutation import chunked, chunks, of_text
from tests.fuzz.syntax import JSON, of_trees
from tests.fuzz.target import Run, Target

__all__ = ["TARGETS"]


def _track(data: bytes) -> None:
    with suppress(BadTrack):
        points = tuple(islice(track._read(data), 10_000))  # a week has 60 times as many
        assert all(one.offset_ms <= other.offset_ms for one, other in pairwise(points))
        assert not points or points[0].offset_ms == 0


def _told() -> Run:
    """A payload; as a second chunk, the message's Correlation Data."""
    devices = list(Fleet("berlin", vehicles=1, hz=1, seed=3).devices)

    def run(data: bytes) -> None:
        [(_, payload), *rest] = chunks(data) or [(0, data)]
        told = Driver(devices).tell("fleets/berlin/v1/commands", payload, None, rest[0][1] if rest else None)
        if told is not None:
            assert told.topic == "fleets/berlin/v1/replies"
            json.loads(told.payload)

    return run


GPX = [
    *(
        "<gpx>",
        "</gpx>",
        "<trkpt",
        "<rtept",
        "<time>",
        "</time>",
        'lat="',
        'lon="',
        '"/>',
        ">",
        "<!DOCTYPE a [",
        "]>",
    ),
    *('<!ENTITY x "y">', "&x;", "2024-05-01T10:00:00Z", "+23:59", "90", "-180", "1e999", "nan", "<?xml", '"stages"'),
    *('{"name":"vehicle_speed","value":1,"timestamp":2}', "\n", "start", "end", "[", "]", '"timestamp"', "1e11"),
]
COMMAND = ["data", "correlation", "name", "ts", "expires"]

TARGETS = [
    Target("track", "simulator.track, simulator.gpx", _track, of_text(GPX)),
    Target("told", "simulator.commands.Driver", _told(), chunked(of_trees(JSON, COMMAND, ["ping", "stop", "go"]), 1)),
]
