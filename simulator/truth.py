"""What was really sent: counted while the fleet drives, written down as a manifest that others check against."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from wire.errors import SettingsError

__all__ = ["Ledger", "Manifest", "TopicCount"]


class TopicCount(msgspec.Struct):
    """One topic: how many readings were sent, and the lowest and the highest `seq` of them (0: none).

    At QoS 1 "sent" is confirmed by the broker. `dropped` were never sent, or never confirmed.
    """

    sent: int = 0
    first: int = 0
    last: int = 0
    dropped: int = 0


class Manifest(msgspec.Struct):
    """What a fleet has sent, by topic; times in epoch milliseconds."""

    fleet: str
    seed: int
    qos: int
    started: int
    ended: int
    topics: dict[str, TopicCount]
    version: Literal[1] = 1

    @property
    def sent(self) -> int:
        """Over all topics."""
        return sum(count.sent for count in self.topics.values())

    @property
    def dropped(self) -> int:
        """Over all topics."""
        return sum(count.dropped for count in self.topics.values())

    def save(self, path: Path) -> None:
        """Write it as JSON, the whole file or none of it. Raises SettingsError when that can't be done."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
            temporary.replace(path)
        except OSError as error:
            raise SettingsError(f"manifest {path}: {error.strerror or error}") from None

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read one back. Raises SettingsError, which names the file, when it is not there or not a manifest."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise SettingsError(f"manifest {path}: {error.strerror or error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"manifest {path}: not a manifest: {error}") from None


class Ledger:
    """Counts readings as they are confirmed or given up."""

    def __init__(self) -> None:
        self.topics: dict[str, TopicCount] = {}
        self.sent = 0
        self.dropped = 0

    def confirm(self, topic: str, seq: int) -> None:
        """A reading that was sent."""
        count = self.topics.setdefault(topic, TopicCount())
        count.first = min(count.first, seq) if count.sent else seq
        count.last = max(count.last, seq)
        count.sent += 1
        self.sent += 1

    def drop(self, topic: str) -> None:
        """A reading that was given up."""
        self.topics.setdefault(topic, TopicCount()).dropped += 1
        self.dropped += 1
