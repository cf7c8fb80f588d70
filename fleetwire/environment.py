"""Settings from the environment: `.env`, and secrets from files, as Docker and Kubernetes mount them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import find_dotenv, load_dotenv

from wire.errors import SettingsError

__all__ = ["SECRETS", "from_files", "load_environment"]

SECRETS = ("FLEETWIRE_JWT_KEY", "FLEETWIRE_MQTT_URL", "FLEETWIRE_REDIS_URL", "FLEETWIRE_TOKEN")


def load_environment() -> None:
    """Put into the environment what `.env` says, and what `FLEETWIRE_…_FILE` names. Raises SettingsError."""
    load_dotenv(find_dotenv(usecwd=True))
    os.environ.update(from_files(os.environ))


def from_files(environment: Mapping[str, str]) -> dict[str, str]:
    """The secrets whose files are named in `NAME_FILE`, without the newline at their end. Raises SettingsError, which
    names the variable, when NAME is set as well, or the file can't be read or has nothing in it."""
    found = {}
    for name in SECRETS:
        variable = f"{name}_FILE"
        if not (path := environment.get(variable)):
            continue
        if environment.get(name):
            raise SettingsError(f"{name} and {variable} are both set: which of them counts?")
        try:
            text = Path(path).read_text("utf-8").rstrip("\r\n")
        except OSError as error:
            raise SettingsError(f"{variable} can't be read: {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{variable} can't be read: {path}: it is no text") from None
        if not text:  # no key would be an open door
            raise SettingsError(f"{variable} has nothing in it: {path}")
        found[name] = text
    return found
