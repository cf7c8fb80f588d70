"""Where a client is: what proxies say is believed as far as they are trusted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.peer import networks, place

TRUSTED = networks(["10.0.0.0/8", "fd00::/8"])
INSIDE = st.integers(1, 250).map(lambda n: f"10.0.0.{n}")
OUTSIDE = st.integers(1, 250).map(lambda n: f"192.0.2.{n}")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7,10.0.0.2 ", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("fd00::1", "198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:ffff::1", "198.51.100.7", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("", "198.51.100.7", ""),
    ],
)
def test_it_is_read_from_the_right_as_far_as_it_is_trusted(peer: str, forwarded: str, expected: str) -> None:
    assert place(peer, forwarded, TRUSTED) == expected


@given(st.text(), OUTSIDE, st.lists(INSIDE, min_size=1, max_size=4))
def test_what_a_client_says_of_itself_changes_nothing(said: str, client: str, proxies: list[str]) -> None:
    peer, *others = proxies
    assert place(peer, ",".join([said, client, *others]), TRUSTED) == client


@given(OUTSIDE, st.text())
def test_nobody_is_trusted_by_default(peer: str, said: str) -> None:
    assert place(peer, said, ()) == peer
