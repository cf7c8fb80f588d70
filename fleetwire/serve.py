"""Serving an ASGI app with uvicorn, in the one way that Fleetwire is served."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import uvicorn
from starlette.applications import Starlette

from fleetwire.acceptor import Acceptor
from fleetwire.head import Head, HeadProtocol, Opening, Waiting
from fleetwire.memory import Memory
from fleetwire.tls import Certificate
from wire.errors import SettingsError, Unavailable

__all__ = ["GRACEFUL_SECONDS", "Server", "bind", "serve"]

log = logging.getLogger("fleetwire.serve")

GRACEFUL_SECONDS = 10

HEAD = Head()
LOOK_TICKS = 50  # of a tenth of a second
IDLE_SECONDS = 5  # that a connection may stay without a request, after one
RECEIVED_BYTES = 65_536  # of what a peer has sent and nobody has read yet, about
PATIENCE_MS = 32_000  # that a peer may confirm nothing of what it was sent: it could stay for ever, reading nothing

Protocol = type[asyncio.Protocol] | str


class Server(uvicorn.Server):
    """Serves an app on one listener until SIGINT or SIGTERM.

    `frame_bytes`: largest WebSocket message that a client may send (1009). `ws`: what speaks WebSocket, a protocol
    class or uvicorn's name for one. `head`: what the head of a request may take. `tls`: without it none is spoken;
    its files are read anew at SIGHUP. `app.state.drain()`, if it is there, is called when the stop begins, and
    `app.state.refused(reason)` when a connection is not served.
    """

    def __init__(
        self,
        app: Starlette,
        *,
        frame_bytes: int = 65_536,
        ws: Protocol = "websockets-sansio",
        head: Head = HEAD,
        tls: Certificate | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws=ws,
            ws_max_size=frame_bytes,
            ws_ping_timeout=None,  # see PreparedProtocol.limit
            ws_per_message_deflate=False,  # costs memory for each client, and forbids sharing frames
            interface="asgi3",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody asks for the client's address; 0.6 KB a client
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
        super().__init__(config)
        self._tls = tls
        self._acceptors: list[Acceptor] = []
        self._drain: Callable[[], None] = getattr(app.state, "drain", lambda: None)
        self._refused: Callable[[str], None] = getattr(app.state, "refused", lambda reason: None)
        self._head = head
        self._memory = Memory()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve. Raises Unavailable when the app's background work failed."""
        _rest_the_collector()
        super().run(sockets)
        if self._failed:
            raise Unavailable("stopped after an internal error; see the log above")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        tls = None
        if self._tls is not None:
            tls = self._tls.context
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload, self._tls)
        options = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
        self._waiting = Waiting(self._head, self._refused)
        protocol = partial(Opening, self._waiting, partial(HeadProtocol, self._waiting, **options))
        self._acceptors = [
            Acceptor(listener, protocol, self.config.backlog, tls, self._head.half_open) for listener in sockets or ()
        ]

    def _reload(self, tls: Certificate) -> None:
        try:
            tls.reload()
        except SettingsError as error:
            log.error("the certificate stays as it was: %s", error)
        else:
            log.info("the certificate was read anew")

    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_TICKS == 0:
            self._memory.look(len(self.server_state.connections) + len(self._waiting))
        # A lifespan that failed has taken its background work with it: nothing left to serve.
        return await super().on_tick(counter) or self._failed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        self._drain()  # streams would never end by themselves
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise the signal that stopped it once more when it is done: a clean stop, not a death."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def _failed(self) -> bool:
        return getattr(self.lifespan, "error_occurred", False)


def serve(
    app: Starlette,
    host: str,
    port: int,
    *,
    frame_bytes: int = 65_536,
    ws: Protocol = "websockets-sansio",
    head: Head = HEAD,
    tls: Certificate | None = None,
) -> None:
    """Serve an app in this process, as `Server` does.

    Raises SettingsError when the port is taken, Unavailable when the app's background work failed.
    """
    with bind(host, port) as listener:
        Server(app, frame_bytes=frame_bytes, ws=ws, head=head, tls=tls).run([listener])


def bind(host: str, port: int, *options: int) -> socket.socket:
    """A socket that is to listen there. `options` of SOL_SOCKET are set besides SO_REUSEADDR.

    Raises SettingsError when the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in (socket.SO_REUSEADDR, *options):
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        with suppress(AttributeError):  # Linux has it; what it accepts inherits it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PATIENCE_MS)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"port {port} on {host} can't be used: {error.strerror}; choose another") from None
    return listener


def _rest_the_collector() -> None:
    """What was imported stays; what a batch makes is freed by its counts. To look through it for cycles after each
    700 objects took 10 % of the CPU of the bridge (perf)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
