"""The front door: `fleetwire demo`, as a newcomer runs it."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from simulator.city import City
from tests.e2e.system import get
from tests.programs import eventually, fleetwire, free_port


def test_a_timed_demo_loses_nothing_and_says_so_in_one_json_object() -> None:
    options = ("--vehicles", "50", "--hz", "2", "--seconds", "4", "--nodes", "2", "--json")
    with fleetwire("demo", "--port", str(free_pair()), *options) as program:
        assert program.wait(60) == 0, program.output
        summary = json.loads(program.output.splitlines()[-1])  # a broker too late for 1883 has said so before
    assert summary["published"] == summary["stored"] == 400
    assert summary["delivered"] == 2 * summary["published"]
    assert summary["lost"] == summary["duplicates"] == 0
    assert 0 <= summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]


def free_pair() -> int:
    """A port that is free, and the next one too; below those that the system gives to connections."""
    for port in random.sample(range(20_000, 30_000), 100):
        with (
            suppress(OSError),
            socket.create_server(("127.0.0.1", port)),
            socket.create_server(("127.0.0.1", port + 1)),
        ):
            return port
    raise AssertionError("no two free ports in a row")


async def test_ctrl_c_ends_the_demo_with_a_summary_and_no_process_is_left() -> None:
    port = free_port()
    with fleetwire("demo", "--port", str(port), "--vehicles", "5", "--hz", "5") as program:
        await eventually(
            lambda: '"topic":"fleets/berlin/v5/' in get(port, "/v1/state?topic=fleets/berlin/v5/%23"), 30
        )
        started = descendants(program.pid)
        assert len(started) >= 5
        assert program.output.startswith(f"\nDashboard  http://127.0.0.1:{port}/\n")
        assert json.loads(get(port, "/v1/map/layer")) == City("berlin", 0).streets()
        program.signal(signal.SIGINT)
        assert program.wait(30) == 0, program.output
        assert "lost 0, duplicates 0" in program.output
        assert "mosquitto_pub -p" in program.output
        await eventually(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()])


async def test_a_demo_whose_bridge_dies_says_which_part_it_was() -> None:
    port = free_port()
    with fleetwire("demo", "--port", str(port), "--vehicles", "2") as program:
        await eventually(lambda: '"topic":"fleets/berlin/' in get(port, "/v1/state?topic=fleets/%23"), 30)
        bridge = next(pid for pid, command in descendants(program.pid).items() if "fleetwire ingest" in command)
        os.kill(bridge, signal.SIGKILL)
        assert program.wait(30) == 2
        assert "fleetwire: ingest ended with status -9" in program.output
        assert "Traceback" not in program.output


def descendants(pid: int) -> dict[int, str]:
    """Everything that a process has started, and these in turn: process ids and command lines."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [
        (int(child), int(parent), command)
        for child, parent, command in (r.split(None, 2) for r in listing.splitlines())
    ]
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for child, its_parent, command in rows:
            if its_parent == parent:
                found[child] = command
                waiting.append(child)
    return found
