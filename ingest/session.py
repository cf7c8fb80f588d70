"""One MQTT 5 session as a receiver, without I/O: bytes in, messages out; acknowledgements in, bytes out.

Only what a receiver of QoS 0 and 1 needs; packets are read and written by the codec `mqtt5`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import mqtt5

from wire.errors import Unavailable

__all__ = ["MAX_PACKET_BYTES", "Session"]

MAX_PACKET_BYTES = 2 * 1024 * 1024  # beyond what the bridge reads, so that what is too big becomes a dead letter
_SUBSCRIBE_ID = 1
SEND_NEVER = mqtt5.RetainHandling.SEND_NEVER
_PUBACK = 0x4002_0000  # type, remaining length, and the packet identifier in the lower half (MQTT 5, section 3.4)


class Session:
    """Connects, subscribes, takes messages, acknowledges. Feed it what the broker sends; write what `outgoing` gives.

    `window`: how many QoS 1 messages the broker may have under way unacknowledged (receive maximum).
    """

    def __init__(
        self,
        client_id: str,
        filters: Sequence[str],
        *,
        window: int,
        expiry_s: int,
        keepalive_s: int,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self.subscribed = False
        self.resumed = False  # whether the broker still had the session
        self.keepalive_s = keepalive_s
        self._filters = filters
        self._messages: list[mqtt5.PublishPacket] = []
        self._pinged = False
        self._out = [
            mqtt5.ConnectPacket(
                client_id,
                username=username,
                password=None if password is None else password.encode(),
                clean_start=False,
                keep_alive=keepalive_s,
                session_expiry_interval=expiry_s,
                receive_max=window,
                max_packet_size=MAX_PACKET_BYTES,
            ).write()
        ]

    def outgoing(self) -> bytes:
        """What is to be written now."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def take(self) -> list[mqtt5.PublishPacket]:
        """The messages that have come since it was last asked, in order."""
        messages, self._messages = self._messages, []
        return messages

    def feed(self, data: memoryview) -> int:
        """Take the whole packets at the start of the data: how many bytes they are. What is left comes again, with
        more behind it. Raises Unavailable when the broker refuses, says goodbye, or what it sends is no MQTT 5."""
        self._pinged = False  # whatever comes is a sign of life: the answer may be far behind in the broker's queue
        read, messages, publish = mqtt5.read, self._messages, mqtt5.PublishPacket
        done = 0
        try:
            while True:
                packet, size = read(data[done:])
                done += size
                if type(packet) is publish:
                    messages.append(packet)
                else:
                    self._control(packet)
        except IndexError:  # the codec's way to say that the packet is not all here
            if len(data) - done > MAX_PACKET_BYTES:
                raise Unavailable(f"the broker sends a packet of more than {MAX_PACKET_BYTES} bytes") from None
            return done
        except ValueError as error:
            raise Unavailable(f"the broker sends no MQTT 5: {error}") from None
        except BaseException as error:
            if type(error).__module__ != "pyo3_runtime":
                raise
            # The codec panics, which is no Exception, where text is not UTF-8.
            raise Unavailable("the broker sends no MQTT 5: text that is not UTF-8") from None

    def acknowledge(self, ids: Iterable[int]) -> None:
        """Tell the broker that the messages with these packet identifiers are stored for good."""
        # One pack for all: 0.05 us for each, against 0.21 us through the codec.
        packets = [_PUBACK | id for id in ids]
        self._out.append(struct.pack(f">{len(packets)}I", *packets))

    def ping(self) -> None:
        """Keep the session alive: once in half of `keepalive_s`. Raises Unavailable when nothing has come since the
        ping before."""
        if self._pinged:
            raise Unavailable(f"the broker has been silent for {self.keepalive_s / 2:g} s")
        self._pinged = True
        self._out.append(mqtt5.PingReqPacket().write())

    def disconnect(self) -> None:
        """Say goodbye; the broker keeps the session."""
        self._out.append(mqtt5.DisconnectPacket().write())

    def _control(self, packet: Any) -> None:
        match packet:
            case mqtt5.PingRespPacket():
                pass
            case mqtt5.ConnAckPacket():
                if int(packet.reason_code) >= 128:
                    raise Unavailable(f"the broker refuses: {_words(packet.reason_code)}")
                self.resumed = packet.session_present
                self.keepalive_s = packet.server_keep_alive or self.keepalive_s
                self._out.append(mqtt5.SubscribePacket(_SUBSCRIBE_ID, [_wanted(f) for f in self._filters]).write())
            case mqtt5.SubAckPacket():
                for wanted, code in zip(self._filters, packet.reason_codes, strict=True):
                    if int(code) >= 128:
                        raise Unavailable(f"the broker refuses the subscription {wanted}: {_words(code)}")
                self.subscribed = True
            case mqtt5.DisconnectPacket():
                raise Unavailable(f"the broker says goodbye: {_words(packet.reason_code)}")
            case _:
                raise Unavailable(f"the broker sends {type(packet).__name__}, which nobody has asked for")


def _wanted(filter: str) -> mqtt5.TopicFilter:
    # What was retained before is asked for elsewhere (`presence.py`); what will be from now on comes as any other.
    return mqtt5.TopicFilter(
        filter, max_qos=mqtt5.QoS.AT_LEAST_ONCE, retain_as_published=False, retain_handling=SEND_NEVER
    )


def _words(code: Any) -> str:
    return str(code.name).lower().replace("_", " ")
