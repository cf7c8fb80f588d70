"""Certificates of an authority that nobody knows but who is told: for the servers and clients of a test."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from fleetwire import authority

__all__ = ["Authority", "Issued"]


class Issued(NamedTuple):
    """A certificate and its key: files."""

    cert: Path
    key: Path


class Authority:
    """Certificates are put into a folder; `ca` is the authority's own, a file there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._count = 0
        credential = authority.Authority.found("Fleetwire tests")
        self._signs = authority.Authority(credential)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(credential.certificate)

    def issue(self, *hosts: str) -> Issued:
        """A certificate of a server at these names or addresses."""
        return self._written(self._signs.server(hosts, 1))

    def client(self, name: str) -> Issued:
        """A certificate of a client."""
        return self._written(self._signs.client(name, 1))

    def trusting(self) -> ssl.SSLContext:
        """Of a client that believes this authority alone."""
        return ssl.create_default_context(cafile=str(self.ca))

    def _written(self, credential: authority.Credential) -> Issued:
        self._count += 1
        issued = Issued(self._folder / f"{self._count}.pem", self._folder / f"{self._count}.key")
        issued.cert.write_bytes(credential.certificate)
        issued.key.write_bytes(credential.key)
        return issued
