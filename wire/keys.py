"""Every Redis key and channel pattern, in one place. In a Redis Cluster each stands behind the tag of its partition
(`wire.partition`)."""

from __future__ import annotations

__all__ = [
    "CLOCK",
    "COMMANDS",
    "DEAD",
    "FEED",
    "FLEETS",
    "LIVES",
    "PARTITIONS",
    "ROOMS",
    "fleet",
    "log",
    "patterns",
    "probe",
    "session",
    "state",
]

CLOCK = "fw:clock"  # string: the last id given out
FLEETS = "fw:fleets"  # set: the names of all fleets
ROOMS = "fw:rooms"  # set: the names of all rooms
DEAD = "fw:dead"  # stream, capped: dead letters
COMMANDS = "fw:commands"  # stream with a consumer group: commands that wait for an answer, by their id
FEED = "fw:feed"  # channel: before each batch, the last id before it and its own last
LIVES = "fw:lives"  # hash: when Redis began anew, and after which id (`life.lua`)
PARTITIONS = "fw:partitions"  # string: how many there are
NEWEST = "@newest"  # the field of each state hash that holds the greatest ts so far


def fleet(name: str) -> str:
    """Set: the vehicles of a fleet."""
    return f"fw:fleet:{{{name}}}"


def log(topic: str) -> str:
    """Stream, capped: the readings of a topic, or the messages of a room."""
    return f"{_stem(topic)}:log"


def state(topic: str) -> str:
    """Hash: the last known state of a topic. A field for each set of signals that the device sends
    together, with the newest reading of just that set as `<id> <body>`; merged signal by signal,
    the newest `ts` first, they are the state. Fields that begin with `@` are the script's own."""
    return f"{_stem(topic)}:state"


def session(client_id: str) -> str:
    """String: the receipts of a bridge's MQTT session, so that what comes again is known."""
    return f"fw:session:{{{client_id}}}"


def probe(name: str) -> str:
    """Channel: on which a node asks itself whether what is published reaches it."""
    return f"fw:probe:{name}"


def _stem(topic: str) -> str:
    if topic.startswith("rooms/"):
        return f"fw:{{{topic}}}"
    vehicle, _, kind = topic.rpartition("/")
    return f"fw:{{{vehicle}}}:{kind}"


def patterns(filter: str) -> tuple[str, ...]:
    """The channel patterns that together cover a filter: few and disjoint, since Redis pays for each on
    every PUBLISH. One a fleet, or one for all fleets; one for all rooms. Nothing when no topic can match."""
    first, _, rest = filter.partition("/")
    second = rest.partition("/")[0]
    covering = []
    if filter == "#" or (first in ("rooms", "+") and rest):
        covering.append("rooms/*")
    if filter == "#" or (first in ("fleets", "+") and second in ("+", "#")):
        covering.append("fleets/*")
    elif first in ("fleets", "+") and second:
        covering.append(f"fleets/{second}/*")
    return tuple(covering)
