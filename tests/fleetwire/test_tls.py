"""A node that speaks TLS itself: to whom, with what, and what is said of a certificate that can't be used."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from fleetwire.tls import Certificate, files
from tests.authority import Authority, Issued
from tests.programs import Program, eventually, fleetwire, free_port, wait_for_port
from wire.errors import SettingsError


class Node(NamedTuple):
    """A node whose port speaks TLS, with certificate and key in `shown`."""

    program: Program
    port: int
    shown: Issued
    authority: Authority

    def http(self) -> httpx.AsyncClient:
        """A client that knows the authority."""
        return httpx.AsyncClient(base_url=f"https://127.0.0.1:{self.port}", verify=self.authority.trusting())

    async def serial(self) -> int:
        """The number of the certificate that the node shows."""
        pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", self.port))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number


def serial(issued: Issued) -> int:
    return x509.load_pem_x509_certificate(issued.cert.read_bytes()).serial_number


WORKERS = ["1", "2"]


@pytest.fixture
def node(request: pytest.FixtureRequest, valkey_url: str, tmp_path: Path) -> Iterator[Node]:
    """A node; of so many workers as the test says."""
    authority, port = Authority(tmp_path), free_port()
    shown = authority.issue("127.0.0.1")
    args = ("--port", str(port), "--redis-url", valkey_url, "--workers", getattr(request, "param", "1"))
    with fleetwire("stream", *args, *flags(shown)) as program:
        wait_for_port(program, port)
        yield Node(program, port, shown, authority)


def flags(issued: Issued) -> tuple[str, ...]:
    return ("--tls-cert", str(issued.cert), "--tls-key", str(issued.key))


@pytest.mark.parametrize("node", WORKERS, indirect=True)
async def test_https_and_wss_are_spoken_and_the_program_s_own_client_speaks_them(node: Node) -> None:
    async with node.http() as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
    url = f"wss://127.0.0.1:{node.port}"
    async with connect(f"{url}/v1/stream", ssl=node.authority.trusting()) as socket:
        await socket.send('{"action":"ping","requestId":"1"}')
        assert '"ping"' in str(await socket.recv())
        with fleetwire("watch", "rooms/x", "--raw", "--url", url) as stranger:
            assert await asyncio.to_thread(stranger.wait, 20) == 2
            assert "certificate verify failed" in stranger.output
        with fleetwire(
            "watch", "rooms/x", "--raw", "--url", url, env={"SSL_CERT_FILE": str(node.authority.ca)}
        ) as client:

            async def told() -> bool:
                await socket.send('{"action":"publish","requestId":"2","topic":"rooms/x","data":1}')
                return '"data":1' in client.output

            await eventually(told, 20)
        node.program.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert await asyncio.to_thread(node.program.wait) == 0
    assert "Traceback" not in node.program.output


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_neither_old_tls_nor_none_is_spoken(node: Node) -> None:
    old = node.authority.trusting()
    old.minimum_version, old.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    async with httpx.AsyncClient(verify=old) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(f"https://127.0.0.1:{node.port}/healthz")
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"http://127.0.0.1:{node.port}/healthz")
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(20)]  # and hold up nobody
    try:
        async with node.http() as http:
            assert (await http.get("/healthz")).status_code == 200
    finally:
        for connection in silent:
            connection.close()
    assert "Traceback" not in node.program.output


@pytest.mark.parametrize("node", WORKERS, indirect=True)
async def test_a_new_certificate_is_taken_without_a_restart_and_a_bad_one_is_not(node: Node) -> None:
    async with node.http() as http:  # who is connected stays
        assert (await http.get("/healthz")).status_code == 200
        assert await node.serial() == serial(node.shown)
        renewed = node.authority.issue("127.0.0.1")
        for new, used in zip(renewed, node.shown, strict=True):
            shutil.copy(new, used)
        node.program.signal(signal.SIGHUP)
        await eventually(lambda: "the certificate was read anew" in node.program.output)
        await eventually(lambda: shows(node, serial(renewed)))
        node.shown.key.write_bytes(node.authority.issue("127.0.0.1").key.read_bytes())
        node.program.signal(signal.SIGHUP)
        await eventually(lambda: "the certificate stays as it was: --tls-key" in node.program.output)
        assert await node.serial() == serial(renewed)
        assert (await http.get("/healthz")).status_code == 200


async def shows(node: Node, number: int) -> bool:
    """Whether whoever answers shows it, of several workers all."""
    return {await node.serial() for _ in range(8)} == {number}


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("cert", None, "--tls-key (FLEETWIRE_TLS_KEY) is needed too"),
        (None, "key", "--tls-cert (FLEETWIRE_TLS_CERT) is needed too"),
        ("nowhere", "key", "--tls-cert (FLEETWIRE_TLS_CERT) can't be read: {nowhere}: No such file"),
        ("cert", "nowhere", "--tls-key (FLEETWIRE_TLS_KEY) can't be read: {nowhere}: No such file"),
        ("cert", "other", "--tls-key (FLEETWIRE_TLS_KEY) is not the key of {cert}: {other}"),
        ("cert", "locked", "--tls-key (FLEETWIRE_TLS_KEY) must have no passphrase"),
        ("key", "cert", "--tls-cert (FLEETWIRE_TLS_CERT) and its key must be PEM"),
        ("empty", "key", "--tls-cert (FLEETWIRE_TLS_CERT) and its key must be PEM"),
    ],
)
def test_what_is_wrong_is_said(cert: str | None, key: str | None, said: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued, other = authority.issue("127.0.0.1"), authority.issue("127.0.0.1")
    locked = tmp_path / "locked.key"
    plain = load_pem_private_key(issued.key.read_bytes(), None)
    locked.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    (tmp_path / "empty").touch()
    paths = {
        "cert": issued.cert, "key": issued.key, "other": other.key, "locked": locked,
        "nowhere": tmp_path / "nowhere", "empty": tmp_path / "empty",
    }  # fmt: skip
    with pytest.raises(SettingsError) as error:
        found = files(*(str(paths[name]) if name else None for name in (cert, key)))
        assert found is not None
        Certificate(found)
    assert str(error.value).startswith(said.format(**paths))
