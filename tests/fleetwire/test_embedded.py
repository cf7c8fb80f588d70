"""The embedded servers: what is asked for may be taken by the time when they begin to listen."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from fleetwire.embedded import broker, free_port
from wire.errors import Unavailable


def test_a_broker_takes_the_next_port_when_one_is_taken() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        taken, free = listener.getsockname()[1], free_port()
        with broker(taken, free) as found:
            assert found.port == free
            socket.create_connection(("127.0.0.1", free)).close()
        with pytest.raises(Unavailable, match=f"did not start on port {taken}"), broker(taken):
            pass


def test_a_free_port_is_given_once() -> None:
    found = [free_port() for _ in range(200)]
    assert len(set(found)) == len(found)
    for port in found[:10]:
        socket.create_server(("127.0.0.1", port)).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
