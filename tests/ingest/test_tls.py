"""TLS to the broker: what can be set, and what happens when a file goes bad while the bridge runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleetwire.authority import Authority
from ingest.settings import Settings
from store import tls
from wire.errors import SettingsError, Unavailable


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """An authority, and a certificate of it with its key."""
    authority = Authority.found("test")
    client = Authority(authority).client("bridge", 1)
    contents = {"mqtt_ca": authority.certificate, "mqtt_cert": client.certificate, "mqtt_key": client.key}
    paths = {name: tmp_path / name for name in contents}
    for name, path in paths.items():
        path.write_bytes(contents[name])
    return {name: str(path) for name, path in paths.items()}


def settings(**changes: Any) -> Settings:
    return Settings(**{"mqtt_url": "mqtts://broker"} | changes)


def test_there_is_no_context_without_tls_and_one_with_it(files: dict[str, str]) -> None:
    assert Settings().tls is None
    assert settings().tls is not None
    context = settings(**files).tls
    assert context is not None
    assert len(context.get_ca_certs()) == 1
    both = Path(files["mqtt_cert"])
    both.write_bytes(both.read_bytes() + Path(files["mqtt_key"]).read_bytes())
    assert settings(mqtt_cert=str(both)).tls is not None


def test_what_cannot_be_used_is_named(files: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^--mqtt-ca \(FLEETWIRE_MQTT_CA\) is for URLs that begin with mqtts://"):
        Settings(mqtt_ca=files["mqtt_ca"])
    with pytest.raises(SettingsError, match=r"^--mqtt-key .* needs its certificate"):
        settings(mqtt_key=files["mqtt_key"])
    with pytest.raises(SettingsError, match=r"^--mqtt-ca .* /nowhere: No such file"):
        settings(**files | {"mqtt_ca": "/nowhere"})
    with pytest.raises(SettingsError, match=r"^--mqtt-ca .* no certificate"):
        settings(**files | {"mqtt_ca": files["mqtt_key"]})
    with pytest.raises(SettingsError, match=r"^--mqtt-cert .* with /nowhere: No such file"):
        settings(**files | {"mqtt_key": "/nowhere"})
    with pytest.raises(SettingsError, match=r"^--mqtt-cert .* no certificate, or not its key"):
        settings(**files | {"mqtt_cert": files["mqtt_ca"]})


def test_a_file_that_goes_bad_is_an_unavailable_broker(files: dict[str, str]) -> None:
    running = settings(**files)
    Path(files["mqtt_key"]).write_text("")
    with pytest.raises(Unavailable, match="mqtt_key: no certificate, or not its key"):
        _ = running.tls
    with pytest.raises(Unavailable, match="No such file"):
        tls.context("/nowhere", None, None)
