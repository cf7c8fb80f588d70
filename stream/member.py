"""A client's place in a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.outbox import Frame, Outbox
from wire.cursor import Cursor

if TYPE_CHECKING:
    from stream.group import Group

__all__ = ["Member"]


class Member:
    """One client's place in a group.

    `cursor`: everything up to there has been offered to it. It counts only while the member is apart from the group:
    `fresh`, since it joined in the middle of an interval, or behind, since its outbox was full. `skipped` are the
    readings that it was not given while behind; `told`: up to where it knows what is gone.
    """

    __slots__ = ("cursor", "group", "missed_message", "outbox", "skipped", "told")

    def __init__(self, group: Group, outbox: Outbox, cursor: Cursor) -> None:
        self.group = group
        self.outbox = outbox
        self.cursor = cursor
        self.skipped = 0
        self.missed_message = False
        self.told = Cursor.start(len(cursor))

    def take(self, frames: list[Frame]) -> bool:
        """Offer all frames of a flush: all are taken, or none, since how many there are is not the client's fault."""
        if frames and not self.outbox.offer(frames[0]):
            return False
        for frame in frames[1:]:
            self.outbox.put(frame)
        return True
