"""Credentials in a folder: who may have which, and that nothing is replaced unless it is said. The broker's opinion
of them is in tests/deploy/test_devices.py."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleetwire import passwords
from fleetwire.authority import Authority, Credential, expiry, hosts, serial
from fleetwire.device import Folder
from ingest.devices import read_roster
from tests.programs import find
from wire.errors import SettingsError


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("begun") / "certs"
    Folder(path).begin(["broker.example", "192.0.2.7", "2001:db8::7"], 825)
    return path


@pytest.fixture
def path(begun: Path, tmp_path: Path) -> Path:
    """A folder with authorities, and a broker's certificate."""
    return Path(shutil.copytree(begun, tmp_path / "certs"))


@pytest.fixture
def folder(path: Path) -> Folder:
    return Folder(path)


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def verify(path: Path, authority: str, certificate: Path, *options: str) -> str:
    """What OpenSSL says of a certificate."""
    ca, crl = path / "broker" / f"{authority}.crt", path / "broker" / f"{authority}.crl"
    command = [find("openssl", package="openssl"), "verify", "-x509_strict", "-crl_check"]
    done = subprocess.run(
        [*command, "-CAfile", ca, "-CRLfile", crl, *options, certificate],
        capture_output=True,
        timeout=20,
        check=False,
    )
    return (done.stdout + done.stderr).decode()


def test_openssl_takes_what_is_made(path: Path, folder: Folder) -> None:
    device, _ = folder.add("berlin/v1", 825, bridge=False, renew=False)
    bridge, _ = folder.add("bridge", 825, bridge=True, renew=False)
    server = path / "broker" / "server.crt"
    assert verify(path, "ca", device, "-purpose", "sslclient").endswith("OK\n")
    assert verify(path, "bridges-ca", bridge, "-purpose", "sslclient").endswith("OK\n")
    for name in (("-verify_hostname", "broker.example"), ("-verify_ip", "192.0.2.7"), ("-verify_ip", "2001:db8::7")):
        assert verify(path, "ca", server, "-purpose", "sslserver", *name).endswith("OK\n")
    # No device can be a broker, or a bridge; and no broker a device.
    assert "unsuitable certificate purpose" in verify(path, "ca", device, "-purpose", "sslserver")
    assert "unsuitable certificate purpose" in verify(path, "ca", server, "-purpose", "sslclient")
    assert "unable to get local issuer" in verify(path, "bridges-ca", device)


def test_a_certificate_has_the_name_and_its_days(folder: Folder) -> None:
    certificate, key = folder.add("berlin/v1", 90, bridge=False, renew=False)
    text = certificate.read_bytes()
    subject = subprocess.run(
        [find("openssl", package="openssl"), "x509", "-noout", "-subject"],
        input=text,
        capture_output=True,
        check=True,
    )
    assert subject.stdout.decode().strip() == "subject=CN = berlin/v1"
    assert timedelta(days=89) < expiry(text) - datetime.now(UTC) <= timedelta(days=90)
    ssl.create_default_context().load_cert_chain(certificate, key)


def test_keys_and_passwords_are_for_nobody_else(path: Path, folder: Folder) -> None:
    folder.add("berlin/v1", 1, bridge=False, renew=False)
    folder.add_password("berlin/v2", renew=False)
    secret = [*path.rglob("*.key"), path / "broker" / "passwords"]
    assert len(secret) == 5
    assert {file.stat().st_mode & 0o777 for file in secret} == {0o600}
    assert {file.stat().st_mode & 0o777 for file in path.rglob("*.cr?")} == {0o644}
    assert {file.stat().st_mode & 0o777 for file in (path, *path.rglob("*")) if file.is_dir()} == {0o700}


def test_nothing_is_replaced_unless_it_is_said(path: Path, folder: Folder) -> None:
    folder.add("berlin/v1", 1, bridge=False, renew=False)
    folder.add_password("berlin/v1", renew=False)
    before = contents(path)
    with pytest.raises(SettingsError, match=r"v1.crt is there already: --renew makes another"):
        folder.add("berlin/v1", 1, bridge=False, renew=False)
    with pytest.raises(SettingsError, match="berlin/v1 has a password already: --renew"):
        folder.add_password("berlin/v1", renew=False)
    with pytest.raises(
        SettingsError, match=r"ca.crt is there already: --renew makes a new certificate for the broker"
    ):
        folder.begin(["broker"], 1)
    (path / "devices/berlin/v1.crt").unlink()
    with pytest.raises(SettingsError, match=r"v1.key is there already"):
        folder.add("berlin/v1", 1, bridge=False, renew=False)
    assert before.items() > contents(path).items()


def test_authorities_are_not_made_anew_when_their_keys_are_kept_elsewhere(path: Path, folder: Folder) -> None:
    shutil.move(path / "authority", path.parent)
    with pytest.raises(SettingsError, match=r"ca.crt is there already"):
        folder.begin(["broker"], 1)
    with pytest.raises(SettingsError, match=r"authority/ca.key: No such file"):
        folder.add("berlin/v1", 1, bridge=False, renew=False)


def test_what_is_renewed_is_revoked(path: Path, folder: Folder) -> None:
    certificate, _ = folder.add("berlin/v1", 1, bridge=False, renew=False)
    old = Path(shutil.copy(certificate, path / "old.crt"))
    folder.add("berlin/v1", 1, bridge=False, renew=True)
    assert "certificate revoked" in verify(path, "ca", old)
    assert verify(path, "ca", certificate).endswith("OK\n")
    folder.renew(["elsewhere.example"], 1)
    assert hosts((path / "broker" / "server.crt").read_bytes()) == ["elsewhere.example"]


def test_what_is_removed_is_revoked_and_the_others_stay(path: Path, folder: Folder) -> None:
    gone = {}
    for name, bridge in (("berlin/v1", False), ("berlin/v2", False), ("bridge", True)):
        certificate, _ = folder.add(name, 1, bridge=bridge, renew=False)
        gone[name] = Path(shutil.copy(certificate, path / f"{certificate.stem}.gone"))
    kept, _ = folder.add("berlin/v3", 1, bridge=False, renew=False)
    for name in ("berlin/v2", "berlin/v3"):
        folder.add_password(name, renew=False)
    for name in gone:
        folder.remove(name)
        with pytest.raises(SettingsError, match=f"no certificate and no password of {name}"):
            folder.remove(name)
    assert "revoked" in verify(path, "ca", gone["berlin/v1"])
    assert "revoked" in verify(path, "ca", gone["berlin/v2"])
    assert "revoked" in verify(path, "bridges-ca", gone["bridge"])
    assert verify(path, "ca", kept).endswith("OK\n")
    assert passwords.names((path / "broker" / "passwords").read_text()) == ["berlin/v3"]
    folder.add("berlin/v1", 1, bridge=False, renew=False)


def test_the_list_has_all_devices_and_what_else_somebody_wrote_there(path: Path, folder: Folder) -> None:
    assert read_roster(path / "devices.txt") == (set(), set())
    folder.add("berlin/v1", 1, bridge=False, renew=False)
    folder.add_password("berlin/v2", renew=False)
    folder.add("bridge", 1, bridge=True, renew=False)
    folder.add_password("health", renew=False)
    assert read_roster(path / "devices.txt") == ({"berlin/v1", "berlin/v2"}, set())
    with (path / "devices.txt").open("a") as file:
        file.write("paris/+  # behind a gateway\n")
    folder.add("berlin/v1", 1, bridge=False, renew=True)
    folder.add_password("rome/v1", renew=False)
    folder.remove("berlin/v2")
    assert (path / "devices.txt").read_text() == "berlin/v1\nparis/+  # behind a gateway\nrome/v1\n"
    (path / "devices.txt").unlink()
    folder.remove("rome/v1")
    assert read_roster(path / "devices.txt") == ({"berlin/v1"}, set())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "berlin/",
        "/v1",
        "berlin/v1/telemetry",
        "berlin/+",
        "#",
        "+/v1",
        "a b",
        "berlin/v1\n",
        "ü/v1",
        "x" * 65,
        "..",
        ".",
        "../v1",
        "berlin/..",
        "./v1",
        "/etc/passwd",
    ],
)
def test_names_that_no_topic_and_no_folder_holds(name: str, path: Path, folder: Folder) -> None:
    before = contents(path)
    for attempt in (
        lambda: folder.add(name, 1, bridge=False, renew=True),
        lambda: folder.add(name, 1, bridge=True, renew=True),
        lambda: folder.add_password(name, renew=True),
        lambda: folder.remove(name),
    ):
        with pytest.raises(SettingsError, match="NAME"):
            attempt()
    assert contents(path.parent) == {f"certs/{name}": data for name, data in before.items()}


def test_what_a_kind_of_credential_cannot_hold(folder: Folder) -> None:
    with pytest.raises(SettingsError, match="at most 64 characters: make a --password"):
        folder.add(f"{'f' * 32}/{'v' * 32}", 1, bridge=False, renew=False)
    folder.add(f"{'f' * 31}/{'v' * 32}", 1, bridge=False, renew=False)
    with pytest.raises(SettingsError, match="can't hold a ':': make a certificate"):
        folder.add_password("berlin/urn:v1", renew=False)
    folder.add("berlin/urn:v1", 1, bridge=False, renew=False)
    with pytest.raises(SettingsError, match="a bridge's is one word"):
        folder.add("berlin/v1", 1, bridge=True, renew=False)
    with pytest.raises(SettingsError, match=r"--days: the authority itself is good until 20\d\d-"):
        folder.add("berlin/v2", 9_999, bridge=False, renew=False)
    with pytest.raises(SettingsError, match="--broker: no name or IP address: 'a b'"):
        folder.renew(["broker", "a b"], 1)


def test_an_authority_is_a_certificate_with_its_key() -> None:
    one, other = (Authority.found(name) for name in ("one", "other"))
    with pytest.raises(SettingsError, match="the key is not that of the certificate"):
        Authority(Credential(one.certificate, other.key))
    with pytest.raises(SettingsError, match="no certificate with its key"):
        Authority(Credential(b"nonsense", one.key))
    issued = Authority(one).client("v1", 1)
    assert serial(issued.certificate) != serial(Authority(one).client("v1", 1).certificate)


def test_examples_use_what_was_made(path: Path, folder: Folder) -> None:
    assert folder.example("berlin/v1", bridge=False, password=False).startswith(
        f"mosquitto_pub -h broker.example -p 8883 --cafile {path}/broker/ca.crt --cert {path}/devices/berlin/v1.crt"
    )
    assert " -p 8884 " in folder.example("berlin/v1", bridge=False, password=True)
    assert folder.example("bridge", bridge=True, password=False).startswith(
        f"fleetwire ingest --mqtt-url mqtts://broker.example:8885 --mqtt-ca {path}/broker/ca.crt"
    )
