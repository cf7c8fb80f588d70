"""The gate: never more inside than there may be, and a place is given back, however somebody leaves."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.requests import HTTPConnection

from stream.gate import Gate, Pass
from stream.grants import Grants, Quota
from stream.limits import Limits
from wire.errors import CommandError, SettingsError


def grants(subject: str | None, **limits: int) -> Grants:
    return Grants(("#",), (), subject=subject, limits=Quota(**limits))


class Entrance:
    """A gate, and what it has refused."""

    def __init__(self, **limits: Any) -> None:
        self._registry = CollectorRegistry()
        self.gate = Gate(Limits(**limits), Counter("refusals", "", ["reason"], registry=self._registry))

    def enter(self, host: str = "192.0.2.1", subject: str | None = None, forwarded: str = "", **limits: int) -> Pass:
        headers = [(b"x-forwarded-for", part.encode()) for part in forwarded.split("|") if part]
        scope = {"type": "websocket", "client": (host, 1), "headers": headers}
        return self.gate.enter(HTTPConnection(scope), grants(subject, **limits))

    def refuses(self, reason: str, limit: str, *args: Any, **kwargs: Any) -> bool:
        before = self._count(limit)
        with pytest.raises(CommandError) as caught:
            self.enter(*args, **kwargs)
        assert self._count(limit) == before + 1
        return caught.value.reason == reason

    def _count(self, limit: str) -> float:
        return self._registry.get_sample_value("refusals_total", {"reason": limit}) or 0


def test_a_node_takes_so_many() -> None:
    entrance = Entrance(connections=2)
    with entrance.enter("192.0.2.1"):
        with entrance.enter("192.0.2.2"):
            assert entrance.refuses("node_full", "connections", "192.0.2.3")
        with entrance.enter("192.0.2.3"):
            assert entrance.refuses("node_full", "connections", "192.0.2.4")


def test_an_address_has_so_many() -> None:
    entrance = Entrance(address_connections=1, trusted_proxies=("10.0.0.0/8",))
    with entrance.enter("192.0.2.1"), entrance.enter("192.0.2.2"):
        assert entrance.refuses("too_many_connections", "address", "192.0.2.1")
        assert entrance.refuses("too_many_connections", "address", "192.0.2.1", forwarded="198.51.100.7")
        assert entrance.refuses("too_many_connections", "address", "10.0.0.1", forwarded="192.0.2.1")
        with entrance.enter("10.0.0.1", forwarded="192.0.2.1|198.51.100.7"):
            assert entrance.refuses("too_many_connections", "address", "10.0.0.2", forwarded="198.51.100.7")
    with entrance.enter("192.0.2.1"):
        pass


def test_a_subject_has_so_many() -> None:
    entrance = Entrance(subject_connections=1)
    with entrance.enter(subject="a") as a, entrance.enter(subject=None), entrance.enter(subject=None) as late:
        assert entrance.refuses("too_many_connections", "subject", subject="a")
        with pytest.raises(CommandError):
            late.change(grants("a"))
        a.change(grants("a"))
        a.change(grants("b"))
        late.change(grants("a"))
        late.change(grants(None))
    with entrance.enter(subject="a"), entrance.enter(subject="b"):
        pass


def test_a_token_may_say_how_many_its_subject_has() -> None:
    entrance = Entrance(subject_connections=1)
    with entrance.enter(subject="a", connections=2), entrance.enter(subject="a", connections=2):
        assert entrance.refuses("too_many_connections", "subject", subject="a", connections=2)
        with entrance.enter(subject="b"):
            assert entrance.refuses("too_many_connections", "subject", subject="b")


def test_no_limit() -> None:
    entrance = Entrance(connections=0, subject_connections=0, address_connections=0)
    for _ in range(5_000):
        entrance.enter(subject="a")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"connections": -1}, "--connections"),
        ({"subject_connections": -1}, "FLEETWIRE_SUBJECT_CONNECTIONS"),
        ({"commands_s": -0.5}, "--commands-s"),
        ({"commands_burst": 0}, "--commands-burst"),
        ({"authorize_s": 0}, "--authorize-s"),
        ({"head_bytes": 10}, "--head-bytes"),
        ({"origins": ("example.com",)}, "--origin"),
        ({"origins": ("https://example.com/",)}, "--origin"),
        ({"trusted_proxies": ("10.0.0.1/8",)}, "--trusted-proxies"),
    ],
)
def test_what_can_not_be_used_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Limits(**changes)
