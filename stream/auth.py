"""Who somebody is: JSON Web Tokens (RFC 7519), and the grants in them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from stream.grants import EVERYTHING, NOTHING, Grants, Quota
from stream.keys import ALGORITHMS, Key, Keys, algorithm_of
from wire.errors import CommandError, TopicError
from wire.topics import check_filter

__all__ = ["Authority", "claims", "sign", "sign_with", "sign_with_secret"]

LEEWAY_SECONDS = 10  # that the clock of who signs may be ahead of ours
MOST_BYTES = 16_384


class Authority:
    """Reads tokens that any of some keys has signed. Without keys everyone may do everything.

    `audience`: what tokens must be for (`aud`); without it, one that says whom it is for is refused. `issuer`: who
    must have made them (`iss`).
    """

    def __init__(self, keys: Sequence[Keys], audience: str | None = None, issuer: str | None = None) -> None:
        self._keys = keys
        self._audience = audience
        self._issuer = issuer

    @property
    def open(self) -> bool:
        """Whether it wants no tokens."""
        return not self._keys

    @property
    def default(self) -> Grants:
        """The grants of a client that has shown no token."""
        return EVERYTHING if self.open else NOTHING

    async def grants(self, token: str) -> Grants:
        """The grants in a token.

        Raises CommandError: `invalid_token`, whose text never repeats the token; `unavailable` when the keys are
        away.
        """
        if self.open:
            return EVERYTHING
        try:
            if len(token) > MOST_BYTES:
                raise jwt.InvalidTokenError(f"it has more than {MOST_BYTES} bytes")
            return _grants(await self._verified(token))
        except (jwt.PyJWTError, TopicError, msgspec.ValidationError) as error:
            raise CommandError("invalid_token", f"the token can't be used: {error}") from None
        except (ValueError, TypeError, RecursionError, OverflowError):  # what PyJWT does not expect
            raise CommandError("invalid_token", "the token can't be used: it is none") from None

    async def _verified(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm, id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError(f"it is signed by none of {', '.join(ALGORITHMS)}")
        for keys in self._keys:
            for key in await keys.find(algorithm, id):
                try:
                    return self._decode(token, key)
                except jwt.InvalidSignatureError:
                    continue
        raise jwt.InvalidSignatureError("no key of ours has signed it")

    def _decode(self, token: str, key: Key) -> dict[str, Any]:
        required = ["exp", *(["aud"] if self._audience else []), *(["iss"] if self._issuer else [])]
        found: dict[str, Any] = jwt.decode(
            token,
            key.material,
            algorithms=[key.algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": required},
        )
        return found


class _Claims(Struct):
    exp: float
    sub: str | None = None
    subscribe: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    signals: tuple[str, ...] | None = None
    limits: Quota = Quota()


def _grants(found: dict[str, Any]) -> Grants:
    read = msgspec.convert(found, _Claims)
    if read.exp <= time.time():
        raise jwt.ExpiredSignatureError("it has expired")
    return Grants(
        subscribe=tuple(map(check_filter, read.subscribe)),
        publish=tuple(map(check_filter, read.publish)),
        signals=read.signals,
        subject=read.sub,
        expires=read.exp,
        limits=read.limits,
    )


def claims(
    subject: str,
    subscribe: Sequence[str],
    publish: Sequence[str],
    seconds: float,
    *,
    signals: Sequence[str] | None = None,
    **others: Any,
) -> dict[str, Any]:
    """The claims of a token that is good for some seconds. Raises TopicError for a bad filter."""
    found = {
        "sub": subject,
        "exp": int(time.time() + seconds),
        "subscribe": list(map(check_filter, subscribe)),
        "publish": list(map(check_filter, publish)),
        "signals": None if signals is None else list(signals),
        **others,
    }
    return {name: value for name, value in found.items() if value is not None}


def sign(key: str, subject: str, subscribe: Sequence[str], publish: Sequence[str], seconds: float) -> str:
    """A token with such claims, signed with a secret. Raises TopicError for a bad filter."""
    return sign_with_secret(key, claims(subject, subscribe, publish, seconds))


def sign_with_secret(key: str, found: dict[str, Any]) -> str:
    """A token with some claims, signed with a secret (HS256)."""
    return jwt.encode(found, key, "HS256")


def sign_with(pem: bytes, found: dict[str, Any], id: str | None = None) -> str:
    """A token with some claims, signed with a private key in PEM: RS256, ES256 or EdDSA, as the key is. `id`: what it
    calls the key (`kid`). Raises ValueError for what is no such key."""
    try:
        key: Any = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise ValueError(str(error)) from None
    return jwt.encode(found, key, algorithm_of(key.public_key()), {"kid": id} if id is not None else None)
