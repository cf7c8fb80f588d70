"""The source: one session with a broker, batches out of it, acknowledgements back into it.

A message of QoS 1 is acknowledged only when `ack` is called, which is after the store has it. The broker sends
at most `inbox` unacknowledged ones ahead (receive maximum), so a store that is away stops the flow at the
broker and loses nothing. What is QoS 0 and finds the inbox full is dropped and counted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

__all__ = ["KEEPALIVE_SECONDS", "SESSION_EXPIRY_SECONDS", "Arrivals", "Message", "Received", "Source"]

SESSION_EXPIRY_SECONDS = 7 * 24 * 3600
KEEPALIVE_SECONDS = 20


class Message(Protocol):
    """What was published; the names are those of the codec's PUBLISH packet."""

    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def retain(self) -> bool: ...
    @property
    def duplicate(self) -> bool:
        """Whether the broker has sent it before."""
        ...

    @property
    def packet_id(self) -> int | None:
        """What names it in this session until it is acknowledged; None at QoS 0, and only there."""
        ...

    @property
    def content_type(self) -> str | None: ...
    @property
    def correlation_data(self) -> bytes | None: ...


class Received(NamedTuple):
    """A message that came by another way than the codec."""

    topic: str
    payload: bytes
    retain: bool = False
    duplicate: bool = False
    packet_id: int | None = None
    content_type: str | None = None
    correlation_data: bytes | None = None


class Arrivals(NamedTuple):
    """Messages that came at the same time, epoch ms, in order."""

    received: int
    messages: Sequence[Message]


class Source(Protocol):
    """One connected session."""

    @property
    def resumed(self) -> bool:
        """Whether the broker still had the session of the time before."""
        ...

    @property
    def waiting(self) -> int:
        """How many messages wait to be taken."""
        ...

    def batches(self) -> AsyncIterator[Sequence[Arrivals]]:
        """Batches in order of arrival, by count and by time. Raises Unavailable when the broker has gone away and
        everything that had come from it was given; what is not acknowledged comes again in the next session."""
        ...

    def ack(self, batch: Sequence[Arrivals]) -> None:
        """Tell the broker that these are stored for good."""
        ...
