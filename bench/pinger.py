"""The live client of `bench.history`: it pings the node all the time, in a process of its own."""

from __future__ import annotations

import select
import sys
import time
from statistics import median

from bench.child import say
from bench.crowd import open_all
from bench.websocket import CLOSE, TEXT, Cutter, frame
from wire.errors import Unavailable

READ_BYTES = 4_096
SILENCE_SECONDS = 30
REST_SECONDS = 0.001
PING = b'{"action":"ping","requestId":"1"}'


class Pinger:
    """One connection."""

    def __init__(self, port: int) -> None:
        (self._connection,) = open_all(port, 1)
        self._connection.settimeout(SILENCE_SECONDS)
        self._cutter = Cutter()

    def ping(self) -> float:
        """Seconds until the answer is there. Raises Unavailable when none comes."""
        started = time.monotonic()
        try:
            self._connection.sendall(frame(TEXT, PING))
            while not self._answered():
                pass
        except OSError as error:
            raise Unavailable(f"the node did not answer a ping: {error}") from None
        return time.monotonic() - started

    def _answered(self) -> bool:
        data = self._connection.recv(READ_BYTES)
        frames = self._cutter.feed(data)
        if not data or any(one.opcode == CLOSE for one in frames):
            raise Unavailable("the node closed the connection")
        return any(one.opcode == TEXT for one in frames)


def main() -> None:
    """Each line on standard input asks how long the pings waited since the line before."""
    waited: list[float] = []
    try:
        pinger = Pinger(int(sys.argv[1]))
        say()
        while True:
            waited.append(pinger.ping())
            if select.select([sys.stdin], [], [], REST_SECONDS)[0]:
                if not sys.stdin.readline():
                    return
                say(count=len(waited), median_ms=median(waited) * 1e3, longest_ms=max(waited) * 1e3)
                waited.clear()
    except (TimeoutError, Unavailable) as error:
        say(error=str(error))


if __name__ == "__main__":
    main()
