"""Mosquitto's password file: a line for each user, `name:$7$iterations$salt$hash` (PBKDF2 with SHA-512)."""

from __future__ import annotations

import secrets
from base64 import b64encode
from hashlib import pbkdf2_hmac

__all__ = ["drop", "make", "names", "put"]

# Mosquitto's own figure. The broker goes through them at each connect, in its only thread; it need not be more, for
# these passwords are in no dictionary.
ITERATIONS = 101
SALT_BYTES = 12  # mosquitto takes no other length
PASSWORD_BYTES = 16


def make() -> str:
    """A password that nobody guesses: 128 bits, in hex."""
    return secrets.token_hex(PASSWORD_BYTES)


def names(text: str) -> list[str]:
    """The users of a file."""
    return [line.partition(":")[0] for line in text.splitlines() if line]


def put(text: str, name: str, password: str) -> str:
    """The file with this user, whose password replaces the one before."""
    salt = secrets.token_bytes(SALT_BYTES)
    digest = pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"{drop(text, name)}{name}:$7${ITERATIONS}${b64encode(salt).decode()}${b64encode(digest).decode()}\n"


def drop(text: str, name: str) -> str:
    """The file without this user."""
    return "".join(f"{line}\n" for line in text.splitlines() if line and line.partition(":")[0] != name)
