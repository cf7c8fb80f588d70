"""The board of watch: what it knows and how it shows it."""

from __future__ import annotations

import io
import json
from typing import Any

from redis.asyncio import Redis
from rich.console import Console

from fleetwire.watch import Board
from tests.programs import eventually, fleetwire, free_port, wait_for_port
from wire.reading import Reading, encode
from wire.store import SCRIPT, Entry, Retention, arguments, pack_parts

NOW = 1_764_000_000_000


def item(name: str, kind: str, values: dict[str, Any], ts: int = NOW - 5) -> dict[str, Any]:
    return {"topic": f"fleets/berlin/{name}/{kind}", "id": "1-1", "ts": ts, "values": values}


def shown(board: Board, rows: int = 50) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(board.render(NOW, rows))
    return console.export_text()


def test_a_board_shows_values_presence_age_and_latency() -> None:
    board = Board()
    board.state = "connected"
    items = [item("v2", "telemetry", {"Speed": 42.123, "CurrentLocation.Heading": 90}, NOW - 3_000)]
    board.take({"action": "subscription", "data": items, "conflated": 7}, NOW)
    board.take(
        {"action": "subscription", "data": [item("v2", "status", {"connectionState": "CONNECTIONBROKEN"})]}, NOW
    )
    board.take({"action": "gap"}, NOW)
    text = shown(board)
    for word in (
        "connected",
        "1 vehicles",
        "berlin/v2",
        "CONNECTIONBROKEN",
        "42.1",
        "Heading 90",
        "7 conflated",
        "1 gaps",
    ):
        assert word in text, text
    assert board.latency(0.99) == 3_000
    assert board.latency(0) == 5


def test_a_snapshot_says_nothing_about_rate_or_latency() -> None:
    board = Board()
    board.take({"action": "subscription", "snapshot": True, "data": [item("v1", "telemetry", {"Speed": 1})]}, NOW)
    assert board.latency(0.5) is None
    assert board.rate(NOW) == 0
    assert "berlin/v1" in shown(board)


def test_vehicles_are_in_natural_order_and_what_does_not_fit_is_said() -> None:
    board = Board()
    items = [item(f"v{number}", "telemetry", {"Speed": 1}) for number in (10, 9, 1)]
    board.take({"action": "subscription", "data": items}, NOW)
    text = shown(board, rows=2)
    assert text.index("berlin/v1 ") < text.index("berlin/v9 ")
    assert "berlin/v10" not in text
    assert "1 more" in text


async def test_raw_prints_each_item_as_a_line_of_json_until_the_pipe_ends(
    redis_client: Redis, valkey_url: str
) -> None:
    port = free_port()
    with fleetwire("stream", "--port", str(port), "--redis-url", valkey_url) as node:
        wait_for_port(node, port)
        with fleetwire("watch", "fleets/#", "--raw", "--url", f"ws://127.0.0.1:{port}") as watcher:
            await eventually(lambda: "connected to" in watcher.output)
            script = redis_client.register_script(SCRIPT)
            for speed in range(3):
                body = encode(Reading(NOW, {"Speed": speed}))
                names, args = arguments([Entry("fleets/a/b/telemetry", body, NOW, pack_parts([]))], Retention())
                await script(keys=names, args=args)
            await eventually(lambda: watcher.output.count("{") >= 6)
            lines = [json.loads(line) for line in watcher.output.splitlines() if line.startswith("{")]
    assert [line["values"] for line in lines] == [{"Speed": 0}, {"Speed": 1}, {"Speed": 2}]
