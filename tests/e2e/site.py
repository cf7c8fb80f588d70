"""A site whose programs can crash: a broker as it is deployed, a Redis that keeps what it is told, two bridges, a
node, and the fleets that load them. What is killed is started again, on the same port and with the same folder."""

from __future__ import annotations

import getpass
import itertools
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.clusters import Cluster, cluster
from tests.conftest import CLUSTERED
from tests.deploy.deployed import ROOT, edited
from tests.e2e.system import get
from tests.programs import Program, eventually, fleetwire, free_port, mosquitto, redis_server

__all__ = ["BRIDGES", "Site", "site"]

BRIDGES = ("bridge-0", "bridge-1")
FLEETS = {"alone": ("--vehicles", "30"), "carried": ("--vehicles", "10", "--gateway")}
HZ = 8 if CLUSTERED else 25  # each batch goes to many masters there, and each of them syncs its file
KEEPS = ("--appendonly", "yes", "--appendfsync", "always")  # what Redis has confirmed, it has after a crash too
ALL = ("--log-entries", "1000000", "--log-age-s", "86400")  # the whole run stays in the logs
BUSY = ("--batch", "10", "--linger-ms", "0")  # a crash is to find as much as can be half done
RECOVERY_SECONDS = 30.0


class Part:
    """A program that is started again after each kill, and what all its lives have written."""

    def __init__(self, name: str, begin: Callable[[], AbstractContextManager[Program]]) -> None:
        self.name = name
        self._begin = begin
        self._past = ""
        self._life = ExitStack()
        self.start()

    def kill(self) -> None:
        """`kill -9`."""
        self.program.kill()
        self._past = f"{self.log}----- killed\n"
        self.end()

    def start(self) -> None:
        """Begin the next life."""
        self.program = self._life.enter_context(self._begin())

    def end(self) -> None:
        """End this life."""
        self._life.close()

    @property
    def log(self) -> str:
        """Everything written so far."""
        return self._past + self.program.output


class Masters:
    """The masters of a cluster, of whom each time another is killed."""

    name = "redis"

    def __init__(self, running: Cluster) -> None:
        self._cluster = running
        self._next = itertools.cycle(running.ports)
        self._killed = 0

    @property
    def program(self) -> Program:
        """One of them."""
        return self._cluster.programs[self._cluster.ports[0]]

    def kill(self) -> None:
        """`kill -9`."""
        self._killed = next(self._next)
        self._cluster.programs[self._killed].kill()

    def start(self) -> None:
        """Start it again."""
        self._cluster.restart(self._killed)
        self._cluster.whole()

    @property
    def log(self) -> str:
        """What those have written that run."""
        return "\n".join(program.output for program in self._cluster.programs.values())


class Site:
    """What runs. Use `site`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.mqtt_port, self.node_port = free_port(), free_port()
        self.manifests = {fleet: folder / f"{fleet}.json" for fleet in FLEETS}
        self.parts: dict[str, Part | Masters] = {}
        self._bridges = {name: free_port() for name in BRIDGES}
        self._database = folder / "mosquitto.db"
        self._stack = stack
        self._add("mosquitto", partial(_mosquitto, _deployed(self.mqtt_port, folder), self.mqtt_port))
        if CLUSTERED:
            masters = stack.enter_context(cluster(keeps=KEEPS))
            self.redis_url = masters.url
            self.parts["redis"] = Masters(masters)
        else:
            port = free_port()
            self.redis_url = f"redis://127.0.0.1:{port}"
            self._add("redis", partial(_redis, port, folder))
        for name, port in self._bridges.items():
            self._add(name, partial(self._bridge, name, port))
        self._add("node", partial(fleetwire, "stream", "--port", str(self.node_port), "--redis-url", self.redis_url))

    def _add(self, name: str, begin: Callable[[], AbstractContextManager[Program]]) -> None:
        part = self.parts[name] = Part(name, begin)
        self._stack.callback(part.end)

    def _bridge(self, name: str, port: int) -> AbstractContextManager[Program]:
        urls = ("--mqtt-url", f"mqtt://127.0.0.1:{self.mqtt_port}", "--redis-url", self.redis_url)
        return fleetwire("ingest", *urls, "--client-id", name, "--metrics-port", str(port), *ALL, *BUSY)

    def load(self) -> None:
        """Start the fleets: each vehicle with a connection of its own, and all behind one gateway."""
        for name, options in FLEETS.items():
            what = ("--fleet", name, "--hz", str(HZ), "--qos", "1", *options, "--manifest", str(self.manifests[name]))
            url = f"mqtt://127.0.0.1:{self.mqtt_port}"
            self._add(name, partial(fleetwire, "simulate", "--mqtt-url", url, *what))

    def unload(self) -> None:
        """End the fleets: what they have in flight is confirmed, the manifests are written."""
        programs = [self.parts[name].program for name in FLEETS]
        for program in programs:
            program.signal(signal.SIGTERM)
        for program in programs:
            assert program.wait(RECOVERY_SECONDS) == 0, program.output

    async def ready(self) -> None:
        """Wait until readings flow through both bridges."""
        for port in self._bridges.values():
            await eventually(partial(get, port, "/readyz"), RECOVERY_SECONDS)

    async def crash(self, name: str) -> None:
        """Kill a part, start it again, and wait until the site has recovered."""
        part = self.parts[name]
        part.kill()
        if name != "mosquitto":
            part.start()
            await self.ready()
            return
        # Mosquitto does not save shared subscriptions: what devices publish before a bridge has subscribed again is
        # accepted and goes nowhere (see mosquitto/README.md). So here the devices come back after the bridges.
        with self._fleets_held():
            part.start()
            # A bridge that has not noticed yet would say that it is ready.
            await eventually(lambda: all(f" as {name} " in part.program.output for name in BRIDGES), RECOVERY_SECONDS)
            await self.ready()

    @contextmanager
    def _fleets_held(self) -> Iterator[None]:
        fleets = [self.parts[name].program for name in FLEETS]
        for program in fleets:
            program.signal(signal.SIGSTOP)
        yield
        for program in fleets:
            program.signal(signal.SIGCONT)

    async def save(self) -> None:
        """Have the broker write its database, as it does by itself once a minute."""
        before = self._saved()
        self.parts["mosquitto"].program.signal(signal.SIGUSR1)
        await eventually(lambda: self._saved() > before)

    def _saved(self) -> int:
        return self._database.stat().st_mtime_ns if self._database.exists() else 0

    def logs(self) -> str:
        """What all parts have written."""
        return "\n".join(f"===== {part.name}\n{part.log}" for part in self.parts.values())


@contextmanager
def site() -> Iterator[Site]:
    """A running site, without load."""
    with tempfile.TemporaryDirectory(prefix="fleetwire-site-") as folder, ExitStack() as stack:
        yield Site(Path(folder), stack)


def _deployed(port: int, folder: Path) -> Path:
    """The deployed configuration, but for ports, folders and the user."""
    path = folder / "mosquitto.conf"
    text = edited(
        "mosquitto/mosquitto.conf",
        {
            "listener 1883": f"listener {port} 127.0.0.1",
            "listener 9001": f"listener {free_port()} 127.0.0.1",
            "/mosquitto/data/": f"{folder}/",
            "/mosquitto/config/acl": f"{ROOT}/mosquitto/acl",
        },
    )
    path.write_text(f"{text}\nuser {getpass.getuser()}\n")
    return path


@contextmanager
def _mosquitto(config: Path, port: int) -> Iterator[Program]:
    with mosquitto(config, port) as served:
        yield served.program


@contextmanager
def _redis(port: int, folder: Path) -> Iterator[Program]:
    with redis_server(*KEEPS, port=port, folder=folder) as served:
        yield served.program
