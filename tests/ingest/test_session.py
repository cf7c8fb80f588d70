"""The session without I/O: bytes of a broker, however they are cut, and what is answered."""

from __future__ import annotations

from contextlib import suppress

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt5 import ConnAckPacket, PublishPacket, QoS, SubAckPacket, SubAckReasonCode

from ingest.session import MAX_PACKET_BYTES, Session
from wire.errors import Unavailable

FILTERS = ["$share/g/fleets/#", "$share/g/other/+"]


def new(**changes: str) -> Session:
    return Session("bridge", FILTERS, window=100, expiry_s=60, keepalive_s=20, **changes)


def packets(data: bytes) -> list[object]:
    """What a broker reads of it."""
    found, view = [], memoryview(data)
    while view:
        packet, size = mqtt5.read(view)
        found.append(packet)
        view = view[size:]
    return found


def feed(session: Session, data: bytes) -> int:
    return session.feed(memoryview(data))


def connected(**changes: str) -> Session:
    session = new(**changes)
    session.outgoing()
    granted = [SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE] * len(FILTERS)
    feed(session, ConnAckPacket(session_present=True).write() + SubAckPacket(1, granted).write())
    session.outgoing()
    return session


def publish(n: int, qos: int) -> bytes:
    return PublishPacket(f"fleets/f/v{n}/telemetry", b"x" * n, qos=QoS(qos), packet_id=n + 1 if qos else None).write()


def test_it_asks_for_a_session_that_outlives_the_connection() -> None:
    [connect] = packets(new(username="u", password="é").outgoing())  # noqa: S106
    assert isinstance(connect, mqtt5.ConnectPacket)
    assert (connect.client_id, connect.clean_start, connect.session_expiry_interval) == ("bridge", False, 60)
    assert (connect.receive_max, connect.keep_alive) == (100, 20)
    assert (connect.username, connect.password) == ("u", "é".encode())


def test_it_subscribes_once_the_broker_has_let_it_in() -> None:
    session = new()
    session.outgoing()
    feed(session, ConnAckPacket(session_present=True, server_keep_alive=7).write())
    assert session.resumed
    assert session.keepalive_s == 7
    [subscribe] = packets(session.outgoing())
    assert isinstance(subscribe, mqtt5.SubscribePacket)
    assert [f.pattern for f in subscribe.topic_filters] == FILTERS
    assert {(int(f.max_qos), f.retain_as_published) for f in subscribe.topic_filters} == {(1, False)}
    assert not session.subscribed
    feed(session, SubAckPacket(1, [SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE] * 2).write())
    assert session.subscribed


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (ConnAckPacket(reason_code=mqtt5.ConnAckReasonCode.NOT_AUTHORIZED).write(), "refuses: not authorized"),
        (
            SubAckPacket(1, [SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE, SubAckReasonCode.NOT_AUTHORIZED]).write(),
            "refuses the subscription .share/g/other/.: not authorized",
        ),
        (
            mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER).write(),
            "goodbye: session taken over",
        ),
        (mqtt5.PingReqPacket().write(), "nobody has asked for"),
        (b"\x00\x00", "no MQTT 5"),
    ],
)
def test_a_broker_that_refuses_or_talks_nonsense(data: bytes, why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        feed(new(), data)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the codec also prints it
def test_a_broker_that_sends_text_that_is_not_utf8() -> None:
    with pytest.raises(Unavailable, match="not UTF-8"):
        feed(connected(), b"\x30\x05\x00\x02a\xff\x00")


def test_a_broker_that_sends_more_than_it_may_at_once() -> None:
    packet = PublishPacket("fleets/f/v/telemetry", bytes(MAX_PACKET_BYTES)).write()
    session = connected()
    assert feed(session, packet[:MAX_PACKET_BYTES]) == 0
    with pytest.raises(Unavailable, match="more than"):
        feed(session, packet[: MAX_PACKET_BYTES + 1])


@given(qos=st.lists(st.sampled_from([0, 1]), max_size=30), cuts=st.lists(st.integers(0, 2_000)))
def test_messages_come_whole_and_in_order_however_the_stream_is_cut(qos: list[int], cuts: list[int]) -> None:
    stream = b"".join(publish(n, q) for n, q in enumerate(qos))
    session, waiting, found = connected(), b"", []
    ends = sorted({cut % (len(stream) + 1) for cut in cuts} | {len(stream)})
    for start, end in zip([0, *ends], ends, strict=False):
        waiting += stream[start:end]
        waiting = waiting[feed(session, waiting) :]
        found += session.take()
    assert waiting == b""
    assert [(m.topic, m.payload, m.packet_id) for m in found] == [
        (f"fleets/f/v{n}/telemetry", b"x" * n, n + 1 if q else None) for n, q in enumerate(qos)
    ]


@given(st.lists(st.integers(1, 65_535)))
def test_acknowledgements_are_what_a_broker_expects_in_the_order_of_the_messages(ids: list[int]) -> None:
    session = connected()
    session.acknowledge(ids)
    acks = packets(session.outgoing())
    assert all(isinstance(ack, mqtt5.PubAckPacket) and int(ack.reason_code) == 0 for ack in acks)
    assert [ack.packet_id for ack in acks if isinstance(ack, mqtt5.PubAckPacket)] == ids
    assert session.outgoing() == b""


def test_a_broker_that_answers_no_ping_is_gone() -> None:
    session = connected()
    session.ping()
    feed(session, mqtt5.PingRespPacket().write())
    session.ping()
    assert len(packets(session.outgoing())) == 2
    with pytest.raises(Unavailable, match="silent for 10 s"):
        session.ping()


@given(st.binary(max_size=200))
def test_noise_is_taken_for_a_part_of_a_packet_or_refused(noise: bytes) -> None:
    session = connected()
    with suppress(Unavailable):
        assert 0 <= feed(session, noise) <= len(noise)
