"""`python -m fleetwire.worker`: one of several workers, a node in a process of its own (see `fleetwire.workers`)."""

from __future__ import annotations

import asyncio
import socket
import sys

import msgspec
from prometheus_client import values

from fleetwire.head import Head
from fleetwire.logs import configure
from fleetwire.serve import Server, bind
from fleetwire.tls import Certificate
from fleetwire.workers import SERVES, Order
from stream.app import create_app
from stream.prepared import PreparedProtocol
from wire.errors import FleetwireError


class _Worker(Server):
    """Says when it serves. When its standard input ends it stops, as after SIGTERM: its supervisor wants it to, or
    is gone."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._released)
        print(SERVES, flush=True)

    def _released(self) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self.should_exit = True


def main() -> None:
    """Serve as the order on standard input says. What is wrong is said on standard output: exit status 2."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    configure(order.log_format)
    # The number takes the place of the process id: whoever is started for a worker that died counts on from there.
    values.ValueClass = values.MultiProcessValue(lambda: order.number)  # type: ignore[no-untyped-call]
    try:
        with bind(order.host, order.port, socket.SO_REUSEPORT) as listener:
            app, size, limits = create_app(order.settings), order.settings.frame_bytes, order.settings.limits
            head = Head(limits.head_s, limits.head_bytes, limits.half_open)
            tls = Certificate(order.tls) if order.tls else None
            _Worker(app, frame_bytes=size, ws=PreparedProtocol, head=head, tls=tls).run([listener])
    except FleetwireError as error:
        print(error, flush=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
