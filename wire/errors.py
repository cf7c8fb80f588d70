"""Everything that Fleetwire raises on purpose.

FleetwireError
├── TopicError          a topic or filter outside the grammar
├── PayloadError        a device's payload that can't be read; it becomes a dead letter
├── SettingsError       a setting that can't be used; the text names it
├── Unavailable         the broker, Redis or a node can't be reached
└── CommandError        a client's command that can't be carried out; it becomes an error reply
"""

from __future__ import annotations

__all__ = ["CommandError", "FleetwireError", "PayloadError", "SettingsError", "TopicError", "Unavailable"]


class FleetwireError(Exception):
    """Base of all of them; `str()` is one line for people."""


class TopicError(FleetwireError):
    """A topic or filter that the grammar does not know (see `wire.topics`)."""


class PayloadError(FleetwireError):
    """A payload that can't be read.

    `reason` is one of a few fixed words, fit for a metric's label; `str()` says more.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


class SettingsError(FleetwireError):
    """A setting that can't be used. The text starts with the setting's name."""

    @classmethod
    def about(cls, name: str, problem: str) -> SettingsError:
        """For a setting that is a flag and a variable: `port` is `--port` and `FLEETWIRE_PORT`."""
        return cls(f"--{name} (FLEETWIRE_{name.upper().replace('-', '_')}) {problem}")


class Unavailable(FleetwireError):
    """Something that must be running isn't reachable: the text says what, and where."""


class CommandError(FleetwireError):
    """A client's command that can't be carried out: a VISS error with number, reason and description.

    `reason` is a key of `wire.protocol.ERRORS`, which has the number.
    """

    def __init__(self, reason: str, description: str) -> None:
        super().__init__(description)
        self.reason = reason
        self.description = description
