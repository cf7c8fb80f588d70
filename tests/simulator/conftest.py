"""Brokers for the simulator's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import programs
from wire.urls import parse_mqtt


@pytest.fixture
def free_port() -> int:
    """A port on 127.0.0.1 where nothing listens."""
    return programs.free_port()


@pytest.fixture(scope="session", params=["rumqttd", "mosquitto"])
def broker_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The MQTT 3.1.1 port of a running broker: each test that asks for it runs against both kinds."""
    if request.param == "rumqttd":
        with programs.broker() as ports:
            yield ports.port
    else:
        with programs.mosquitto("allow_anonymous true\nmax_queued_messages 0") as server:
            yield parse_mqtt(server.url).port
