"""How much a node takes of what clients may ask of it, as an operator sets it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from wire.errors import SettingsError

__all__ = ["Limits"]

_ORIGIN = re.compile(r"https?://[^/?#\s,]+")


@dataclass(frozen=True)
class Limits:
    """Limits of one node; with several workers each of them has its own. 0 is no limit. Raises SettingsError, which
    names the setting, when one can't be used.

    `connections`: WebSockets and event streams at once, and those of one subject (`sub` of the tokens) and of one
    address. `wide_subscriptions`: most of one connection that have wildcards. `commands_s`, `bytes_s`: of one
    WebSocket for ever, and so many more at once (`…_burst`).
    `authorize_s`: how long one may wait with its token, where tokens are needed. `head_s`, `head_bytes`: how long
    the head of a request may take, and how large it may be; `half_open`: connections that wait for one.
    `history_s`, `history_topics`: the longest span of one request for history, and the most topics; `histories`:
    how many pages, downloads and states are answered at once. `waiting_commands`: to vehicles, without a last
    reply, of all nodes together. `origins`: whose pages may use the node, besides its own; `*`: all.
    `trusted_proxies`: networks whose `X-Forwarded-For` is believed.
    """

    connections: int = 20_000
    subject_connections: int = 1_000
    address_connections: int = 1_000
    wide_subscriptions: int = 100
    commands_s: float = 50.0
    commands_burst: int = 1_000
    bytes_s: int = 262_144
    bytes_burst: int = 1_048_576
    authorize_s: float = 10.0
    head_s: float = 10.0
    head_bytes: int = 16_384
    half_open: int = 2_048
    history_s: int = 604_800
    history_topics: int = 10_000
    histories: int = 8
    waiting_commands: int = 100_000
    origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("connections", "subject_connections", "address_connections", "commands_s", "bytes_s"):
            _at_least(0, name, getattr(self, name))
        for name in ("wide_subscriptions", "history_s", "history_topics", "histories", "waiting_commands"):
            _at_least(0, name, getattr(self, name))
        for name in ("commands_burst", "bytes_burst", "half_open"):
            _at_least(1, name, getattr(self, name))
        for name in ("authorize_s", "head_s"):
            if getattr(self, name) <= 0:
                raise _about(name, "must be more than 0")
        if not 1_024 <= self.head_bytes <= 1 << 20:
            raise _about("head_bytes", "must be 1024 to 1048576")
        for origin in self.origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise _about("origin", f"must look like https://example.com[:port], or be *, not {origin!r}")
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise _about(
                    "trusted_proxies", f"must be addresses or networks, like 10.0.0.0/8, not {network!r}"
                ) from None


def _at_least(least: int, name: str, value: float) -> None:
    if value < least:
        raise _about(name, f"must be at least {least}")


def _about(name: str, text: str) -> SettingsError:
    return SettingsError.about(name.replace("_", "-"), text)
