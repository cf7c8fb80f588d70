"""Redis by TLS: bridges and nodes that know it, and what is said where they don't believe each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from fleetwire.client import subscribe
from store.places import Places
from store.tls import Files
from stream.settings import Settings
from tests.authority import Authority
from tests.conftest import Servers
from tests.e2e.system import get, system
from tests.ingest.bridge import device
from tests.programs import eventually, find, free_port, mosquitto, redis_server, run, wait_for_port
from tests.stream.nodes import starting
from wire.errors import SettingsError
from wire.partition import WHOLE

TOPIC = "fleets/berlin/v1/telemetry"
PASSWORD = "p@ss/word"  # noqa: S105
QUOTED = "p%40ss%2Fword"


class Secure(NamedTuple):
    """A Redis that speaks TLS, to those who show a certificate and know the password."""

    port: int
    authority: Authority
    shown: Files

    def url(self, password: str = QUOTED, kind: str = "") -> str:
        return f"rediss{kind}://:{password}@127.0.0.1:{self.port}"


def options(authority: Authority, *hosts: str) -> tuple[str, ...]:
    """TLS of a server, as redis-server is told."""
    issued = authority.issue(*hosts)
    files = ("--tls-cert-file", str(issued.cert), "--tls-key-file", str(issued.key))
    return (*files, "--tls-ca-cert-file", str(authority.ca), "--tls-auth-clients", "yes")


@contextmanager
def served(folder: Path, *hosts: str, more: tuple[str, ...] = ()) -> Iterator[Secure]:
    """A server whose certificate is for these hosts."""
    authority, port = Authority(folder), free_port()
    client = authority.client("fleetwire")
    with redis_server(*options(authority, *hosts), "--tls-port", str(port), "--requirepass", PASSWORD, *more):
        yield Secure(port, authority, Files(str(authority.ca), str(client.cert), str(client.key)))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    with served(tmp_path_factory.mktemp("tls"), "127.0.0.1") as running:
        yield running


def flags(files: Files) -> tuple[str, ...]:
    return tuple(part for name, path in files._asdict().items() for part in (f"--redis-{name}", path))


async def test_a_reading_goes_all_the_way_by_tls(secure: Secure) -> None:
    with mosquitto() as broker:
        servers = Servers(broker.url, broker.url, secure.url())
        with system(servers, options=flags(secure.shown)) as running:
            await running.ready()
            (node,) = running.nodes
            heard: list[float] = []

            async def listen() -> None:
                async for event in subscribe([node.url], TOPIC, strategy="batch", interval=0):
                    heard.extend(item["values"]["Speed"] for item in event.get("data", ()))

            async with asyncio.TaskGroup() as group, device(broker.url) as client:
                listening = group.create_task(listen())
                for speed in range(100):
                    await client.publish(TOPIC, json.dumps({"ts": speed, "values": {"Speed": speed}}), qos=1)
                await eventually(lambda: heard and heard[-1] == 99)
                listening.cancel()
            history = json.loads(get(node.port, f"/v1/history?topic={TOPIC}&limit=1000"))
            assert [item["values"]["Speed"] for item in history["data"]] == list(range(100))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"redis_ca": "stranger"}, "certificate verify failed"),
        ({"redis_ca": None}, "certificate verify failed"),
        ({"redis_cert": None, "redis_key": None}, ""),  # it is told in TLS 1.3 when the handshake is over
        ({"redis_url": "wrong"}, "invalid username-password pair"),
    ],
    ids=["wrong authority", "unknown authority", "no certificate", "wrong password"],
)
async def test_who_is_not_believed_is_not_talked_to(
    secure: Secure, change: dict[str, str | None], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = {"stranger": str(Authority(tmp_path).ca), "wrong": secure.url("canary")}
    files = {f"redis_{name}": path for name, path in secure.shown._asdict().items()}
    changed = {"redis_url": secure.url()} | files | {name: known.get(text or "") for name, text in change.items()}
    async with starting(**changed) as node:
        await eventually(lambda: "the feed from Redis broke" in caplog.text)
        assert said in caplog.text
        assert "canary" not in caplog.text
        assert not await node.ready()


async def test_a_server_of_another_name_is_not_talked_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with served(tmp_path, "redis.example") as secure:
        files = {f"redis_{name}": path for name, path in secure.shown._asdict().items()}
        async with starting(redis_url=secure.url(), **files):
            await eventually(lambda: "IP address mismatch" in caplog.text)


async def test_a_certificate_is_read_anew_at_each_connect(secure: Secure, tmp_path: Path) -> None:
    files = Files(*(str(tmp_path / name) for name in ("ca", "cert", "key")))
    redis = Places(secure.url(), files).redis(WHOLE)
    with pytest.raises(Exception, match="No such file"):
        await redis.ping()
    for path, known in zip(files, secure.shown, strict=True):
        Path(str(path)).write_bytes(Path(str(known)).read_bytes())  # noqa: ASYNC240
    assert await redis.ping()
    await redis.aclose()


async def test_sentinels_and_their_master_speak_it_too(tmp_path: Path) -> None:
    with ExitStack() as stack:
        secure = stack.enter_context(served(tmp_path, "127.0.0.1"))
        port = free_port()
        lines = (
            f"port 0\ntls-port {port}\nbind 127.0.0.1\ndir {tmp_path}\ntls-replication yes",
            *(
                f"{name[2:]} {value}"
                for name, value in zip(*[iter(options(secure.authority, "127.0.0.1"))] * 2, strict=True)
            ),
            f"sentinel monitor fleet 127.0.0.1 {secure.port} 1",
            f"sentinel auth-pass fleet {PASSWORD}",
        )
        config = tmp_path / "sentinel.conf"
        config.write_text("\n".join(lines) + "\n")
        program = stack.enter_context(run(find("redis-server", package="redis-server"), config, "--sentinel"))
        wait_for_port(program, port)
        url = f"rediss+sentinel://:{QUOTED}@127.0.0.1:{port}/fleet"
        redis = Places(url, secure.shown).redis(WHOLE)
        assert await redis.ping()
        await redis.aclose()
        stranger = Places(url, Files(str(Authority(tmp_path / "stranger").ca))).redis(WHOLE)
        with pytest.raises(Exception, match=r"no Sentinel knows a master of fleet: .*certificate verify failed"):
            await stranger.ping()
        await stranger.aclose()


async def test_a_cluster_speaks_it_too(tmp_path: Path) -> None:
    clustered = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--tls-cluster", "yes")
    with served(tmp_path, "127.0.0.1", more=clustered) as secure:
        first = Places(secure.url(), secure.shown).redis(WHOLE)
        await first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)  # type: ignore[no-untyped-call]
        await first.aclose()
        places = Places(secure.url(kind="+cluster"), secure.shown)
        redis = places.redis(places.layout.partitions[3])

        async def served_by_it() -> bool:
            try:
                return bool(await redis.set(places.layout.partitions[3].key("x"), "1"))
            except Exception:  # it is not up yet
                return False

        assert await eventually(served_by_it)
        await redis.aclose()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"redis_ca": "/x"}, r"--redis-ca \(FLEETWIRE_REDIS_CA\) is for URLs that begin with rediss"),
        ({"redis_url": "rediss://a", "redis_ca": "/nowhere"}, r"--redis-ca .* can't be used: /nowhere: No such file"),
        ({"redis_url": "rediss+cluster://a", "redis_key": "/nowhere"}, "--redis-key .* needs its certificate"),
        ({"redis_url": "rediss://a?ssl_ca_cert=/x"}, r"after the \? may be db, client_name, ssl_ca_certs"),
    ],
)
def test_what_can_not_be_used_is_named(settings: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Settings(**settings)  # type: ignore[arg-type]
