"""Everything that decodes what somebody else has written, in one table.

Not here, since what reads is not ours: RESP (hiredis), HTTP (httptools), TLS. Not here, since who writes is one of
us: what workers, the demo, or a client of a node are told.
"""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import feed, ingest, payload, simulator, stream, websocket, wire

__all__ = ["TARGETS"]

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (wire, payload, ingest, stream, feed, websocket, simulator)
    for target in module.TARGETS
}
