"""Receipts: which deliveries of an MQTT session are stored, so that what the broker repeats is known. Pure.

A message of QoS 1 keeps its packet identifier until it is acknowledged, also over connections (MQTT 5, section 4.4),
and one that comes again is marked as a duplicate. So identifier and checksum tell whether it is the one that was
stored last under that identifier. The receipts lie in Redis, written with what they are for.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from sys import byteorder
from zlib import crc32

from ingest.source import Arrivals, Message

__all__ = ["KEPT_BYTES", "RECEIPT_BYTES", "ReceiptBook", "pack"]

RECEIPT_BYTES = 8
# One for each identifier that there is: mosquitto 2.0.11 was seen to have seven times as many messages under way as
# the receive maximum allows.
KEPT_BYTES = 65_535 * RECEIPT_BYTES


def pack(batch: Sequence[Arrivals], number: int) -> bytes:
    """The receipts of what is stored together: 8 bytes, little-endian, for each message of QoS 1, and the batch's
    number, 48 bits, under the identifier 0, which no message has."""
    receipts = array("Q", [number << 16])
    receipts.extend([crc32(m.payload) << 16 | m.packet_id for _, messages in batch for m in messages if m.packet_id])
    if byteorder == "big":
        receipts.byteswap()
    return receipts.tobytes()


class ReceiptBook:
    """The last receipt for each packet identifier."""

    def __init__(self) -> None:
        self._checksums: dict[int, int] = {}

    def add(self, packed: bytes) -> None:
        """Note what was stored, oldest first."""
        receipts = array("Q")
        receipts.frombytes(packed[: len(packed) // RECEIPT_BYTES * RECEIPT_BYTES])
        if byteorder == "big":
            receipts.byteswap()
        self._checksums.update([(receipt & 0xFFFF, receipt >> 16) for receipt in receipts])

    def clear(self) -> None:
        """Forget all: the session is a new one."""
        self._checksums.clear()

    def holds(self, message: Message) -> bool:
        """Whether a message is stored already."""
        return (
            message.duplicate
            and message.packet_id is not None
            and self._checksums.get(message.packet_id) == crc32(message.payload)
        )
