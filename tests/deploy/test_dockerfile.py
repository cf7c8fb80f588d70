"""The Dockerfile without Docker: what it copies exists and is let through, what it installs is locked."""

from __future__ import annotations

import json
import re
import tomllib

from tests.deploy.deployed import ROOT

LINES = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(name).strip() for line in LINES if line.startswith(f"{name} ")]


def copied() -> set[str]:
    """What is copied from the folder of the project."""
    copies = [line for line in instructions("COPY") if not line.startswith("--from=")]
    return {source for line in copies for source in line.split()[:-1]}


def test_base_images_are_pinned() -> None:
    for image in instructions("FROM"):
        assert re.match(r"python:3\.\d+-slim-[a-z]+( |$)", image)


def test_what_is_copied_exists_and_is_all_that_docker_gets() -> None:
    assert all((ROOT / source).exists() for source in copied())
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied()


def test_every_package_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) | {project["project"]["readme"], "pyproject.toml"} <= copied()


def test_what_comes_from_outside_has_hashes() -> None:
    for command in instructions("RUN"):
        if "pip install" in command or "pip wheel" in command:
            assert "--require-hashes" in command or "--no-deps" in command


def test_stages_that_are_copied_from_exist() -> None:
    stages = {match[1] for image in instructions("FROM") if (match := re.search(r" AS (\w+)$", image))}
    used = {match[1] for line in instructions("COPY") if (match := re.match(r"--from=(\w+) ", line))}
    assert used == stages


def test_it_runs_fleetwire_and_not_as_root() -> None:
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["fleetwire"]
    user = instructions("USER")[-1]
    assert user.isascii()
    assert int(user.partition(":")[0]) > 0
