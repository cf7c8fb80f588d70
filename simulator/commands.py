"""What simulated devices do when they are told to, and what they reply. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from simulator.fleet import Car, Device
from wire.command import Reply

__all__ = ["Driver", "Told"]

_REMEMBERED = 1_000  # replies, so that a command that comes again is carried out once


class Told(NamedTuple):
    """A reply, and where to publish it."""

    topic: str
    payload: bytes


class Driver:
    """Carries out the commands of some devices.

    `{"name": "ping"}` succeeds with the same data; `stop` makes a car stand still, and `go` drive on; everything else
    fails with the reason `unknown_command`. A command that comes again is replied to as before.
    """

    def __init__(self, devices: Iterable[Device]) -> None:
        self._devices = {device.topic.removesuffix("/telemetry"): device for device in devices}
        self._replies: dict[str, Reply] = {}

    def tell(
        self, topic: str, payload: bytes, response_topic: str | None = None, correlation_data: bytes | None = None
    ) -> Told | None:
        """What is to be replied to a message on `topic`. Nothing when it is for none of the devices, or no command.

        `response_topic` and `correlation_data` are properties of the message (MQTT 5).
        """
        vehicle = topic.removesuffix("/commands")
        device = self._devices.get(vehicle)
        try:
            command = msgspec.json.decode(payload, type=_Command)
            correlation = correlation_data.decode() if correlation_data is not None else command.correlation
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if device is None or correlation is None:
            return None
        reply = self._replies.get(correlation)
        if reply is None:
            reply = self._replies[correlation] = _carry_out(device, correlation, command.data)
            if len(self._replies) > _REMEMBERED:
                del self._replies[next(iter(self._replies))]
        return Told(response_topic or f"{vehicle}/replies", msgspec.json.encode(reply))


class _Command(msgspec.Struct):
    data: dict[str, Any]
    correlation: str | None = None


def _carry_out(device: Device, correlation: str, data: dict[str, Any]) -> Reply:
    match data.get("name"), device:
        case "ping", _:
            return Reply(correlation, "SUCCEEDED", data=data)
        case ("stop" | "go") as name, Car():
            device.orders.stand = name == "stop"
            return Reply(correlation, "SUCCEEDED")
    return Reply(correlation, "FAILED", "unknown_command")
