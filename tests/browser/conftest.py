"""What the pages look at: a demo that drives, and a node whose readings a test stores by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect
from redis.asyncio import Redis

from tests.e2e.system import get
from tests.programs import Program, eventually, fleetwire, free_port
from tests.stream.nodes import Store

VEHICLES = 50

expect.set_options(timeout=20_000)  # a browser that draws in software is slow where others work, too


class Node:
    """A node, and where its dashboard is."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        """The dashboard."""
        return f"http://127.0.0.1:{self.port}/"

    async def states(self, kind: str = "telemetry") -> dict[str, dict[str, Any]]:
        """What the node says of each vehicle."""
        text = await asyncio.to_thread(get, self.port, f"/v1/state?topic=fleets/%2B/%2B/{kind}")
        return {
            item["topic"].rpartition("/")[0]: item["values"] for item in json.loads(text or '{"data":[]}')["data"]
        }


class Demo(Node):
    """The whole pipeline, with a fleet that drives."""

    def __init__(self, port: int, program: Program) -> None:
        super().__init__(port)
        self.program = program


class Quiet(Node):
    """A node, in whose Redis only a test stores."""

    def __init__(self, port: int, store: Store) -> None:
        super().__init__(port)
        self.store = store


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    """`fleetwire demo`, once all drive."""
    port = free_port()
    with fleetwire("demo", "--port", str(port), "--vehicles", str(VEHICLES)) as program:
        running = Demo(port, program)
        await eventually(lambda: all_drive(running), 30)
        assert running.url in program.output
        yield running


async def all_drive(demo: Demo) -> bool:
    return len(await demo.states()) == len(await demo.states("status")) == VEHICLES


@pytest.fixture
async def quiet(valkey_url: str) -> AsyncIterator[Quiet]:
    """A node alone."""
    port = free_port()
    with fleetwire("stream", "--port", str(port), "--redis-url", valkey_url) as _:
        await eventually(lambda: get(port, "/readyz"), 20)
        async with Redis.from_url(valkey_url) as redis:
            yield Quiet(port, Store(redis))
