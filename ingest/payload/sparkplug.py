"""Sparkplug B 3.0: a host application's side of its sessions.

A group is a fleet, an edge node a vehicle of it, and a device of an edge node the vehicle `{edge node}:{device}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from msgspec import UNSET

from ingest.payload.checks import grouped, reading
from ingest.payload.sparkplug_codec import Codec, Metric, Payload, scalar
from wire import topics
from wire.errors import PayloadError, TopicError
from wire.reading import Reading, Value

__all__ = ["NAMESPACE", "Sparkplug"]

NAMESPACE = "spBv1.0"
REBIRTH_INTERVAL_MS = 10_000
MAX_NODES = 10_000
MAX_METRICS = 1_000_000
MAX_METRICS_OF_NODE = 50_000

Found = list[tuple[str, Reading]]


class _Known(NamedTuple):
    """What a birth says of a metric."""

    name: str
    datatype: int


class _Node:
    """The session of an edge node: the births of itself (under None) and of its devices, each the metrics by
    name and by alias."""

    def __init__(self) -> None:
        self.births: dict[str | None, dict[str | int, _Known]] = {}
        self.bd_seq: int | None = None
        self.seq: int | None = None
        self.asked_ms: int | None = None

    @property
    def metrics(self) -> int:
        return sum(map(len, self.births.values()))


class _Source(NamedTuple):
    """Who sends: an edge node, or one of its devices."""

    group: str
    edge: str
    device: str | None

    def topic(self, kind: str) -> str:
        vehicle = self.edge if self.device is None else f"{self.edge}:{self.device}"
        return f"fleets/{self.group}/{vehicle}/{kind}"


class Sparkplug:
    """The sessions of all edge nodes, at most MAX_NODES and MAX_METRICS of them: the one that was silent
    longest is forgotten first, and asked for its births when it speaks again.

    `send` publishes a payload to an MQTT topic; it is asked for rebirths: when there is data before its birth,
    an unknown alias, or a gap in the sequence numbers. `count` counts sparkplug_gap, sparkplug_rebirth,
    sparkplug_unknown_alias (a metric) and sparkplug_ignored_metric (of a type that a reading can't carry).
    All messages of an edge node must come to the same one, in order.
    """

    def __init__(self, send: Callable[[str, bytes], None], count: Callable[[str], None]) -> None:
        self._send = send
        self._count = count
        self._codec = Codec()
        self._nodes: dict[tuple[str, str], _Node] = {}  # longest silent first
        self._metrics = 0

    def topic(self, name: str) -> str | None:
        """Our topic of the measurements that come under an MQTT topic; None where none do. Raises TopicError."""
        source, _ = _parsed(name)
        return None if source is None else source.topic("telemetry")

    def decoder(self, name: str) -> Callable[[bytes, int], Found]:
        """What reads the messages of a topic: `(payload, received) -> [(our topic, reading), …]`.

        A birth gives `connectionState` ONLINE on the status topic, by the bridge's clock, and a reading of
        its metrics; a death gives OFFLINE; data gives readings, one for each time stamp, historical ones
        apart. Commands and the states of host applications give nothing.

        Raises TopicError for a topic that is not of Sparkplug, or whose names can't be part of ours. The
        decoder raises PayloadError: too_big, not_protobuf, not_utf8, compressed, bad_ts, too_many_signals.
        """
        source, verb = _parsed(name)
        if source is None:
            return _nothing
        return partial({"BIRTH": self._birth, "DATA": self._data, "DEATH": self._death}[verb[1:]], source)

    def _birth(self, source: _Source, payload: bytes, received: int) -> Found:
        message, node = self._codec.decode(payload), self._node(source)
        if source.device is None:
            self._forget(node)
            node.bd_seq, node.seq = message.bd_seq, message.seq
        else:
            self._follow(source, node, message, received)
        known = {
            key: _Known(metric.name, metric.datatype)
            for metric in message.metrics
            for key in (metric.name, metric.alias)
            if metric.name and key is not None
        }
        self._remember(node, source.device, known)
        readings = self._readings(source, message, known, received)
        return [_status(source, "ONLINE", received), *readings]

    def _data(self, source: _Source, payload: bytes, received: int) -> Found:
        message, node = self._codec.decode(payload), self._node(source)
        self._follow(source, node, message, received)
        known = node.births.get(source.device)
        if known is None or any(not metric.name and metric.alias not in known for metric in message.metrics):
            self._ask(source, node, received)
        return self._readings(source, message, known or {}, received)

    def _death(self, source: _Source, payload: bytes, received: int) -> Found:
        message, node = self._codec.decode(payload), self._node(source)
        gone = [source]
        if source.device is not None:
            self._follow(source, node, message, received)
            self._metrics -= len(node.births.pop(source.device, ()))
        else:
            if None not in (node.bd_seq, message.bd_seq) and node.bd_seq != message.bd_seq:
                return []  # the will of an earlier connection
            gone += [source._replace(device=device) for device in node.births if device is not None]
            self._forget(node)
            node.bd_seq = node.seq = None
        return [_status(one, "OFFLINE", received) for one in gone]

    def _node(self, source: _Source) -> _Node:
        key = source.group, source.edge
        node = self._nodes[key] = self._nodes.pop(key) if key in self._nodes else _Node()
        self._make_room()
        return node

    def _make_room(self) -> None:
        while len(self._nodes) > MAX_NODES or self._metrics > MAX_METRICS:
            self._metrics -= self._nodes.pop(next(iter(self._nodes))).metrics

    def _remember(self, node: _Node, device: str | None, known: dict[str | int, _Known]) -> None:
        self._metrics -= len(node.births.pop(device, ()))
        if node.metrics + len(known) > MAX_METRICS_OF_NODE:
            raise PayloadError(
                "too_many_signals", f"an edge node of more than {MAX_METRICS_OF_NODE} names and aliases"
            )
        node.births[device] = known
        self._metrics += len(known)
        self._make_room()

    def _forget(self, node: _Node) -> None:
        self._metrics -= node.metrics
        node.births.clear()

    def _follow(self, source: _Source, node: _Node, message: Payload, received: int) -> None:
        if None not in node.births:
            self._ask(source, node, received)
        elif node.seq is not None and message.seq not in (None, (node.seq + 1) % 256):
            self._count("sparkplug_gap")
            self._ask(source, node, received)
        node.seq = message.seq

    def _ask(self, source: _Source, node: _Node, received: int) -> None:
        if node.asked_ms is None or not 0 <= received - node.asked_ms < REBIRTH_INTERVAL_MS:
            node.asked_ms = received
            self._count("sparkplug_rebirth")
            self._send(f"{NAMESPACE}/{source.group}/NCMD/{source.edge}", self._codec.rebirth(received))

    def _readings(self, source: _Source, message: Payload, known: dict[str | int, _Known], received: int) -> Found:
        topic = source.topic("telemetry")
        return [
            (topic, reading(values, ts, None, historical, received))
            for (ts, historical), values in grouped(self._measured(message, known))
        ]

    def _measured(
        self, message: Payload, known: dict[str | int, _Known]
    ) -> Iterator[tuple[tuple[int | None, bool], str, Value]]:
        for metric in message.metrics:
            name, datatype = _identity(metric, known)
            if not name:
                self._count("sparkplug_unknown_alias")
            elif name == "bdSeq" or name.startswith(("Node Control/", "Device Control/")):
                continue  # the protocol's own, and no measurements
            elif (value := scalar(metric, datatype)) is UNSET:
                self._count("sparkplug_ignored_metric")
            else:
                yield (message.ts if metric.ts is None else metric.ts, metric.historical), name, value


def _identity(metric: Metric, known: dict[str | int, _Known]) -> _Known:
    birth = known.get(metric.name or (-1 if metric.alias is None else metric.alias), _Known("", 0))
    return _Known(metric.name or birth.name, metric.datatype or birth.datatype)


def _parsed(name: str) -> tuple[_Source | None, str]:
    """Who sends under an MQTT topic, None where it is no edge node, and the kind of message. Raises TopicError."""
    match name.split("/"):
        case [_, _, "NCMD", _] | [_, _, "DCMD", _, _] | [_, "STATE", _] | [_, _, "STATE", _]:
            return None, ""
        case [_, group, "NBIRTH" | "NDATA" | "NDEATH" as verb, edge]:
            source = _Source(group, edge, None)
        case [_, group, "DBIRTH" | "DDATA" | "DDEATH" as verb, edge, device]:
            source = _Source(group, edge, device)
            topics.parse(_Source(group, edge, None).topic("status"))
        case _:
            raise TopicError(f"not a topic of Sparkplug: {name[:128]!r}")
    topics.parse(source.topic("status"))
    return source, verb


def _status(source: _Source, state: str, received: int) -> tuple[str, Reading]:
    # By the arrival's clock: a will was written, and stamped, when its edge node connected.
    return source.topic("status"), Reading(received, {"connectionState": state}, received=received, clock="arrival")


def _nothing(payload: bytes, received: int) -> Found:
    return []
