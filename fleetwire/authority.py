"""A certificate authority of one's own: X.509 in PEM, without files."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wire.errors import SettingsError

__all__ = ["Authority", "Credential", "expiry", "hosts", "serial"]

LIFE_DAYS = 7_300
EARLIER = timedelta(days=1)  # a device's clock may be behind
CURVE = ec.SECP256R1()  # what every TLS library has, also on small devices


class Credential(NamedTuple):
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates, and says which of them count no longer. Raises SettingsError when it is none, or its key
    is another's."""

    def __init__(self, credential: Credential) -> None:
        try:
            self._certificate = x509.load_pem_x509_certificate(credential.certificate)
            key = serialization.load_pem_private_key(credential.key, None)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"no certificate with its key: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._certificate.public_key():
            raise SettingsError("the key is not that of the certificate")
        self._key = key

    @staticmethod
    def found(name: str) -> Credential:
        """What a new authority of that name is."""
        key = ec.generate_private_key(CURVE)
        subject = _subject(name)
        builder = _certificate(subject, subject, key.public_key(), LIFE_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(sign=False), critical=True)
        return _credential(builder.sign(key, hashes.SHA256()), key)

    def client(self, name: str, days: int) -> Credential:
        """A certificate that a client shows; `name` is its common name, at most 64 characters."""
        return self._issue(name, days, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def server(self, hosts: Sequence[str], days: int) -> Credential:
        """A certificate that a server shows, which is reached by these names or IP addresses."""
        return self._issue(hosts[0][:64], days, ExtendedKeyUsageOID.SERVER_AUTH, hosts)

    def revoked(self, serials: Sequence[int] = (), before: bytes | None = None) -> bytes:
        """The list of what counts no longer (CRL, PEM): these serial numbers, and those of the list before it.

        It is good for as long as the authority is: OpenSSL lets nobody in by a list that is out of date.
        """
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._certificate.subject)
        builder = builder.last_update(now - EARLIER).next_update(self._certificate.not_valid_after_utc)
        for entry in x509.load_pem_x509_crl(before) if before else ():
            builder = builder.add_revoked_certificate(entry)
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _issue(self, name: str, days: int, purpose: x509.ObjectIdentifier, hosts: Sequence[str]) -> Credential:
        last = self._certificate.not_valid_after_utc
        if datetime.now(UTC) + timedelta(days=days) > last:
            raise SettingsError(f"--days: the authority itself is good until {last:%Y-%m-%d}")
        key = ec.generate_private_key(CURVE)
        builder = _certificate(_subject(name), self._certificate.subject, key.public_key(), days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(sign=True), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(_host, hosts)), critical=False)
        return _credential(builder.sign(self._key, hashes.SHA256()), key)


def serial(certificate: bytes) -> int:
    """A certificate's serial number."""
    return x509.load_pem_x509_certificate(certificate).serial_number


def expiry(certificate: bytes) -> datetime:
    """When a certificate ends."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def hosts(certificate: bytes) -> list[str]:
    """The names and IP addresses that a server with this certificate is reached by."""
    extensions = x509.load_pem_x509_certificate(certificate).extensions
    return [str(name.value) for name in extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    """What a key may do: `sign` a handshake, or else certificates and lists."""
    return x509.KeyUsage(
        digital_signature=sign,
        key_cert_sign=not sign,
        crl_sign=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _credential(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Credential:
    return Credential(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
