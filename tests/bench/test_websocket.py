"""The benchmarks' WebSocket frames, read and written by the websockets package."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets import frames
from websockets.streams import StreamReader

from bench.websocket import CLOSE, PING, TEXT, Cutter, Frame, frame, pong, subscribe, upgrade

texts = st.tuples(st.just(TEXT), st.binary(max_size=300))
controls = st.tuples(st.sampled_from([PING, CLOSE]), st.binary(max_size=125))
edges = st.sampled_from([(TEXT, bytes(size)) for size in (125, 126, 65_535, 65_536, 200_000)])


def by_server(opcode: int, payload: bytes) -> bytes:
    return frames.Frame(frames.Opcode(opcode), payload).serialize(mask=False)


def at_server(data: bytes) -> tuple[int, bytes]:
    """What a server reads of a client's frame."""
    reader = StreamReader()
    reader.feed_data(data)
    parser = frames.Frame.parse(reader.read_exact, mask=True)
    with pytest.raises(StopIteration) as ended:
        next(parser)
    found = ended.value.value
    return int(found.opcode), bytes(found.data)


@given(st.lists(st.one_of(texts, controls, edges), max_size=6), st.data())
def test_cuts_frames_however_the_stream_is_cut(written: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(by_server(*one) for one in written)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    cutter, found = Cutter(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += cutter.feed(stream[start:end])
    assert found == [Frame(*one) for one in written]


@pytest.mark.parametrize("data", [b"\x01\x00", b"\x80\x00", b"\xc1\x00", b"\x81\x80"])
def test_fragments_extensions_and_masks_are_none_of_a_node(data: bytes) -> None:
    with pytest.raises(ValueError, match=data.hex()):
        Cutter().feed(data)


@given(st.one_of(st.binary(max_size=300), st.sampled_from([bytes(125), bytes(126), bytes(65_535)])))
def test_a_server_reads_what_a_client_writes(payload: bytes) -> None:
    assert at_server(frame(TEXT, payload)) == (TEXT, payload)


def test_answers_a_ping() -> None:
    assert at_server(pong(Frame(PING, b"abcd"))) == (int(frames.Opcode.PONG), b"abcd")


def test_a_subscription_says_what_is_asked_for() -> None:
    _, command = at_server(subscribe("fleets/#", interval=0))
    assert command == b'{"action":"subscribe","requestId":"subscribe","topic":"fleets/#","interval":0}'


def test_every_upgrade_has_a_key_of_its_own() -> None:
    assert upgrade(8000) != upgrade(8000)
    assert upgrade(8000).endswith(b"\r\nSec-WebSocket-Protocol: fleetwire.v1.json\r\n\r\n")
