"""The lock files: each thing at one version, with its hashes, and all that pyproject.toml asks for; and what `make
audit` makes of a report."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.audit import Outcome, of_npm_audit, of_pip_audit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = {
    "requirements.lock": PROJECT["dependencies"],
    "requirements-dev.lock": [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]],
}


def locked(name: str) -> list[tuple[Requirement, list[str]]]:
    """What a lock file names, with the hashes."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    hashes = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
    return [(Requirement(line.split(" --hash")[0]), hashes.findall(line)) for line in lines]


@pytest.mark.parametrize("name", ASKED)
def test_everything_is_at_one_version_and_has_hashes(name: str) -> None:
    for requirement, hashes in locked(name):
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert hashes, requirement


@pytest.mark.parametrize("name", ASKED)
def test_what_the_project_asks_for_is_locked_at_a_version_that_it_takes(name: str) -> None:
    versions: dict[str, list[str]] = {}
    for requirement, _ in locked(name):
        versions.setdefault(canonicalize_name(requirement.name), []).append(str(requirement.specifier)[2:])
    for asked in map(Requirement, ASKED[name]):
        found = versions.get(canonicalize_name(asked.name), [])
        assert found, f"make lock: {asked} is not in {name}"
        assert all(asked.specifier.contains(version, prereleases=True) for version in found), f"make lock: {asked}"


def test_what_runs_in_production_is_what_was_tested() -> None:
    tested = {str(requirement) for requirement, _ in locked("requirements-dev.lock")}
    runs = {str(requirement) for requirement, _ in locked("requirements.lock")}
    assert not {name for name in runs if name.partition(";")[0] not in {t.partition(";")[0] for t in tested}}


def test_what_the_dashboard_is_built_from_has_hashes() -> None:
    packages = json.loads((ROOT / "dashboard/package-lock.json").read_text())["packages"]
    for path, package in packages.items():
        ours = not path.startswith("node_modules/") or package.get("link")
        assert ours or package["integrity"].startswith("sha512-"), path


def test_a_report_says_what_is_known_or_that_nobody_answered() -> None:
    hole = {"id": "GHSA-1", "fix_versions": ["2.0"], "description": "…"}
    packages = [{"name": "a", "version": "1.0", "vulns": [hole]}, {"name": "b", "version": "1", "vulns": []}]
    assert of_pip_audit({"dependencies": packages}) == Outcome(["a 1.0: GHSA-1, gone in 2.0"])
    assert of_pip_audit({"dependencies": []}) == Outcome([])
    assert of_npm_audit({"vulnerabilities": {"a": {"severity": "high"}}}) == Outcome(["a: high"])
    assert of_npm_audit({"vulnerabilities": {}}) == Outcome([])
    for nothing in (None, {"error": {"code": "ENOAUDIT"}}, []):
        assert of_pip_audit(nothing) == of_npm_audit(nothing) == Outcome(None)
