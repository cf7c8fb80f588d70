"""Secrets come from files too, and are said nowhere: each is a canary, and no output, answer or process has one."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from fleetwire.cli import app
from fleetwire.commands.device import device
from fleetwire.environment import SECRETS, from_files
from ingest.settings import Settings as BridgeSettings
from stream.auth import claims, sign_with_secret
from stream.settings import Settings as NodeSettings
from tests.programs import Program, eventually, find, fleetwire, free_port, mosquitto, redis_server, run
from wire.errors import FleetwireError, SettingsError

CANARY = "c4n4ry"
KEY = f"key-{CANARY}-{'k' * 32}"
REDIS_PASSWORD, MQTT_PASSWORD = f"redis-{CANARY}", f"mqtt-{CANARY}"
TOKEN = sign_with_secret(KEY, claims("ops", ["fleets/#", "rooms/#"], ["rooms/#"], 600))
BAD_TOKEN = f"{CANARY}.{CANARY}.{CANARY}"


def silent(text: str) -> str:
    """The text, which has no secret in it."""
    for secret in (CANARY, TOKEN, TOKEN.rpartition(".")[2]):
        assert secret not in text, text
    return text


class Servers:
    """A broker and a Redis that want passwords."""

    def __init__(self, mqtt_port: int, redis_port: int) -> None:
        self._mqtt, self._redis = mqtt_port, redis_port

    def mqtt(self, password: str = MQTT_PASSWORD) -> str:
        return f"mqtt://bridge:{password}@127.0.0.1:{self._mqtt}"

    def redis(self, password: str = REDIS_PASSWORD) -> str:
        return f"redis://:{password}@127.0.0.1:{self._redis}"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("broker")
    passwords = folder / "passwords"
    with run(find("mosquitto_passwd", package="mosquitto"), "-b", "-c", passwords, "bridge", MQTT_PASSWORD) as made:
        assert made.wait() == 0
    with mosquitto(f"password_file {passwords}") as broker, redis_server("--requirepass", REDIS_PASSWORD) as redis:
        yield Servers(int(broker.url.rpartition(":")[2]), int(redis.url.rpartition(":")[2]))


@contextmanager
def started(*args: str, **environment: str) -> Iterator[Program]:
    """`fleetwire ARGS`, which says no secret until it has stopped."""
    with fleetwire(*args, env={f"FLEETWIRE_{name}": value for name, value in environment.items()}) as program:
        yield program
        program.stop()
        silent(program.output)


async def answers(port: int) -> None:
    """What its doors say to the good, the bad and the curious is silent."""
    headers: list[dict[str, str]] = [{}, *({"Authorization": f"Bearer {token}"} for token in (TOKEN, BAD_TOKEN))]
    paths = ("/", "/metrics", "/healthz", "/readyz", "/v1/state", "/v1/state?topic=fleets/%23", "/v1/history", "/x")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
        for path, header, query in itertools.product(paths, headers, ("", f"token={BAD_TOKEN}", f"token={TOKEN}")):
            answer = await http.get(f"{path}{'&' if '?' in path else '?'}{query}", headers=header)
            silent(answer.text)
            silent(str(answer.headers))
        silent((await http.post("/v1/publish", content=BAD_TOKEN)).text)


async def stream(port: int) -> None:
    """A token at each place where a WebSocket could show it; the node says nothing of it."""
    url = f"ws://127.0.0.1:{port}/v1/stream"
    bearer = Subprotocol(f"fleetwire.bearer.{BAD_TOKEN}")
    doors = (
        connect(f"{url}?token={BAD_TOKEN}"),
        connect(url, additional_headers={"Authorization": f"Bearer {BAD_TOKEN}"}),
        connect(url, subprotocols=[Subprotocol("fleetwire.v1.json"), bearer]),
        connect(url),
    )
    for door in doors:
        with suppress(WebSocketException):
            async with door as socket:
                silent(str(socket.response and socket.response.headers))
                await socket.send(f'{{"action":"authorize","requestId":"1","authorization":"{BAD_TOKEN}"}}')
                async with asyncio.timeout(10):
                    silent(str(await socket.recv()))
                await socket.send(f'{{"action":"authorize","authorization":{BAD_TOKEN}')
                async with asyncio.timeout(10):
                    silent(str(await socket.recv()))


async def test_where_all_is_well_no_secret_is_said(servers: Servers, tmp_path: Path) -> None:
    metrics, port = free_port(), free_port()
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "redis").write_text(f"{servers.redis()}\r\n")
    with ExitStack() as stack:
        bridge = stack.enter_context(
            started("ingest", "--metrics-port", str(metrics), MQTT_URL=servers.mqtt(), REDIS_URL=servers.redis())
        )
        node = stack.enter_context(
            started(
                "stream", "--port", str(port), "--workers", "2", "--log-format", "json",
                REDIS_URL_FILE=str(tmp_path / "redis"), JWT_KEY_FILE=str(tmp_path / "key"),
            )
        )  # fmt: skip
        for each in (metrics, port):
            await eventually(lambda each=each: ready(each), 60)  # type: ignore[misc]
            await answers(each)
        await stream(port)
        url = f"ws://{CANARY}:{CANARY}@127.0.0.1:{port}"
        (tmp_path / "token").write_text(TOKEN)
        watcher = stack.enter_context(
            started("watch", "rooms/x", "--raw", "--url", url.replace(f"{CANARY}:{CANARY}@", ""),
                    TOKEN_FILE=str(tmp_path / "token"))
        )  # fmt: skip
        refused = stack.enter_context(started("watch", "rooms/x", "--url", url, TOKEN=BAD_TOKEN))
        assert await asyncio.to_thread(refused.wait, 20) == 2
        await eventually(lambda: heard(port, watcher), 60)
        for pid in (node.pid, *workers(node)):
            for file in ("cmdline", "environ"):
                silent(Path(f"/proc/{pid}/{file}").read_text(errors="replace"))  # noqa: ASYNC240
        assert "Traceback" not in bridge.output + node.output + watcher.output


async def heard(port: int, watcher: Program) -> bool:
    """Whether the watcher has heard what is said in its room."""
    async with httpx.AsyncClient() as http:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        said = {"topic": "rooms/x", "data": "hello"}
        await http.post(f"http://127.0.0.1:{port}/v1/publish", json=said, headers=headers)
    return "hello" in watcher.output


async def ready(port: int) -> bool:
    async with httpx.AsyncClient() as http:
        with suppress(httpx.TransportError):
            return (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
    return False


def workers(node: Program) -> list[int]:
    return [int(pid) for pid in re.findall(r"worker (\d+) serves", node.output)]


async def test_where_nothing_is_well_no_secret_is_said(servers: Servers) -> None:
    metrics, port, nowhere = free_port(), free_port(), free_port()
    wrong = f"wrong-{CANARY}"
    with ExitStack() as stack:
        bridge = stack.enter_context(
            started("ingest", "--metrics-port", str(metrics), MQTT_URL=servers.mqtt(wrong), REDIS_URL=servers.redis())
        )
        node = stack.enter_context(
            started("stream", "--port", str(port), REDIS_URL=servers.redis(wrong), JWT_KEY=KEY)
        )
        lost = stack.enter_context(
            started("ingest", "--metrics-port", str(free_port()), REDIS_URL=f"redis://:{wrong}@127.0.0.1:{nowhere}")
        )
        await eventually(lambda: "no broker at mqtt://bridge@127.0.0.1" in bridge.output, 60)
        await eventually(lambda: "invalid username-password pair" in node.output, 60)
        await eventually(lambda: f"connecting to 127.0.0.1:{nowhere}" in lost.output, 60)
        for each in (metrics, port):
            await answers(each)
        await stream(port)


@pytest.mark.parametrize(
    ("args", "environment"),
    [
        ("stream", {"REDIS_URL": f"redis://:{CANARY}/x@host"}),
        ("stream", {"REDIS_URL": f"redis://:a@host:{CANARY}"}),
        ("stream", {"REDIS_URL": f"redis+sentinel://:{CANARY}#x@host/main"}),
        ("stream", {"REDIS_URL": f"{CANARY}"}),
        ("stream", {"JWT_KEY": CANARY}),
        ("stream", {"JWT_KEYS": f"https://me:{CANARY}@id.example/keys"}),
        ("ingest", {"MQTT_URL": f"mqtt://me:{CANARY}?x@host"}),
        ("ingest", {"MQTT_URL": f"mqtt://me:a@host:{CANARY}"}),
        ("ingest", {"MQTT_URL": f"http://me:{CANARY}@host"}),
        ("ingest", {"MQTT_URL": f"mqtt://me:{CANARY}@host", "MQTT_CA": "/nowhere"}),
        ("simulate --vehicles 1", {"MQTT_URL": f"mqtt://me:{CANARY}/@127.0.0.1"}),
        ("token --subject x", {"JWT_KEY": CANARY}),
        ("watch --url ws://127.0.0.1:{free}", {"TOKEN": BAD_TOKEN}),
        (f"watch --url ws://me:{CANARY}@127.0.0.1:{{free}}", {}),
        (f"watch --url http://me:{CANARY}@x", {}),
        (f"watch --url ws://me:{CANARY}@x:port", {}),
        ("verify --manifest /nowhere", {"URL": f"ws://me:{CANARY}@127.0.0.1:{{free}}"}),
        ("command fleets/a/b/commands {{}} --url ws://127.0.0.1:{free}", {"TOKEN": BAD_TOKEN}),
    ],
)
def test_what_is_wrong_is_said_without_the_secret(args: str, environment: dict[str, str]) -> None:
    free = free_port()
    variables = {f"FLEETWIRE_{name}": value.format(free=free) for name, value in environment.items()}
    found = CliRunner().invoke(app, args.format(free=free).split(), env=variables)
    assert isinstance(found.exception, FleetwireError), found.exception  # `main` says it, and nothing else
    silent(f"{found.exception}{found.exception!r}{found.output}")


@pytest.mark.parametrize("command", ["ingest", "stream", "simulate", "watch", "command", "verify", "token"])
def test_help_says_no_secret(command: str) -> None:
    variables = dict.fromkeys((*SECRETS, "FLEETWIRE_URL", "FLEETWIRE_JWT_KEYS"), CANARY)
    found = CliRunner().invoke(app, [command, "--help"], env=variables)
    assert found.exit_code == 0
    assert "Usage" in silent(found.output)


def test_a_traceback_would_show_no_variables() -> None:
    assert not app.pretty_exceptions_enable
    assert not device.pretty_exceptions_enable
    silent(repr(NodeSettings(redis_url=f"redis://:{CANARY}@x", jwt_key=KEY)))
    silent(repr(BridgeSettings(mqtt_url=f"mqtt://a:{CANARY}@x", redis_url=f"redis://:{CANARY}@x")))


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_come_from_files(name: str, tmp_path: Path) -> None:
    file, variable = tmp_path / "secret", f"{name}_FILE"
    for text in ("a secret", "a secret\n", "a secret\r\n"):
        file.write_bytes(text.encode())
        assert from_files({variable: str(file)}) == {name: "a secret"}
    assert from_files({name: "x"}) == from_files({variable: ""}) == {}
    with pytest.raises(SettingsError, match=f"^{name} and {variable} are both set"):
        from_files({name: "x", variable: str(file)})
    with pytest.raises(SettingsError, match=f"^{variable} can't be read: /nowhere: No such file"):
        from_files({variable: "/nowhere"})
    with pytest.raises(SettingsError, match=f"^{variable} can't be read: {tmp_path}: Is a directory"):
        from_files({variable: str(tmp_path)})
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="it is no text"):
        from_files({variable: str(file)})
    file.write_bytes(b"\n")
    with pytest.raises(SettingsError, match=f"^{variable} has nothing in it"):
        from_files({variable: str(file)})
