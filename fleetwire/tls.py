"""TLS at our own door: a certificate and its key, in files that may be replaced while they are in use."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from wire.errors import SettingsError

__all__ = ["Certificate", "Files", "files"]


class Files(NamedTuple):
    """Where a certificate (the chain, the server's own first) and its private key are: PEM."""

    cert: str
    key: str


def files(cert: str | None, key: str | None) -> Files | None:
    """The two as they were set; None without TLS. Raises SettingsError when one of them is missing."""
    if cert and key:
        return Files(cert, key)
    if cert or key:
        missing = "tls-key" if cert else "tls-cert"
        raise SettingsError.about(missing, "is needed too: TLS takes a certificate and its key")
    return None


class Certificate:
    """What a server shows, and with it speaks TLS 1.2 or 1.3.

    Raises SettingsError, which names the setting, when a file can't be read or used.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.context = _context(files)

    def reload(self) -> None:
        """From now on show what is in the files now. Raises SettingsError, and goes on with what it has, when that
        can't be used."""
        _context(self._files)  # one that has failed halfway can't be used any more
        self.context.load_cert_chain(*self._files, password=_locked)


def _context(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a handshake is dear, and one is enough
    context.set_alpn_protocols(["http/1.1"])
    for name, path in zip(("tls-cert", "tls-key"), files, strict=True):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise SettingsError.about(name, f"can't be read: {path}: {error.strerror}") from None
    try:
        context.load_cert_chain(*files, password=_locked)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError.about("tls-key", f"is not the key of {files.cert}: {files.key}") from None
        raise SettingsError.about("tls-cert", f"and its key must be PEM: {files.cert}, {files.key}") from None
    return context


def _locked() -> str:
    raise SettingsError.about("tls-key", "must have no passphrase: nobody is there to say it")
