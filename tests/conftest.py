"""Servers for tests: the embedded ones, which every machine has, and those of Debian, which are what is deployed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
import redis
from hypothesis import settings
from redis.asyncio import Redis

from tests.clusters import Cluster, cluster
from tests.programs import EmbeddedBroker, broker, mosquitto, redis_server, valkey

settings.register_profile("untimed", deadline=None)  # machines are noisy
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For several at a time (`--dist loadgroup`): the tests of a file stay together, for what they share. Those of
    whole systems do so, too: one at a time is enough for a machine. They take the longest, and so begin first."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)
    for item in items:
        group = "e2e" if "e2e" in item.path.parts else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


class Servers(NamedTuple):
    """A broker and a Redis, fresh for one test. The two MQTT URLs are of one broker."""

    mqtt: str  # MQTT 5
    mqtt_v311: str
    redis: str


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """A rumqttd for the whole session: what it retains and remembers is shared, so use topics of your own."""
    with broker() as ports:
        yield ports


@pytest.fixture(scope="session")
def session_valkey() -> Iterator[str]:
    with valkey() as url:
        yield url


@pytest.fixture(scope="session")
def session_redis() -> Iterator[str]:
    with redis_server() as server:
        yield server.url


@pytest.fixture
def valkey_url(session_valkey: str) -> str:
    """An empty Valkey."""
    return emptied(session_valkey)


@pytest.fixture(params=["valkey", "redis"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """An empty Valkey, and an empty Redis: the test runs on both."""
    return emptied(request.getfixturevalue(f"session_{request.param}"))


@pytest.fixture
async def redis_client(valkey_url: str) -> AsyncIterator[Redis]:
    """A client of the empty Valkey."""
    async with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture(scope="session")
def session_cluster() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


# What `servers` are: on a cluster only where `make test-cluster` says so.
CLUSTERED = os.environ.get("FLEETWIRE_TEST_STORE") == "cluster"
SERVERS = ["cluster"] if CLUSTERED else ["embedded", "debian"]

DEPLOYED = SERVERS[-1:]  # those whose broker can be deployed


@pytest.fixture(params=SERVERS)
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """rumqttd and Valkey, and mosquitto and Redis: the test runs on both, each started just for it. Or mosquitto and
    a Valkey Cluster of three masters."""
    if request.param == "cluster":
        running: Cluster = request.getfixturevalue("session_cluster")
        running.empty()
        with mosquitto() as mqtt:
            yield Servers(mqtt.url, mqtt.url, running.url)
    elif request.param == "embedded":
        with broker() as ports, valkey() as url:
            yield Servers(f"mqtt://127.0.0.1:{ports.port_v5}", f"mqtt://127.0.0.1:{ports.port}", url)
    else:
        with mosquitto() as mqtt, redis_server() as store:
            yield Servers(mqtt.url, mqtt.url, store.url)


@pytest.fixture(scope="session")
def traces() -> Path:
    """The recorded tracks, which lie beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "traces"
    if not folder.is_dir():
        pytest.skip("the recorded tracks (../shared/traces) are not here")
    return folder


def emptied(url: str) -> str:
    with closing(redis.Redis.from_url(url)) as client:
        client.flushall()
    return url


PR_SET_CHILD_SUBREAPER = 36  # what our children leave behind becomes ours, so it is seen at the end


def pytest_sessionstart() -> None:
    # A shell has what it runs in the background ignore Ctrl-C, with all that is started there; some tests want it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the run when a process was left behind."""
    if left := sorted(children()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nleft behind:", *left, sep="\n  ")


def children() -> Iterator[str]:
    """This process's children that still run, as `<pid> <command line>`; nothing where there is no /proc."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended meanwhile
            continue
        if int(parent) == os.getpid() and state != "Z":
            yield f"{folder.name} {command}"
