"""The manifest: counts, its file, and one clear line for a file that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.truth import Ledger, Manifest
from wire.errors import SettingsError


def manifest() -> Manifest:
    ledger = Ledger()
    for seq in (3, 2, 5):
        ledger.confirm("fleets/berlin/v1/telemetry", seq)
    ledger.drop("fleets/berlin/v1/telemetry")
    ledger.confirm("fleets/berlin/v2/telemetry", 1)
    ledger.drop("fleets/berlin/v3/telemetry")
    return Manifest(fleet="berlin", seed=4, qos=1, started=1_000, ended=9_000, topics=ledger.topics)


def test_counts() -> None:
    made = manifest()
    assert (made.sent, made.dropped) == (4, 2)
    count = made.topics["fleets/berlin/v1/telemetry"]
    assert (count.sent, count.first, count.last, count.dropped) == (3, 2, 5, 1)
    assert made.topics["fleets/berlin/v3/telemetry"].first == 0


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text("what was there before")
    manifest().save(path)
    assert Manifest.load(path) == manifest()
    assert json.loads(path.read_text())["version"] == 1
    assert list(tmp_path.iterdir()) == [path], "something was left behind"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 2}', "\u0000"])
def test_a_file_that_is_no_manifest(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"manifest\.json: not a manifest"):
        Manifest.load(path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    manifest().save(path)
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(SettingsError, match="version"):
        Manifest.load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.json"):
        Manifest.load(tmp_path / "none.json")
    with pytest.raises(SettingsError, match=r"none\.json"):
        manifest().save(tmp_path / "missing" / "none.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError, match="folder"):
        manifest().save(tmp_path / "folder")
