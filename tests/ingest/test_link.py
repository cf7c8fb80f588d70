"""The link on real servers: TCP, TLS, a unix socket, a password; answers in order; what breaks is made anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from ingest.link import Link
from tests.programs import find, free_port, redis_server


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[Link]:
    async with Redis.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0)) as redis, Link(redis, ready) as link:
        yield link


async def ready() -> None:
    """Nothing is to be done on a new connection."""


async def test_answers_of_all_kinds_come_in_order(redis_url: str) -> None:
    async with linked(redis_url) as link, asyncio.TaskGroup() as group:
        big = b"\x00\r\n" * 100_000
        calls = [group.create_task(link.call("SET", f"k{n}", n)) for n in range(50)]
        calls += [group.create_task(link.call("GET", f"k{n}")) for n in range(50)]
        more = [group.create_task(link.call(*command)) for command in (("ECHO", big), ("GET", "none"), ("LLEN", "k"))]
    assert [call.result() for call in calls] == [b"OK"] * 50 + [b"%d" % n for n in range(50)]
    assert [call.result() for call in more] == [big, None, 0]


async def test_a_refusal_is_an_error_and_the_connection_goes_on(redis_url: str) -> None:
    async with linked(redis_url) as link:
        me = await link.call("CLIENT", "ID")
        with pytest.raises(ResponseError, match="NOSCRIPT"):
            await link.call("EVALSHA", "0" * 40, 0)
        assert await link.call("CLIENT", "ID") == me


async def test_a_call_that_is_cancelled_takes_no_other_answer(redis_url: str) -> None:
    async with linked(redis_url) as link, asyncio.TaskGroup() as group:
        await link.call("SET", "k", "mine")
        cancelled = group.create_task(link.call("ECHO", "late"))
        await asyncio.sleep(0)  # it has been sent
        cancelled.cancel()
        assert await link.call("GET", "k") == b"mine"


async def test_a_connection_that_breaks_is_made_anew(redis_url: str) -> None:
    async with linked(redis_url) as link, linked(redis_url) as other:
        me = await link.call("CLIENT", "ID")
        waiting = asyncio.create_task(link.call("BLPOP", "nothing", 0))
        await asyncio.sleep(0)
        while b"blpop" not in await other.call("CLIENT", "LIST", "ID", me):
            pass
        await other.call("CLIENT", "KILL", "ID", me)
        with pytest.raises(RedisConnectionError):
            await waiting
        assert await link.call("CLIENT", "ID") != me


async def test_a_silent_connection_is_given_up(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.link.ANSWER_SECONDS", 0.2)
    async with linked(redis_url) as link:
        me = await link.call("CLIENT", "ID")
        with pytest.raises(RedisConnectionError):
            await link.call("BLPOP", "nothing", 0)
        assert await link.call("CLIENT", "ID") != me


async def test_nobody_is_there() -> None:
    async with linked(f"redis://127.0.0.1:{free_port()}") as link:
        with pytest.raises(RedisError):
            await link.call("PING")


async def test_a_password_and_a_unix_socket(tmp_path: Path) -> None:
    user = ("--user", "bridge", "on", ">secret", "~*", "+@all")
    with redis_server("--unixsocket", "redis.sock", *user, folder=tmp_path):
        async with linked(f"unix://bridge:secret@{tmp_path}/redis.sock?db=3") as link:
            assert await link.call("ACL", "WHOAMI") == b"bridge"
            assert b" db=3 " in await link.call("CLIENT", "INFO")
        async with linked(f"unix://bridge:wrong@{tmp_path}/redis.sock") as link:
            with pytest.raises(RedisError, match="invalid username-password"):
                await link.call("PING")


async def test_tls(tmp_path: Path) -> None:
    openssl, port = find("openssl", package="openssl"), free_port()
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    create = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    create += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    process = await asyncio.create_subprocess_exec(*create, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate)
    options = ("--tls-port", port, *files, "--tls-auth-clients", "no")
    with redis_server(*map(str, options), folder=tmp_path):
        async with linked(f"rediss://localhost:{port}?ssl_ca_certs={certificate}") as link:
            assert await link.call("ECHO", b"x" * 100_000) == b"x" * 100_000
