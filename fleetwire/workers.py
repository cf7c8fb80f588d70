"""Several workers behind one port: each is a node in a process of its own, and is started again when it dies.

A worker's standard input is its lifeline: it brings the order what to serve, and when it ends the worker sends its
clients elsewhere and stops. So one that has lost its supervisor, by whatever death, does not stay.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Literal, NoReturn

import msgspec
from prometheus_client.multiprocess import mark_process_dead

from fleetwire.serve import bind
from fleetwire.tls import Files
from ingest.backoff import Backoff
from stream.settings import Settings
from wire.errors import SettingsError, Unavailable

__all__ = ["SERVES", "Order", "serve_workers"]

log = logging.getLogger("fleetwire.workers")

SERVES = "serves"  # what a worker says on its standard output once it accepts connections
STOP_SECONDS = 13  # a worker takes 10 at most; Compose and others wait 15 for all of us
STEADY_SECONDS = 10  # one that lived so long did not die of how it was started


class Order(msgspec.Struct, frozen=True):
    """What a worker is told to do. `number` is its place, 0 for the first; who replaces it has the same."""

    number: int
    host: str
    port: int
    settings: Settings
    log_format: Literal["text", "json"]
    tls: Files | None = None


async def serve_workers(
    count: int,
    host: str,
    port: int,
    settings: Settings,
    log_format: Literal["text", "json"],
    tls: Files | None = None,
) -> None:
    """Serve a node's port with so many processes until SIGINT or SIGTERM. With TLS, all of them read the certificate
    anew at SIGHUP.

    Each worker listens on a socket of its own (SO_REUSEPORT), and the kernel chooses by a hash. Of 1,000 connections
    that came at once two workers had 513 and 487, and with one socket that both accept from 657 and 343 (with ten
    at a time there was no difference). Nobody is sent to a worker that is not there.

    Raises SettingsError when the port is taken, Unavailable when no worker can start, or one did not end well.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with _reserved(host, port) as port, _folder() as metrics:
        crew = _Crew(metrics)
        if tls is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, crew.hang_up)
        async with asyncio.TaskGroup() as group:
            orders = [Order(number, host, port, _named(settings, number), log_format, tls) for number in range(count)]
            tasks = [group.create_task(crew.keep(order), name=f"worker {order.number}") for order in orders]
            await stop.wait()
            for task in tasks:
                task.cancel()
    if crew.failed:
        raise Unavailable("not every worker stopped as it should; see the log above")


class _Crew:
    """The workers, and the folder in which they count."""

    def __init__(self, metrics: str) -> None:
        self._metrics = metrics
        self._served = False  # whether any of them ever has
        self._serving: set[Process] = set()
        self._hung_up = 0  # times
        self.failed = False  # whether one did not stop as it should

    async def keep(self, order: Order) -> NoReturn:
        """One worker after another, until cancelled. Raises Unavailable when none of the crew could ever start."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            began = loop.time()
            async with self._worker(order) as process:
                end = await self._end(process)
            if not self._served:
                raise Unavailable(f"no worker can start: worker {process.pid} {end}")
            if loop.time() - began > STEADY_SECONDS:
                backoff = Backoff()
            delay = backoff.next()
            log.warning("worker %d %s; another starts in %.1f s", process.pid, end, delay)
            await asyncio.sleep(delay)

    def hang_up(self) -> None:
        """Send SIGHUP to all who serve; to those who are about to, once they do."""
        self._hung_up += 1
        for process in self._serving:
            process.send_signal(signal.SIGHUP)

    @asynccontextmanager
    async def _worker(self, order: Order) -> AsyncIterator[Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "fleetwire.worker"),
            stdin=PIPE,
            stdout=PIPE,
            env=_without_settings() | {"PROMETHEUS_MULTIPROC_DIR": self._metrics},
            start_new_session=True,  # a Ctrl-C in the terminal is for us
        )
        assert process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            yield process
        finally:
            if process.returncode is None:
                process.stdin.close()
                await self._stopped(process)
            mark_process_dead(order.number, self._metrics)  # type: ignore[no-untyped-call]

    async def _end(self, process: Process) -> str:
        """How it ended, in words, when it does so by itself."""
        assert process.stdout is not None
        before = self._hung_up
        said = (await process.stdout.readline()).decode().strip()
        if said == SERVES:
            self._served = True
            log.info("worker %d serves", process.pid)
            said = ""
            self._serving.add(process)
            if self._hung_up != before:
                process.send_signal(signal.SIGHUP)
        try:
            said += (await process.stdout.read()).decode().strip()
            status = await process.wait()
        finally:
            self._serving.discard(process)
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"{how}: {said}" if said else how

    async def _stopped(self, process: Process) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            status = await process.wait()
        if status:
            self.failed = True
            log.error("worker %d did not stop as it should: status %d", process.pid, status)
        else:
            log.info("worker %d has stopped", process.pid)


def _without_settings() -> dict[str, str]:
    """The environment for a worker: what it is told, secrets among it, comes by the order, and stands in no /proc."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FLEETWIRE_")}


def _named(settings: Settings, number: int) -> Settings:
    return replace(settings, node_name=f"{settings.node_name}/{number}")


@contextmanager
def _reserved(host: str, port: int) -> Iterator[int]:
    """The port, for our workers alone. Raises SettingsError when it is taken."""
    with bind(host, port) as probe:  # without SO_REUSEPORT: it is refused when anybody listens there, workers as well
        port = probe.getsockname()[1]
    with bind(host, port, socket.SO_REUSEPORT):  # it does not listen, so no connection comes to it
        yield port


@contextmanager
def _folder() -> Iterator[str]:
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-metrics-"))
        except OSError as error:
            raise SettingsError(f"TMPDIR: workers need a folder to count in: {error.strerror}") from None
        yield folder
