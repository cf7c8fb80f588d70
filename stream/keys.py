"""The keys that tokens are signed with: secrets, files and JSON Web Key Sets (RFC 7517), several at once.

A key is good for one algorithm only, which its type says: so no token can choose to be verified otherwise.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from wire.errors import CommandError
from wire.urls import shown

__all__ = ["ALGORITHMS", "FileKeys", "FixedKeys", "Key", "Keys", "UrlKeys", "algorithm_of", "is_url", "read_keys"]

log = logging.getLogger("fleetwire.stream.keys")

ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")

LEAST_RSA_BITS = 2_048
LOOK_SECONDS = 1.0  # between two looks at a file
FRESH_SECONDS = 300.0  # that a set from a URL is taken for what it is there
STALE_SECONDS = 3_600.0  # that it is used at most, when it can't be fetched anew
REST_SECONDS = 10.0  # between two fetches, whatever tokens say
FETCH_SECONDS = 5.0
MOST_BYTES = 1_000_000

_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


class Key(NamedTuple):
    """What verifies one algorithm; `id` is what tokens call it (`kid`), if they may."""

    algorithm: str
    material: Any
    id: str | None = None


class Keys(Protocol):
    """Where keys are. Raises CommandError, reason `unavailable`, when they can't be had."""

    async def find(self, algorithm: str, id: str | None) -> list[Key]:
        """Those that a token may be signed with, which says so in its header."""
        ...


class FixedKeys:
    """Keys that stay."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = keys

    async def find(self, algorithm: str, id: str | None) -> list[Key]:
        return _matching(self._keys, algorithm, id)


class FileKeys:
    """Those in a file, read again when it has changed. One that can't be read any more leaves the keys as they
    were. Raises ValueError at first, when it is no file of keys."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._stamp = self._look()
        self._keys = read_keys(self._path.read_text())
        self._due = monotonic() + LOOK_SECONDS

    async def find(self, algorithm: str, id: str | None) -> list[Key]:
        if monotonic() >= self._due:
            self._due = monotonic() + LOOK_SECONDS
            self._renew()
        return _matching(self._keys, algorithm, id)

    def _renew(self) -> None:
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._keys = read_keys(self._path.read_text())
                log.info("read %d keys of tokens from %s", len(self._keys), self._path)
        except (OSError, ValueError) as error:
            log.error("%s can't be used, the keys of tokens stay as they were: %s", self._path, error)

    def _look(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino


class UrlKeys:
    """A set at a URL, fetched when it is needed: after FRESH_SECONDS, or when a token names a key that is not in it.
    One that can't be fetched is used for STALE_SECONDS more."""

    def __init__(self, url: str, fetch: Callable[[str], str] | None = None, clock: Callable[[], float] = monotonic):
        self._url = url
        self._fetch = fetch or _fetch
        self._clock = clock
        self._keys: list[Key] = []
        self._fetched = self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, algorithm: str, id: str | None) -> list[Key]:
        if self._clock() - self._fetched >= FRESH_SECONDS:
            await self._renew()
        found = _matching(self._keys, algorithm, id)
        if not found and await self._renew():
            found = _matching(self._keys, algorithm, id)
        if self._clock() - self._fetched >= STALE_SECONDS:
            raise CommandError("unavailable", "the keys of tokens can't be fetched; try again")
        return found

    async def _renew(self) -> bool:
        """Whether it was fetched, by whoever asked first."""
        asked = self._clock()
        async with self._fetching:
            if self._fetched >= asked:
                return True
            if self._clock() - self._tried < REST_SECONDS:
                return False
            self._tried = self._clock()
            try:
                self._keys = read_keys(await asyncio.to_thread(self._fetch, self._url))
            except (OSError, ValueError) as error:
                log.error("the keys of tokens can't be fetched from %s: %s", shown(self._url), error)
                return False
            self._fetched = self._clock()
            return True


def is_url(place: str) -> bool:
    """Whether keys are to be fetched from there. Raises ValueError for a URL that nobody may trust."""
    parts = urlsplit(place)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return False
    if parts.username is not None:
        raise ValueError("public keys want no password in their URL")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("keys come by https://, or from this machine")
    return True


def read_keys(text: str) -> list[Key]:
    """The public keys in a JSON Web Key Set, or in PEM, one after the other. Those of a set that are of no use to us
    are passed over. Raises ValueError when there is none that can be used."""
    blocks = [(found[1], found[0]) for found in _PEM.finditer(text)]
    keys = [_of_pem(*block) for block in blocks] if blocks else _of_set(text)
    if not keys:
        raise ValueError("there is no key in it")
    return keys


def algorithm_of(material: Any) -> str:
    """The one algorithm that a public key is good for. Raises ValueError when there is none."""
    if isinstance(material, rsa.RSAPublicKey):
        if material.key_size < LEAST_RSA_BITS:
            raise ValueError(f"an RSA key has at least {LEAST_RSA_BITS} bits, not {material.key_size}")
        return "RS256"
    if isinstance(material, ec.EllipticCurvePublicKey) and isinstance(material.curve, ec.SECP256R1):
        return "ES256"
    if isinstance(material, ed25519.Ed25519PublicKey):
        return "EdDSA"
    raise ValueError("a key of tokens is RSA, P-256 or Ed25519, and public")


def _of_pem(label: str, block: str) -> Key:
    if label != "PUBLIC KEY":
        raise ValueError(f"it has a {label}, a node wants a PUBLIC KEY")
    try:
        material = load_pem_public_key(block.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"a key in it can't be read: {error}") from None
    return Key(algorithm_of(material), material)


def _of_set(text: str) -> list[Key]:
    try:
        entries = json.loads(text)["keys"]
        if not isinstance(entries, list):
            raise TypeError
    except (ValueError, RecursionError, KeyError, TypeError):
        raise ValueError("it is neither a JSON Web Key Set nor PEM") from None
    found = [_of_entry(entry) for entry in entries]
    keys = [key for key in found if isinstance(key, Key)]
    if not keys and found:  # else those that we can't use are for others
        raise ValueError(f"no key in it can be used: {found[0]}")
    return keys


def _of_entry(entry: Any) -> Key | str:
    """The key, or why it is none of ours."""
    try:
        if entry.get("use", "sig") != "sig":
            return "it is for encryption"
        material = jwt.PyJWK(entry).key
        id = entry.get("kid")
        return Key(algorithm_of(material), material, id if isinstance(id, str) else None)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        return str(error)


def _matching(keys: Sequence[Key], algorithm: str, id: str | None) -> list[Key]:
    return [key for key in keys if key.algorithm == algorithm and (id is None or key.id is None or key.id == id)]


class _Stay(HTTPRedirectHandler):
    """A redirect could lead away from TLS."""

    def redirect_request(self, *args: Any) -> None:
        return None


def _fetch(url: str) -> str:
    try:
        with build_opener(_Stay).open(url, timeout=FETCH_SECONDS) as response:
            body: bytes = response.read(MOST_BYTES + 1)
    except HTTPError as error:
        with error:
            raise OSError(f"{error.code} {error.reason}") from None
    except URLError as error:
        raise OSError(str(error.reason)) from None
    if len(body) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return body.decode()
