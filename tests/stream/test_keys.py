"""The keys of tokens: files and sets, changed while the node runs, and what is no key."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stream import keys
from stream.auth import Authority
from stream.keys import FileKeys, FixedKeys, Key, UrlKeys, is_url, read_keys
from tests.stream.signing import SECRETS, jwk, private, public_pem, token
from wire.errors import CommandError


def algorithms(text: str) -> list[str]:
    return [key.algorithm for key in read_keys(text)]


def in_a_set(*entries: Any) -> str:
    return json.dumps({"keys": entries})


async def reason(authority: Authority, shown: str) -> str | None:
    try:
        await authority.grants(shown)
    except CommandError as error:
        return "repeated" if shown in str(error) else error.reason
    return None


def test_a_key_is_good_for_one_algorithm() -> None:
    kinds = ("RS256", "ES256", "EdDSA")
    assert algorithms("\n".join(public_pem(kind).decode() for kind in kinds)) == list(kinds)
    assert algorithms(in_a_set(*map(jwk, kinds))) == list(kinds)


def test_what_is_of_no_use_in_a_set_is_passed_over() -> None:
    others = [
        jwk("RS256") | {"use": "enc"},
        jwk("ES256wide"),
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "oct"},
        {"kty": "new"},
        7,
    ]
    assert algorithms(in_a_set(*others, jwk("EdDSA"))) == ["EdDSA"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "neither"),
        ("[]", "neither"),
        ("[" * 100_000, "neither"),
        ('{"keys": 7}', "neither"),
        ('{"keys": []}', "no key in it"),
        ('{"keys": [7]}', "no key in it can be used"),
        (in_a_set({"kty": "oct", "k": "c2VjcmV0"}), "no key in it can be used"),
        (in_a_set(jwk("RS256weak")), "2048 bits, not 1024"),
        (public_pem("RS256weak").decode(), "2048 bits, not 1024"),
        (public_pem("ES256wide").decode(), "RSA, P-256 or Ed25519"),
        (in_a_set(jwk("ES256", secret=True)), "and public"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "a node wants a PUBLIC KEY"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "can't be read"),
    ],
)
def test_what_is_no_key_is_told(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_keys(text)


async def test_secrets_are_changed_with_two_at_once() -> None:
    authority = Authority([FixedKeys([Key("HS256", secret.encode()) for secret in SECRETS])])
    assert [await reason(authority, token(secret, "HS256")) for secret in (*SECRETS, "x" * 32)] == [
        None, None, "invalid_token",
    ]  # fmt: skip


async def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LOOK_SECONDS", 0)
    path = tmp_path / "keys.pem"
    path.write_bytes(public_pem("EdDSA"))
    authority = Authority([FileKeys(str(path))])
    first, second = token(private("EdDSA"), "EdDSA"), token(private("EdDSA2"), "EdDSA")
    assert [await reason(authority, shown) for shown in (first, second)] == [None, "invalid_token"]

    def put(text: str) -> None:
        new = tmp_path / "new"
        new.write_text(text)
        new.replace(path)

    put(in_a_set(jwk("EdDSA2", "two")))
    assert [await reason(authority, shown) for shown in (first, second)] == ["invalid_token", None]
    put("nonsense")
    assert [await reason(authority, shown) for shown in (first, second)] == ["invalid_token", None]
    path.unlink()
    assert await reason(authority, second) is None
    put(public_pem("EdDSA").decode())
    assert [await reason(authority, shown) for shown in (first, second)] == [None, "invalid_token"]


async def test_a_token_may_say_which_key_it_is() -> None:
    found = [Key("EdDSA", private(kind).public_key(), id) for kind, id in (("EdDSA", "one"), ("EdDSA2", "two"))]
    authority = Authority([FixedKeys(found)])
    shown = [token(private("EdDSA2"), "EdDSA", id=id) for id in (None, "two", "one", "three")]
    assert [await reason(authority, each) for each in shown] == [None, None, "invalid_token", "invalid_token"]


class Issuer:
    """A server of a key set."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0
        self.status, self.body = 200, ""


@contextmanager
def issuing() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            self.send_response(issuer.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(issuer.body.encode())

        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuer(f"http://127.0.0.1:{server.server_port}/jwks.json")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_set_is_fetched_when_it_is_needed() -> None:
    clock = Clock()
    with issuing() as issuer:
        authority = Authority([UrlKeys(issuer.url, clock=clock)])
        issuer.body = in_a_set(jwk("EdDSA", "one"))
        first, second = token(private("EdDSA"), "EdDSA", id="one"), token(private("EdDSA2"), "EdDSA", id="two")
        assert await asyncio.gather(*(reason(authority, first) for _ in range(5))) == [None] * 5
        assert issuer.asked == 1
        # A new key is known at once, but nobody makes the node ask all the time.
        issuer.body = in_a_set(jwk("EdDSA", "one"), jwk("EdDSA2", "two"))
        assert await reason(authority, second) == "invalid_token"
        clock.now += keys.REST_SECONDS
        assert await reason(authority, second) is None
        assert issuer.asked == 2
        # One that is taken back is gone after a while.
        issuer.body = in_a_set(jwk("EdDSA2", "two"))
        assert await reason(authority, first) is None
        clock.now += keys.FRESH_SECONDS
        assert [await reason(authority, shown) for shown in (first, second)] == ["invalid_token", None]
        # Who issues them may be away for an hour.
        for issuer.status, issuer.body in ((500, ""), (302, ""), (200, "nonsense"), (200, "x" * 1_000_001)):
            clock.now += keys.FRESH_SECONDS
            assert await reason(authority, second) is None
        clock.now += keys.STALE_SECONDS
        assert await reason(authority, second) == "unavailable"
        asked = issuer.asked
        assert await reason(authority, second) == "unavailable"
        assert issuer.asked == asked
        issuer.status, issuer.body = 200, in_a_set(jwk("EdDSA2", "two"))
        clock.now += keys.REST_SECONDS
        assert await reason(authority, second) is None


async def test_keys_that_were_never_there_are_unavailable() -> None:
    with issuing() as issuer:
        url = issuer.url
    assert await reason(Authority([UrlKeys(url)]), token(private("EdDSA"), "EdDSA")) == "unavailable"


@pytest.mark.parametrize("url", ["http://id.example/jwks", "https://user:pass@id.example/jwks"])
def test_a_url_that_nobody_may_trust_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"https://, or from this machine|no password"):
        is_url(url)


def test_what_is_a_url() -> None:
    assert is_url("https://id.example/jwks.json")
    assert is_url("http://127.0.0.1:8080/jwks.json")
    assert not is_url("/etc/keys.pem")
    assert not is_url("keys.pem")
