"""Grants: which filters and signals they let through."""

from __future__ import annotations

import time

import msgspec
import pytest

from stream.grants import EVERYTHING, NOTHING, Grants, Quota
from stream.rate import Rate, rate
from wire.errors import CommandError
from wire.protocol import Subscribe
from wire.reading import Reading

SPEED = Grants(("fleets/#",), (), signals=("Speed", "CurrentLocation.*"))
READING = Reading(1, {"Speed": 1, "Cabin.Door": True, "CurrentLocation.Latitude": 52.0})


def refused(grants: Grants, verb: str, filter: str) -> str | None:
    try:
        grants.check(verb, filter)
    except CommandError as error:
        return error.reason
    return None


def asked(**fields: object) -> Subscribe:
    return msgspec.convert({"action": "subscribe", "requestId": "1", "topic": "fleets/#", **fields}, Subscribe)


@pytest.mark.parametrize(
    ("grant", "filter", "covered"),
    [
        ("fleets/berlin/#", "fleets/berlin/#", True),
        ("fleets/berlin/#", "fleets/berlin/+/telemetry", True),
        ("fleets/berlin/#", "fleets/+/#", False),
        ("fleets/berlin/#", "fleets/#", False),
        ("fleets/berlin/#", "+/berlin/#", False),
        ("fleets/berlin/#", "fleets/berlin2/#", False),
        ("fleets/berlin/+/telemetry", "fleets/berlin/#", False),
        ("fleets/berlin/+/telemetry", "fleets/berlin/+/+", False),
        ("fleets/berlin/+/telemetry", "fleets/berlin/v1/telemetry", True),
        ("fleets/berlin/+", "fleets/berlin/v1/telemetry", False),
        ("fleets/+/v1/#", "fleets/+/v1/status", True),
        ("fleets/+/v1/#", "fleets/#", False),
        ("+/#", "#", True),
        ("fleets/#", "#", False),
        ("rooms/+", "rooms/#", False),  # which matches `rooms`, too
    ],
)
def test_a_filter_is_covered_or_refused(grant: str, filter: str, covered: bool) -> None:
    assert refused(Grants((grant,), ()), "subscribe", filter) == (None if covered else "forbidden_topic")
    assert refused(Grants((), (grant,)), "publish", filter) == (None if covered else "forbidden_topic")
    assert refused(Grants((), (grant,)), "subscribe", filter) == "forbidden_topic"


def test_without_grants_a_token_is_asked_for() -> None:
    assert refused(NOTHING, "subscribe", "fleets/a") == "unauthorized"
    assert refused(EVERYTHING, "publish", "rooms/a") is None
    assert refused(Grants(("#",), ("#",), expires=time.time() - 1), "subscribe", "fleets/a") == "invalid_token"


def test_what_is_not_granted_is_not_shown() -> None:
    shown = SPEED.view("json").values(READING)
    assert shown == {"Speed": 1, "CurrentLocation.Latitude": 52.0}
    assert SPEED.view("json", ("Speed",)).values(READING) == {"Speed": 1}
    assert Grants(("#",), (), signals=()).view("json").values(READING) == {}
    assert not Grants(("#",), (), signals=()).view("json").shows(READING)
    assert EVERYTHING.view("json").values(READING) == READING.values


@pytest.mark.parametrize("pattern", ["Cabin.Door", "*", "*.*", "Cabin.*", "S*", "CurrentLocation"])
def test_a_signal_that_is_not_granted_can_t_be_asked_for(pattern: str) -> None:
    with pytest.raises(CommandError) as caught:
        SPEED.view("json", ("Speed", pattern))
    assert caught.value.reason == "forbidden_signal"
    assert "Latitude" not in str(caught.value)  # nor does the text say what there is


def test_nor_may_it_decide_what_is_told() -> None:
    box = [13, 52, 14, 53]
    fence = {"polygon": [[13, 52], [14, 52], [14, 53]]}
    hidden = {"Cabin.Door": {"variant": "change", "parameter": {"logic-op": "ne", "diff": "0"}}}
    SPEED.check_shape(asked(bbox=box))
    SPEED.check_shape(asked(filter={"Speed": hidden["Cabin.Door"]}))
    blind = Grants(("fleets/#",), (), signals=("Speed", "CurrentLocation.Latitude"))
    for grants, fields in ((SPEED, {"filter": hidden}), (blind, {"bbox": box}), (blind, {"geofence": fence})):
        with pytest.raises(CommandError) as caught:
            grants.check_shape(asked(**fields))
        assert caught.value.reason == "forbidden_signal"
        EVERYTHING.check_shape(asked(**fields))


def test_a_token_may_say_how_fast_commands_come() -> None:
    usual = Rate(50, 1_000)
    assert EVERYTHING.commands(usual) is usual
    few = Grants(("#",), (), limits=Quota(commands=0.5))
    assert few.commands(usual) == Rate(0.5, 10)
    assert few.commands(rate(0, 1_000)) == Rate(0.5, 10)
    assert Grants(("#",), (), limits=Quota(commands=500)).commands(usual) == Rate(500, 10_000)
