"""Options that say how much a node takes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = [
    "AddressConnections",
    "AuthorizeS",
    "BytesBurst",
    "BytesS",
    "CommandsBurst",
    "CommandsS",
    "Connections",
    "HalfOpen",
    "HeadBytes",
    "HeadS",
    "Histories",
    "HistoryS",
    "HistoryTopics",
    "Origins",
    "SubjectConnections",
    "TrustedProxies",
    "WaitingCommands",
    "WideSubscriptions",
]


def _limit(name: str, text: str) -> Any:
    variable = f"FLEETWIRE_{name.upper().replace('-', '_')}"
    return typer.Option(f"--{name}", envvar=variable, help=text, rich_help_panel="Limits (0 is none; of each worker)")


Connections = Annotated[int, _limit("connections", "Most WebSockets and event streams at once.")]
SubjectConnections = Annotated[int, _limit("subject-connections", "Most of them with tokens of one subject.")]
AddressConnections = Annotated[
    int,
    _limit("address-connections", "Most of them from one address (of IPv6: one /64); see --trusted-proxies."),
]
TrustedProxies = Annotated[
    list[str] | None,
    _limit("trusted-proxies", "Network whose X-Forwarded-For is believed, like 10.0.0.0/8; repeatable."),
]
Origins = Annotated[
    list[str] | None,
    _limit("origin", "Whose pages may use the node besides its own, like https://example.com, or *; repeatable."),
]
WideSubscriptions = Annotated[
    int, _limit("wide-subscriptions", "Most of them that have wildcards: each costs something at every reading.")
]
CommandsS = Annotated[float, _limit("commands-s", "Commands a second on one WebSocket (then errors, then 4029).")]
CommandsBurst = Annotated[int, _limit("commands-burst", "Commands that may come at once.")]
BytesS = Annotated[int, _limit("bytes-s", "Bytes a second that one WebSocket may send; faster ones are read slowly.")]
BytesBurst = Annotated[int, _limit("bytes-burst", "Bytes that may come at once.")]
AuthorizeS = Annotated[float, _limit("authorize-s", "Seconds that a WebSocket may wait with its token (then 4001).")]
HeadS = Annotated[float, _limit("head-s", "Seconds that the head of a request may take.")]
HeadBytes = Annotated[int, _limit("head-bytes", "Largest head of a request (then 431, or 414 by its first line).")]
HalfOpen = Annotated[int, _limit("half-open", "Most connections that wait for a request; the oldest go.")]
HistoryS = Annotated[int, _limit("history-s", "Longest span of one request for history, in seconds.")]
HistoryTopics = Annotated[int, _limit("history-topics", "Most topics of one request for history.")]
Histories = Annotated[
    int, _limit("histories", "Most pages of history that are answered at once; also downloads, and states.")
]
WaitingCommands = Annotated[
    int,
    _limit("waiting-commands", "Most commands to vehicles without a last reply, of all nodes (then 507)."),
]
