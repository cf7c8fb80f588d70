"""Who is let in: a list of devices in a file, which may change while the bridge runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from wire.errors import SettingsError, TopicError
from wire.topics import Vehicle, parse

__all__ = ["Devices", "Roster", "read_roster"]

log = logging.getLogger("fleetwire.ingest.devices")

LOOK_SECONDS = 2.0


class Roster(NamedTuple):
    """`vehicles`: FLEET/VEHICLE. `fleets`: those that are let in as a whole."""

    vehicles: frozenset[str]
    fleets: frozenset[str]

    def has(self, fleet: str, vehicle: str) -> bool:
        """Whether it is in the list."""
        return fleet in self.fleets or f"{fleet}/{vehicle}" in self.vehicles


def read_roster(path: Path) -> Roster:
    """The list in a file: FLEET/VEHICLE, or FLEET/+ for a whole fleet, one a line; what follows a `#` is a comment.

    Raises SettingsError, which names the file, and the line.
    """
    vehicles, fleets = set(), set()
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: no UTF-8: {error}") from None
    for number, line in enumerate(lines, 1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        fleet, _, vehicle = name.partition("/")
        try:
            parse(f"fleets/{fleet}/{'-' if vehicle == '+' else vehicle}/status")
        except TopicError:
            raise SettingsError(f"{path}, line {number}: {name[:140]!r} is not FLEET/VEHICLE or FLEET/+") from None
        if vehicle == "+":
            fleets.add(fleet)
        else:
            vehicles.add(name)
    return Roster(frozenset(vehicles), frozenset(fleets))


class Devices:
    """The list as it is now. Without a file everybody is let in.

    Raises SettingsError, which names the setting, when the file can't be used.
    """

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._read: object = None  # what the file was when it was read
        self._roster: Roster | None = None
        if self._path is not None:
            self._read = _stamp(self._path)
            try:
                self._roster = read_roster(self._path)
            except SettingsError as error:
                raise SettingsError.about("devices", f"can't be used: {error}") from None

    def let_in(self, topic: str) -> bool:
        """Whether a topic is of somebody who is in the list. Raises TopicError when it is not one of a device."""
        parsed = parse(topic)
        if not isinstance(parsed, Vehicle):
            raise TopicError(f"not a device's topic: {topic[:128]!r}")
        return self._roster is None or self._roster.has(parsed.fleet, parsed.vehicle)

    async def watch(self, changed: Callable[[], None]) -> None:
        """Read the file again whenever it has changed, until cancelled. A file that can't be used changes nothing.

        It is read once it has stayed as it is from one look to the next: whoever writes it may be in the midst of it.
        """
        before = self._read
        while self._path is not None:
            await asyncio.sleep(LOOK_SECONDS)
            now = await asyncio.to_thread(_stamp, self._path)
            if now == before != self._read:
                self._read = now
                try:
                    self._roster = await asyncio.to_thread(read_roster, self._path)
                except SettingsError as error:
                    log.error("the list of devices stays as it was: %s", error)
                else:
                    found = self._roster
                    log.info("%d devices and %d whole fleets are let in", len(found.vehicles), len(found.fleets))
                    changed()
            before = now


def _stamp(path: Path) -> object:
    """What tells a file from what it was before; None while it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
