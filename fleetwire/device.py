"""Credentials of devices and bridges for the broker of `mosquitto/production.conf`, in a folder:

    broker/       what the broker reads: ca.crt and .crl, bridges-ca.crt and .crl, server.crt and .key, passwords
    authority/    ca.key and bridges-ca.key, whose holder can be any device, or any bridge
    devices/      FLEET/VEHICLE.crt and .key, for each device with a certificate
    bridges/      NAME.crt and .key
    devices.txt   the names of all devices that have anything, for `fleetwire ingest --devices`; other lines stay

Bridges have an authority of their own, so that no device's certificate opens their listener.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fleetwire import passwords
from fleetwire.authority import Authority, Credential, hosts, serial
from wire.errors import SettingsError, TopicError
from wire.topics import parse
from wire.urls import MqttAddress

__all__ = ["Folder"]

# The listeners of mosquitto/production.conf.
CERTIFICATE_PORT = 8883
PASSWORD_PORT = 8884
BRIDGE_PORT = 8885

COMMON_NAME = 64  # characters, says X.520
_HOST = re.compile(r"[A-Za-z0-9_*.:\-]{1,253}")


class Folder:
    """The credentials in a folder. Everything raises SettingsError when it can't be done; what is already there is
    never replaced, unless `renew` says so."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._broker = path / "broker"
        self._passwords = self._broker / "passwords"
        self._roster = path / "devices.txt"

    def begin(self, names: Sequence[str], days: int) -> list[Path]:
        """Two authorities, and a certificate for the broker, see `renew`. The files made."""
        _check_hosts(names)
        made: list[Path] = []
        with _said():
            for path in self._files("ca"):  # the key may be kept somewhere else
                self._refuse(path, "a new certificate for the broker")
            for authority, title in (("ca", "Fleetwire devices"), ("bridges-ca", "Fleetwire bridges")):
                credential = Authority.found(title)
                made += _put(*self._files(authority), credential)
                made.append(_write(self._revoked(authority), Authority(credential).revoked()))
            made += [_write(self._passwords, b""), self._list()]
        return made + self.renew(names, days)

    def renew(self, names: Sequence[str], days: int) -> list[Path]:
        """A certificate for the broker that is reached by these names or IP addresses. The files made."""
        _check_hosts(names)
        with _said():
            server = self._authority("ca").server(names, days)
            return _put(self._broker / "server.crt", self._broker / "server.key", server)

    def add(self, name: str, days: int, *, bridge: bool, renew: bool) -> tuple[Path, Path]:
        """A certificate and its key, where they are. The one that they replace is revoked."""
        certificate, key = self._place(name, bridge=bridge)
        if len(name) > COMMON_NAME:
            raise SettingsError(
                f"NAME: a certificate holds at most {COMMON_NAME} characters: make a --password instead"
            )
        with _said():
            if not renew:
                self._refuse(certificate, "another")
                self._refuse(key, "another")
            signer = "bridges-ca" if bridge else "ca"
            issued = self._authority(signer).client(name, days)
            self._revoke(certificate, signer)
            _put(certificate, key, issued)
            self._list()
        return certificate, key

    def add_password(self, name: str, *, renew: bool) -> str:
        """A user of the password file, and the password, which is nowhere else."""
        self._place(name, bridge=False)
        if ":" in name:
            raise SettingsError("NAME: mosquitto's password file can't hold a ':': make a certificate instead")
        with _said():
            text = self._passwords.read_text()
            if name in passwords.names(text) and not renew:
                raise SettingsError(f"{name} has a password already: --renew makes another")
            password = passwords.make()
            _write(self._passwords, passwords.put(text, name, password).encode())
            self._list()
        return password

    def remove(self, name: str) -> list[Path]:
        """Revoke what a device, a program or a bridge has: the files changed and deleted."""
        changed: list[Path] = []
        with _said():
            for bridge in (False, True):
                certificate, key = self._where(name, bridge=bridge)
                if certificate.exists():
                    changed.append(self._revoke(certificate, "bridges-ca" if bridge else "ca"))
                for file in (certificate, key):
                    if file.exists():
                        file.unlink()
                        changed.append(file)
            text = self._passwords.read_text()
            if name in passwords.names(text):
                changed.append(_write(self._passwords, passwords.drop(text, name).encode()))
            if not changed:
                raise SettingsError(f"NAME: {self._path} has no certificate and no password of {name}")
            changed.append(self._list(removed=name))
        return changed

    def example(self, name: str, *, bridge: bool, password: bool) -> str:
        """A command that uses a credential."""
        with _said():
            [host, *_] = hosts((self._broker / "server.crt").read_bytes())
        ca = str(self._broker / "ca.crt")
        certificate, key = map(str, self._where(name, bridge=bridge))
        if bridge:
            url = str(MqttAddress(host, BRIDGE_PORT, tls=True))
            options = ("--mqtt-url", url, "--mqtt-ca", ca, "--mqtt-cert", certificate, "--mqtt-key", key)
            return shlex.join(("fleetwire", "ingest", *options))
        port = PASSWORD_PORT if password else CERTIFICATE_PORT
        who = ("-u", name, "-P", "PASSWORD") if password else ("--cert", certificate, "--key", key)
        topic = f"fleets/{name}/telemetry" if "/" in name else "TOPIC"
        command = ("mosquitto_pub", "-h", host, "-p", str(port), "--cafile", ca, *who, "-q", "1", "-t", topic)
        return shlex.join((*command, "-m", '{"values":{"Speed":42}}'))

    def _list(self, removed: str | None = None) -> Path:
        """The list of devices with all that there are, and what else somebody wrote there; without the one that is
        removed. Of programs and bridges no readings are taken."""
        devices = self._path / "devices"
        certified = (path.relative_to(devices).with_suffix("").as_posix() for path in devices.glob("*/*.crt"))
        names = {name for name in (*certified, *passwords.names(self._passwords.read_text())) if "/" in name}
        lines = self._roster.read_text().splitlines() if self._roster.exists() else []
        listed = {line: line.partition("#")[0].strip() for line in lines}
        kept = [line for line in lines if listed[line] != removed]
        kept += sorted(names - set(listed.values()))
        return _write(self._roster, "".join(f"{line}\n" for line in kept).encode())

    def _files(self, authority: str) -> tuple[Path, Path]:
        return self._broker / f"{authority}.crt", self._path / "authority" / f"{authority}.key"

    def _revoked(self, authority: str) -> Path:
        return self._broker / f"{authority}.crl"

    def _authority(self, name: str) -> Authority:
        certificate, key = self._files(name)
        if not certificate.exists():
            raise SettingsError(f"{self._path} has no authority yet: fleetwire device init makes it")
        return Authority(Credential(certificate.read_bytes(), key.read_bytes()))

    def _revoke(self, certificate: Path, authority: str) -> Path:
        path = self._revoked(authority)
        if certificate.exists():
            gone = [serial(certificate.read_bytes())]
            _write(path, self._authority(authority).revoked(gone, path.read_bytes()))
        return path

    def _place(self, name: str, *, bridge: bool) -> tuple[Path, Path]:
        """Where a name's credential belongs, when it may have one."""
        if bridge and "/" in name:
            raise SettingsError("NAME: a bridge's is one word, without a /")
        return self._where(name, bridge=bridge)

    def _where(self, name: str, *, bridge: bool) -> tuple[Path, Path]:
        path = self._path / ("bridges" if bridge else "devices") / _checked(name)
        return path.with_name(f"{path.name}.crt"), path.with_name(f"{path.name}.key")

    def _refuse(self, path: Path, instead: str) -> None:
        if path.exists():
            raise SettingsError(f"{path} is there already: --renew makes {instead}")


def _check_hosts(names: Sequence[str]) -> None:
    for name in names:
        if not _HOST.fullmatch(name):
            raise SettingsError(f"--broker: no name or IP address: {name!r}")


def _checked(name: str) -> str:
    """The name itself, FLEET/VEHICLE or one word, when topics can hold it."""
    try:
        parse(f"fleets/{name}/telemetry" if "/" in name else f"rooms/{name}")
    except TopicError as error:
        raise SettingsError(f"NAME must be FLEET/VEHICLE, or one word: {error}") from None
    if {".", ".."} & set(name.split("/")):
        raise SettingsError("NAME: . and .. are no names of files")
    return name


@contextmanager
def _said() -> Iterator[None]:
    """What the file system refuses, in our words."""
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{error.filename}: {error.strerror}") from None


def _put(certificate: Path, key: Path, credential: Credential) -> list[Path]:
    return [_write(certificate, credential.certificate), _write(key, credential.key)]


def _write(path: Path, data: bytes) -> Path:
    """All of it or nothing; keys and passwords for nobody else to read. Under root it belongs to whom its folder
    does: the broker, or a bridge."""
    for parent in reversed(path.parents):
        parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:  # of mode 0600
        file.write(data)
    if path.suffix in (".crt", ".crl", ".txt"):
        Path(file.name).chmod(0o644)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        shutil.chown(file.name, owner.st_uid, owner.st_gid)
    return Path(file.name).replace(path)
