"""What one client may do: where it may subscribe and publish, which signals it may see, and until when. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from stream.item import View
from stream.rate import Rate
from wire import signals, topics
from wire.errors import CommandError
from wire.protocol import Format, Subscribe

__all__ = ["EVERYTHING", "NOTHING", "Grants", "Quota"]

BURST_SECONDS = 20.0  # where there is no usual limit
POSITION = ("CurrentLocation.Latitude", "CurrentLocation.Longitude")


class Quota(Struct, frozen=True, forbid_unknown_fields=True):
    """What a token sets in place of the node's settings: `connections` of its subject, and of each of them
    `subscriptions` and `commands` a second."""

    connections: Annotated[int, Meta(ge=1)] | None = None
    subscriptions: Annotated[int, Meta(ge=1)] | None = None
    commands: Annotated[float, Meta(ge=0.01)] | None = None


NO_QUOTA = Quota()


@dataclass(frozen=True)
class Grants:
    """Filters to subscribe to and to publish to; patterns of signals that may be seen (None: all); until `expires`
    (epoch seconds)."""

    subscribe: tuple[str, ...]
    publish: tuple[str, ...]
    signals: tuple[str, ...] | None = None
    subject: str | None = None
    expires: float | None = None
    limits: Quota = NO_QUOTA

    def check_any(self) -> None:
        """Raises CommandError: `invalid_token` after its time, `unauthorized` when nothing is granted at all."""
        if self.expires is not None and self.expires <= time.time():
            raise CommandError("invalid_token", "the token has expired: send authorize with a new one")
        if not self.subscribe and not self.publish:
            raise CommandError("unauthorized", "send authorize with a token first")

    def check(self, verb: str, filter: str) -> None:
        """Raises CommandError as `check_any` does, and `forbidden_topic` when no grant covers the whole filter."""
        self.check_any()
        granted = self.subscribe if verb == "subscribe" else self.publish
        if not any(topics.covers(grant, filter) for grant in granted):
            raise CommandError("forbidden_topic", f"no grant to {verb} covers {filter!r}")

    def view(self, format: Format, asked: tuple[str, ...] | None = None, meta: bool = False) -> View:
        """How items are shown that are asked for with these patterns of signals (None: with all that may be seen).

        Raises CommandError, reason `forbidden_signal`, when no grant covers one of them."""
        for pattern in asked or ():
            self._check_signal(pattern)
        return View(format, asked if asked is not None else self.signals, meta)

    def commands(self, usual: Rate) -> Rate:
        """How fast commands may come, where a client may usually send so many; more at once in the same measure."""
        most = self.limits.commands
        if most is None:
            return usual
        burst_seconds = usual.burst / usual.per_second or BURST_SECONDS
        return Rate(most, max(1.0, most * burst_seconds))

    def check_shape(self, command: Subscribe) -> None:
        """Which readings are told depends on the signals of filters and places, so those must be granted too.

        Raises CommandError, reason `forbidden_signal`."""
        for pattern in command.filter or ():
            self._check_signal(pattern)
        if command.bbox is not None or command.geofence is not None:
            for name in POSITION:
                self._check_signal(name)

    def _check_signal(self, pattern: str) -> None:
        if self.signals is not None and not any(signals.covers(grant, pattern) for grant in self.signals):
            raise CommandError("forbidden_signal", f"no grant covers the signal {pattern!r}")


NOTHING = Grants((), ())
EVERYTHING = Grants(("#",), ("#",))
