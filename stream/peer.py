"""Where a client is: its address, also behind proxies. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["Network", "is_loopback", "networks", "place"]

Network = IPv4Network | IPv6Network

SITE_BITS = 64  # of an IPv6 address: who has one has all that begin like it


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks in texts like `10.0.0.0/8`. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def place(peer: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """What connections are counted by: a client's IPv4 address, or the /64 of its IPv6 address.

    `peer`: the other end of the connection. `forwarded`: X-Forwarded-For, read from the right: each proxy adds there
    whom it has seen, and what stands further left is believed only as far as proxies that are trusted wrote it.
    """
    if trusted or ":" in peer:
        at = _address(peer)
        hops = forwarded.split(",") if forwarded else []
        while at is not None and hops and any(at in network for network in trusted):
            if (before := _address(hops.pop().strip())) is None:
                break
            at = before
        return peer if at is None else _site(at)
    return peer


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _site(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address) >> SITE_BITS << SITE_BITS, SITE_BITS)))
