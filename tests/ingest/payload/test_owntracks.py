"""OwnTracks: a location is a reading under VSS names, the other messages are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.payload import decode_owntracks
from wire.errors import PayloadError
from wire.reading import Reading

NOW = 1_764_000_000_500


def location(**fields: Any) -> bytes:
    return json.dumps({"_type": "location", "lat": 52.52, "lon": 13.405, "tst": 1_764_000_000} | fields).encode()


def test_a_location_is_a_reading() -> None:
    payload = location(alt=34, vel=54, cog=270, acc=12, batt=81, tid="vf", _id="9", conn="m", inregions=["home"])
    assert decode_owntracks(payload, NOW) == [
        Reading(
            1_764_000_000_000,
            {
                "CurrentLocation.Latitude": 52.52,
                "CurrentLocation.Longitude": 13.405,
                "CurrentLocation.Altitude": 34,
                "Speed": 54,
                "CurrentLocation.Heading": 270,
                "acc": 12,
                "batt": 81,
                "tid": "vf",
                "conn": "m",
            },
            received=NOW,
        )
    ]


def test_the_arrival_stands_in_for_its_time() -> None:
    (reading,) = decode_owntracks(b'{"_type":"location","lat":1,"lon":2}', NOW)
    assert (reading.ts, reading.clock) == (NOW, "arrival")


def test_a_fraction_of_a_second_counts() -> None:
    (reading,) = decode_owntracks(location(tst=1_764_000_000.123), NOW)
    assert reading.ts == 1_764_000_000_123


@pytest.mark.parametrize(
    "kind", ["transition", "waypoint", "waypoints", "lwt", "card", "steps", "cmd", "status", "new"]
)
def test_the_other_messages_are_no_readings(kind: str) -> None:
    assert decode_owntracks(json.dumps({"_type": kind, "tst": "?", "lat": []}).encode(), NOW) == []


@pytest.mark.parametrize(
    ("reason", "payload"),
    [
        ("encrypted", b'{"_type":"encrypted","data":"8xOQ=="}'),
        ("not_json", b"C2,561ebac3,v,50123456,65987654,0,0,11,0,5232"),
        ("not_a_map", b'[{"_type":"location"}]'),
        ("bad_value", b'{"lat":1,"lon":2}'),
        ("bad_value", b'{"_type":"location","lat":1,"tst":1}'),
        ("bad_value", location(lat="52.5")),
        ("bad_value", location(vel=None)),
        ("bad_value", location(cog=True)),
        ("bad_value", location(address={"street": 1})),
        ("bad_ts", location(tst="1764000000")),
        ("bad_ts", location(tst=True)),
        ("bad_ts", location(tst=-1)),
        ("bad_ts", location(tst=10**4299)),
        ("too_big", b" " * 300_000),
    ],
)
def test_what_can_not_be_read_is_refused_with_its_reason(reason: str, payload: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_owntracks(payload, NOW)
    assert caught.value.reason == reason
