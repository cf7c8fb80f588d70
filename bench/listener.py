"""A client of a node with thousands of filters, that takes down what comes for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fleetwire.client import Connection, open_connection

__all__ = ["Arrival", "Listener", "listening"]

EACH = 900  # subscriptions of one connection
QUIET_SECONDS = 5

Arrival = tuple[str, str]  # topic and id of a reading


class Listener:
    """`came`: what has come for each filter, in order. `complaints`: what should not have come at all."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self.came: dict[str, list[Arrival]] = {}
        self.complaints: list[str] = []
        self._connections = connections
        self._filters: dict[str, str] = {}  # by subscription id
        self._changed = asyncio.Event()

    async def subscribe(self, filters: Sequence[str], interval: int) -> None:
        """Ask for every reading that each of these matches, from now on; `interval`: ms between frames."""
        for filter in filters:
            connection = self._connections[len(self.came) // EACH]
            reply = await connection.request(
                "subscribe", topic=filter, strategy="batch", interval=interval, snapshot=False
            )
            self._filters[reply["subscriptionId"]] = filter
            self.came[filter] = []

    async def listen(self, connection: Connection) -> None:
        """Take down what one connection brings, until it ends."""
        async for event in connection.events():
            filter = self._filters[event["subscriptionId"]]
            if event["action"] == "subscription":
                self.came[filter] += [(item["topic"], item["id"]) for item in event["data"]]
                self._changed.set()
            else:
                self.complaints.append(f"{filter}: {event}")
        self.complaints.append("the node closed a connection")

    async def has(self, filter: str, wanted: int) -> bool:
        """Wait until so many readings have come for a filter: whether they do; when nothing comes at all for a while,
        they do not."""
        try:
            while len(self.came[filter]) < wanted:
                self._changed.clear()
                async with asyncio.timeout(QUIET_SECONDS):
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def listening(url: str, filters: int) -> AsyncIterator[Listener]:
    """A listener with the connections that it needs for so many filters. Raises Unavailable when no node answers."""
    async with AsyncExitStack() as stack:
        places = range(-(-filters // EACH))
        connections = [await stack.enter_async_context(open_connection(url)) for _ in places]
        listener = Listener(connections)
        tasks = [asyncio.create_task(listener.listen(connection)) for connection in connections]
        try:
            yield listener
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
