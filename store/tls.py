"""How a client speaks TLS with a broker or with Redis: whom it believes, and what it shows."""

from __future__ import annotations

import ssl
from typing import NamedTuple

from wire.errors import SettingsError, Unavailable

__all__ = ["Files", "context"]


class Files(NamedTuple):
    """Files of PEM: `ca`, the authority that the server's certificate has to be of (without one, those of the
    system), and what to show to the server, if anything. The key may be in the file of the certificate."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def check(self, kind: str, scheme: str, secure: bool) -> None:
        """Raises SettingsError, which names the setting, `{kind}-ca`, `{kind}-cert` or `{kind}-key`, when one can't
        be used; `secure`: whether the server's URL has the `scheme` that speaks TLS."""
        for name, path in self._asdict().items():
            if path and not secure:
                raise SettingsError.about(f"{kind}-{name}", f"is for URLs that begin with {scheme}")
        if self.key and not self.cert:
            raise SettingsError.about(f"{kind}-key", f"needs its certificate: --{kind}-cert")
        if not secure:
            return
        for name, files in (("ca", Files(self.ca)), ("cert", self)):
            try:
                context(*files)
            except Unavailable as error:
                raise SettingsError.about(f"{kind}-{name}", f"can't be used: {error}") from None


def context(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """A client's context, from `Files` as they are now.

    Raises Unavailable, which names the file, when one can't be used.
    """
    try:
        made = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise Unavailable(f"{ca}: {_reason(error)}") from None
    if certificate:
        try:
            made.load_cert_chain(certificate, key, password="")  # else it would ask the terminal for one
        except OSError as error:
            raise Unavailable(f"{' with '.join(filter(None, (certificate, key)))}: {_reason(error)}") from None
    return made


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no certificate, or not its key ({error.reason or 'not PEM'})"
    return error.strerror or str(error)
