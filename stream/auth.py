"""Who may subscribe and publish where: JSON Web Tokens (RFC 7519), and the grants in them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import jwt

from wire.errors import CommandError, TopicError
from wire.topics import check_filter, covers

__all__ = ["Authority", "Grants", "sign"]

ALGORITHM = "HS256"


@dataclass(frozen=True)
class Grants:
    """What one client may do: filters to subscribe to and to publish to, until `expires` (epoch seconds)."""

    subscribe: tuple[str, ...]
    publish: tuple[str, ...]
    subject: str | None = None
    expires: float | None = None

    def check(self, verb: str, filter: str) -> None:
        """Raises CommandError: `unauthorized` when nothing is granted at all, `forbidden_topic` when no grant
        covers the whole filter."""
        if self.expires is not None and self.expires <= time.time():
            raise CommandError("invalid_token", "the token has expired: send authorize with a new one")
        if not self.subscribe and not self.publish:
            raise CommandError("unauthorized", "send authorize with a token first")
        granted = self.subscribe if verb == "subscribe" else self.publish
        if not any(covers(grant, filter) for grant in granted):
            raise CommandError("forbidden_topic", f"no grant to {verb} covers {filter!r}")


NOTHING = Grants((), ())
EVERYTHING = Grants(("#",), ("#",))


class Authority:
    """Reads tokens signed with one key (HS256). Without a key everyone may do everything."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    @property
    def default(self) -> Grants:
        """The grants of a client that has shown no token."""
        return NOTHING if self._key else EVERYTHING

    def grants(self, token: str) -> Grants:
        """The grants in a token: claims `sub`, `exp`, `subscribe` and `publish` (lists of filters).

        Raises CommandError, reason `invalid_token`; its text never repeats the token.
        """
        if self._key is None:
            return EVERYTHING
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM], options={"require": ["exp"]})
            return Grants(
                subscribe=_filters(claims.get("subscribe", [])),
                publish=_filters(claims.get("publish", [])),
                subject=claims.get("sub"),
                expires=float(claims["exp"]),
            )
        except (jwt.InvalidTokenError, TopicError, TypeError) as error:
            raise CommandError("invalid_token", f"the token can't be used: {error}") from None


def _filters(claim: object) -> tuple[str, ...]:
    if not isinstance(claim, list) or not all(isinstance(filter, str) for filter in claim):
        raise TypeError("subscribe and publish must be lists of topic filters")
    return tuple(check_filter(filter) for filter in claim)


def sign(key: str, subject: str, subscribe: list[str], publish: list[str], seconds: float) -> str:
    """A token that `Authority(key)` reads, good for some seconds. Raises TopicError for a bad filter."""
    claims = {
        "sub": subject,
        "exp": int(time.time() + seconds),
        "subscribe": list(_filters(subscribe)),
        "publish": list(_filters(publish)),
    }
    return jwt.encode(claims, key, ALGORITHM)
