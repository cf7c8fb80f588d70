"""Receipts: what the broker repeats is known, and nothing else is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.receipts import RECEIPT_BYTES, ReceiptBook, pack
from ingest.source import Arrivals, Received

ids = st.integers(1, 65_535)
messages = st.lists(st.tuples(st.binary(max_size=4), st.none() | ids), max_size=20)


def message(payload: bytes, id: int | None, *, duplicate: bool = False) -> Received:
    return Received("fleets/f/v/telemetry", payload, duplicate=duplicate, packet_id=id)


def packed(*sent: tuple[bytes, int | None]) -> bytes:
    return pack([Arrivals(0, [message(payload, id)]) for payload, id in sent], number=7)


@given(messages)
def test_the_last_message_under_an_identifier_is_known_when_it_is_repeated(
    sent: list[tuple[bytes, int | None]],
) -> None:
    book, last = ReceiptBook(), {id: payload for payload, id in sent if id is not None}
    for one in sent:
        book.add(packed(one))
    for id, payload in last.items():
        assert book.holds(message(payload, id, duplicate=True))
        assert not book.holds(message(payload, id))
        assert not book.holds(message(payload + b"!", id, duplicate=True))
    for id in range(1, 30):
        assert (id in last) or not book.holds(message(b"", id, duplicate=True))


@given(messages, st.integers(0, RECEIPT_BYTES - 1))
def test_they_read_the_same_in_one_piece(sent: list[tuple[bytes, int | None]], torn: int) -> None:
    one, many = ReceiptBook(), ReceiptBook()
    whole = packed(*sent)
    assert len(whole) == RECEIPT_BYTES * (1 + sum(id is not None for _, id in sent))
    one.add(whole + b"x" * torn)
    for each in sent:
        many.add(packed(each))
    assert vars(one) == vars(many) or not sent


def test_qos_0_has_no_receipt_and_a_new_session_begins_without() -> None:
    book = ReceiptBook()
    assert packed((b"a", None)) == packed()
    book.add(packed((b"a", 1)))
    assert not book.holds(message(b"a", None, duplicate=True))
    book.clear()
    assert not book.holds(message(b"a", 1, duplicate=True))
