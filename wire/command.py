"""Commands to devices, and what is replied to them.

A command's id, which Redis gives it, is its correlation: what a reply names. Both are bodies of messages
(`wire.reading.decode_message` reads them), with fields of their own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from wire.reading import Message

__all__ = ["DEFAULT_TTL", "MAX_TTL", "Command", "Reply", "Status", "decode_command", "reply_of"]

DEFAULT_TTL = 60_000  # ms
MAX_TTL = 86_400_000  # ms

Correlation = Annotated[str, Meta(min_length=1, max_length=128)]
Status = Literal["SUCCEEDED", "FAILED", "IN_PROGRESS", "TIMED_OUT"]


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device is to do: a map that it understands. `ts`: epoch ms, by the node. `ttl`: for how long after it
    the command may be carried out, ms."""

    ts: int
    data: dict[str, Any]
    ttl: int
    sender: str | None = None

    @property
    def expires(self) -> int:
        """When it is too late, epoch ms."""
        return self.ts + self.ttl


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a command; the data of a message on `replies`. `reason`: why, where that is not plain; a few
    fixed words if it is ours, anything if it is the device's."""

    correlation: Correlation
    status: Status
    reason: str | None = None
    data: Any = None

    @property
    def final(self) -> bool:
        """Whether no other one is to be expected."""
        return self.status != "IN_PROGRESS"

    def message(self, ts: int) -> Message:
        """As a message of the time `ts`, epoch ms."""
        return Message(ts, msgspec.to_builtins(self))


decode_command = msgspec.msgpack.Decoder(Command).decode


def reply_of(message: Message) -> Reply:
    """The reply in a message on `replies`. Raises msgspec.ValidationError when it is none."""
    return msgspec.convert(message.data, Reply)
