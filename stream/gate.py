"""Who may come in: connections are counted by node, subject and address, before anything is made for them."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter
from starlette.requests import HTTPConnection

from stream.grants import Grants
from stream.limits import Limits
from stream.peer import networks, place
from wire.errors import CommandError

__all__ = ["Gate", "Pass"]


class Gate:
    """Lets clients in, as long as there are not too many. `refusals`: a counter of those who are not, by reason."""

    def __init__(self, limits: Limits, refusals: Counter) -> None:
        self._limits = limits
        self._refusals = refusals
        self._trusted = networks(limits.trusted_proxies)
        self._inside = 0
        self._subjects = _Crowd(limits.subject_connections)
        self._addresses = _Crowd(limits.address_connections)

    def enter(self, connection: HTTPConnection, grants: Grants) -> Pass:
        """For a client with these grants. Raises CommandError, reasons `node_full` and `too_many_connections`."""
        client = connection.client
        forwarded = ",".join(connection.headers.getlist("x-forwarded-for")) if self._trusted else ""
        address = place(client.host, forwarded, self._trusted) if client is not None else ""
        if 0 < self._limits.connections <= self._inside:
            raise self._refused("node_full", "connections", "this node is full: try another, or later")
        if not self._addresses.has_room(address):
            raise self._refused("too_many_connections", "address", self._addresses.text("your address"))
        self._admit(grants)
        self._inside += 1
        self._addresses.add(address)
        return Pass(self, address, grants.subject)

    def change(self, before: str | None, grants: Grants) -> None:
        """Somebody has shown another token. Raises CommandError, reason `too_many_connections`."""
        if grants.subject != before:
            self._admit(grants)
            if before is not None:
                self._subjects.remove(before)

    def _admit(self, grants: Grants) -> None:
        """Count a client's subject, if it has one."""
        if grants.subject is not None:
            most = grants.limits.connections
            if not self._subjects.has_room(grants.subject, most):
                text = self._subjects.text("the token's subject", most)
                raise self._refused("too_many_connections", "subject", text)
            self._subjects.add(grants.subject)

    def leave(self, address: str, subject: str | None) -> None:
        """Somebody has gone."""
        self._inside -= 1
        self._addresses.remove(address)
        if subject is not None:
            self._subjects.remove(subject)

    def _refused(self, reason: str, limit: str, text: str) -> CommandError:
        self._refusals.labels(limit).inc()
        return CommandError(reason, text)


class Pass:
    """A client's place in the node: to be left, as a context."""

    __slots__ = ("_address", "_gate", "_subject")

    def __init__(self, gate: Gate, address: str, subject: str | None) -> None:
        self._gate = gate
        self._address = address
        self._subject = subject

    def change(self, grants: Grants) -> None:
        """The client has shown another token. Raises CommandError, reason `too_many_connections`, and then it counts
        as before."""
        self._gate.change(self._subject, grants)
        self._subject = grants.subject

    def __enter__(self) -> Pass:
        return self

    def __exit__(self, *_: Any) -> None:
        self._gate.leave(self._address, self._subject)


class _Crowd:
    """How many connections each has, of those who have any."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[str, int] = {}

    def has_room(self, name: str, most: int | None = None) -> bool:
        """`most`: what counts for this one in place of the setting."""
        most = self._most if most is None else most
        return not most or self._found.get(name, 0) < most

    def text(self, whose: str, most: int | None = None) -> str:
        return f"{whose} has {most or self._most} connections here already: close one, or try later"

    def add(self, name: str) -> None:
        self._found[name] = self._found.get(name, 0) + 1

    def remove(self, name: str) -> None:
        if left := self._found[name] - 1:
            self._found[name] = left
        else:
            del self._found[name]
