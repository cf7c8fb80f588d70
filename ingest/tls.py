"""How the bridge speaks TLS with the broker."""

from __future__ import annotations

import ssl

from wire.errors import Unavailable

__all__ = ["context"]


def context(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """A client's context, from files of PEM as they are now: `ca`, the authority that the broker's certificate has to
    be of (without one, those of the system), and what to show to the broker, if anything. The key may be in the file
    of the certificate.

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
