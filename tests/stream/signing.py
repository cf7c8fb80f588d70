"""Keys and tokens for tests, of every kind."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

__all__ = ["SECRETS", "jwk", "private_pem", "public_pem", "token"]

SECRETS = ("a new secret of thirty-two bytes".replace(" ", "-"), "the-old-secret-of-thirty-two-byte")


@cache
def private(kind: str) -> Any:
    """A private key, by its algorithm; a number after it tells several apart."""
    algorithm = kind.rstrip("0123456789") if kind.startswith("EdDSA") else kind[:5]
    if algorithm == "RS256":
        return rsa.generate_private_key(65_537, 1_024 if kind.endswith("weak") else 2_048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP384R1() if kind.endswith("wide") else ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def private_pem(kind: str) -> bytes:
    """It, in PEM."""
    found: bytes = private(kind).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return found


def public_pem(kind: str) -> bytes:
    """What verifies its signatures, in PEM."""
    found: bytes = private(kind).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def jwk(kind: str, id: str | None = None, *, secret: bool = False) -> dict[str, Any]:
    """The same as an entry of a key set; `secret`: the private key itself."""
    algorithm = {"R": jwt.algorithms.RSAAlgorithm, "E": jwt.algorithms.ECAlgorithm}[kind[0]]
    if kind.startswith("EdDSA"):
        algorithm = jwt.algorithms.OKPAlgorithm  # type: ignore[assignment]
    key = private(kind)
    found: dict[str, Any] = algorithm.to_jwk(key if secret else key.public_key(), as_dict=True)
    return found if id is None else {**found, "kid": id}


def token(key: Any, algorithm: str, *, id: str | None = None, **claims: Any) -> str:
    """A token; claims that are None are left out."""
    found = {"sub": "anna", "exp": int(time.time()) + 60, "subscribe": ["fleets/a/#"], "publish": ["rooms/ops"]}
    present = {name: value for name, value in {**found, **claims}.items() if value is not None}
    return jwt.encode(present, key, algorithm, {"kid": id} if id is not None else None)
