"""Several workers behind one port: they share the clients, count together, are replaced when they die, and end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fleetwire.client import Connection, open_connection
from tests.programs import Program, eventually, fleetwire, free_port, wait_for_port

KEYED = {"FLEETWIRE_JWT_KEY": "k" * 32}  # without a key it says so first
LAYER = '{"type":"Point","coordinates":[13.4,52.5]}'
CLIENTS = 24  # that all of them come to one of two workers happens once in eight million times

reads_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Crew(NamedTuple):
    """A node of two workers."""

    program: Program
    port: int

    @property
    def workers(self) -> list[int]:
        """The process ids of those who ever served, by age."""
        return [int(pid) for pid in re.findall(r"worker (\d+) serves$", self.program.output, re.MULTILINE)]

    @property
    def delays(self) -> list[float]:
        """How long each worker that died was mourned, in seconds."""
        return [float(text) for text in re.findall(r"another starts in (\S+) s$", self.program.output, re.MULTILINE)]

    async def counted(self) -> dict[str, float]:
        """Metrics by name, labels added up, as any of the workers tells them."""
        async with httpx.AsyncClient(verify=False) as http:
            text = (await http.get(f"http://127.0.0.1:{self.port}/metrics")).text
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("fleetwire_stream_")
                found[name] = found.get(name, 0) + sample.value
        return found

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[list[Connection]]:
        """Clients of all its workers, each of which has sent a command."""
        await eventually(lambda: len(self.workers) >= 2)
        async with AsyncExitStack() as stack:
            url = f"ws://127.0.0.1:{self.port}"
            connections = [await stack.enter_async_context(open_connection(url)) for _ in range(CLIENTS)]
            for connection in connections:
                await connection.request("ping")
            yield connections


@contextmanager
def crew(redis_url: str, **env: str) -> Iterator[Crew]:
    port = free_port()
    args = ("--workers", "2", "--port", str(port), "--redis-url", redis_url)
    with fleetwire("stream", *args, env=env) as program:
        wait_for_port(program, port)
        yield Crew(program, port)


@pytest.fixture(scope="module")
def shared(session_valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """A crew that is left as it was."""
    layer = tmp_path_factory.mktemp("map") / "layer.geojson"
    layer.write_text(LAYER)
    with crew(session_valkey, FLEETWIRE_NODE_NAME="north", FLEETWIRE_MAP_LAYER=str(layer)) as node:
        yield node


async def close_code(connection: Connection) -> int | None:
    """How the node closed the connection, once it has; None when it was just lost."""
    assert [event async for event in connection.events()] == []
    assert connection.closed is not None
    return connection.closed.rcvd and connection.closed.rcvd.code


def is_used(folder: Path) -> bool:
    return any(folder.iterdir())


def ended(pid: int) -> bool:
    """Whether the process is there no more, or only waits for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def youngest_child(pid: int, younger_than: int) -> int | None:
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return max((child for child in children if child > younger_than), default=None)


async def test_a_worker_says_which_one_it_is(shared: Crew) -> None:
    async with shared.clients() as clients:
        names = {(await client.request("ping"))["node"] for client in clients}
    assert names == {"north/0", "north/1"}


async def test_all_workers_have_what_is_set(shared: Crew) -> None:
    await eventually(lambda: len(shared.workers) >= 2)
    for _ in range(CLIENTS):
        async with httpx.AsyncClient(verify=False) as http:
            assert (await http.get(f"http://127.0.0.1:{shared.port}/v1/map/layer")).text == LAYER


async def test_workers_answer_for_each_other(shared: Crew) -> None:
    async def live() -> bool:
        counted = await shared.counted()
        return (counted["feed_live"], counted.get("clients", 0)) == (1, 0)

    await eventually(live)
    before = (await shared.counted()).get("commands_total", 0)
    async with shared.clients():
        for _ in range(10):  # whoever is asked
            counted = await shared.counted()
            assert (counted["workers"], counted["clients"]) == (2, CLIENTS)
            assert counted["commands_total"] == before + CLIENTS


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_port_is_for_the_workers_of_one_node(shared: Crew, workers: str) -> None:
    with fleetwire("stream", "--port", str(shared.port), "--workers", workers, env=KEYED) as second:
        assert second.wait() == 2
        assert second.output.startswith(f"fleetwire: port {shared.port} on 127.0.0.1 can't be used: ")
        assert second.output.count("\n") == 1


async def test_a_worker_that_dies_is_replaced_and_what_it_has_counted_stays(valkey_url: str) -> None:
    with crew(valkey_url) as node:
        async with node.clients() as clients:

            def lost() -> int:
                return sum(client.closed is not None for client in clients)

            async def without_the_lost() -> bool:
                return (await node.counted())["clients"] == CLIENTS - lost()

            async def all_counted() -> bool:  # a command is counted after its reply
                return bool((await node.counted())["commands_total"] == CLIENTS)

            await eventually(all_counted)
            os.kill(node.workers[0], signal.SIGKILL)
            await eventually(
                lambda: f"worker {node.workers[0]} was killed by SIGKILL; another" in node.program.output
            )
            assert (await node.counted())["commands_total"] == CLIENTS, "the other one tells"
            await eventually(without_the_lost)
            assert 0 < lost() < CLIENTS
            await eventually(lambda: len(node.workers) == 3)
            async with node.clients():
                for _ in range(10):
                    counted = await node.counted()
                    assert counted["commands_total"] == 2 * CLIENTS
                    assert (counted["workers"], counted["clients"]) == (2, 2 * CLIENTS - lost())


@reads_proc
async def test_a_worker_that_dies_at_once_is_tried_less_and_less_often(valkey_url: str) -> None:
    with crew(valkey_url) as node:
        await eventually(lambda: len(node.workers) == 2)
        dead = 0
        for deaths in range(1, 5):
            dead = await eventually(lambda: youngest_child(node.program.pid, dead))  # noqa: B023 - it is awaited here
            os.kill(dead, signal.SIGKILL)
            await eventually(lambda: len(node.delays) == deaths)  # noqa: B023
        assert node.delays[3] >= 0.4 > 0.2 >= node.delays[0]
        await eventually(lambda: len(node.workers) == 3)


@reads_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_sends_the_clients_of_all_workers_elsewhere(
    valkey_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    with crew(valkey_url, TMPDIR=str(tmp_path)) as node:
        async with node.clients() as clients:
            assert is_used(tmp_path), "they count there"
            node.program.signal(number)
            assert [await close_code(client) for client in clients] == [1012] * CLIENTS
        assert await asyncio.to_thread(node.program.wait) == 0
        for pid in node.workers:
            assert f"worker {pid} has stopped\n" in node.program.output
            assert ended(pid)
        assert "Traceback" not in node.program.output
        assert not is_used(tmp_path)


@reads_proc
async def test_no_worker_outlives_its_supervisor(valkey_url: str, tmp_path: Path) -> None:
    with crew(valkey_url, TMPDIR=str(tmp_path)) as node:
        async with node.clients() as clients:
            node.program.kill()
            assert [await close_code(client) for client in clients] == [1012] * CLIENTS
        await eventually(lambda: all(ended(pid) for pid in node.workers))
        assert "Traceback" not in node.program.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("--jwt-key short", "--jwt-key (FLEETWIRE_JWT_KEY) must have at least 32 characters"),
        ("--host 192.0.2.1", "on 192.0.2.1 can't be used"),
    ],
)
def test_what_is_wrong_is_said_once(args: str, said: str) -> None:
    with fleetwire("stream", "--workers", "2", "--port", str(free_port()), *args.split(), env=KEYED) as program:
        assert program.wait() == 2
        assert program.output.startswith("fleetwire: ")
        assert said in program.output
        assert program.output.count("\n") == 1


def test_workers_need_a_folder_to_count_in(tmp_path: Path) -> None:
    Path(tmp_path, "sitecustomize.py").write_text("import tempfile; tempfile.tempdir = '/nowhere'")
    args = ("--workers", "2", "--port", str(free_port()))
    with fleetwire("stream", *args, env=KEYED | {"PYTHONPATH": str(tmp_path)}) as program:
        assert program.wait() == 2
        assert program.output == "fleetwire: TMPDIR: workers need a folder to count in: No such file or directory\n"


def test_workers_that_can_not_start_are_not_tried_for_ever(tmp_path: Path) -> None:
    Path(tmp_path, "uvloop.py").write_text("raise SystemExit('no uvloop today')")
    args = ("--workers", "2", "--port", str(free_port()))
    with fleetwire("stream", *args, env={"PYTHONPATH": str(tmp_path)}) as program:
        assert program.wait() == 2
        last = program.output.splitlines()[-1]
        assert re.fullmatch(r"fleetwire: no worker can start: worker \d+ ended with status 1", last)
        assert "another" not in program.output
