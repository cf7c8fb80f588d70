"""What travels: readings from devices, messages between clients, and their MessagePack form in Redis.

A body is a MessagePack map that any MessagePack library reads; on a Redis channel an id stands before it:
`<id> <body>`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from wire.data import check_data

__all__ = [
    "UNREADABLE",
    "Body",
    "Clock",
    "Message",
    "Reading",
    "Value",
    "decode_message",
    "decode_reading",
    "encode",
    "split",
]

Clock = Literal["device", "arrival", "clamped"]
Value = bool | int | float | str | None


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one device measured at one moment.

    `ts` is epoch milliseconds by the device's clock; `clock` says when it is the arrival instead: `arrival` when
    the device sent none, `clamped` when its own was too far in the future. `seq` is the device's own counter.
    `historical` marks a late upload of stored readings. `values` are by signal name (VSS path without the leading
    `Vehicle.`). `received` is the arrival at the bridge, epoch milliseconds; it stands last, so that the bodies of
    a reading that comes twice differ in their last bytes only (`store.lua`).
    """

    ts: int
    values: dict[str, Value]
    seq: int | None = None
    historical: bool = False
    clock: Clock = "device"
    received: int | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client said in a room: any data that JSON can carry. `ts`: epoch milliseconds, by the node."""

    ts: int
    data: Any
    sender: str | None = None


Body = Reading | Message

UNREADABLE = (ValueError, RecursionError)  # what decoding raises; of msgspec's errors the base is ValueError

encode = msgspec.msgpack.Encoder().encode
decode_reading = msgspec.msgpack.Decoder(Reading).decode
_decode_message = msgspec.msgpack.Decoder(Message).decode


def decode_message(body: bytes) -> Message:
    """The message in a body. Raises one of UNREADABLE when there is none, or one that JSON can't carry: who sends a
    frame must not have to ask."""
    message = _decode_message(body)
    check_data(message.data, -1)  # what a device sent with a reply lies one level deeper
    return message


def split(payload: bytes) -> tuple[str, bytes]:
    """Id and body of a channel payload, `<id> <body>`. Raises ValueError when there is no id."""
    id, separator, body = payload.partition(b" ")
    if not separator:
        raise ValueError("a channel payload starts with an id and a space")
    return id.decode("ascii"), body
