"""The house's rule, wire ◀ store ◀ {ingest, stream} ◀ fleetwire, and wire ◀ simulator ◀ fleetwire: held by walking
every import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "wire": {"wire"},
    "store": {"wire", "store"},
    "ingest": {"wire", "store", "ingest"},
    "stream": {"wire", "store", "stream"},
    "simulator": {"wire", "simulator"},
    "fleetwire": {"wire", "store", "ingest", "stream", "simulator", "fleetwire"},
}
PURE = {"asyncio", "socket", "redis", "aiomqtt", "starlette", "uvicorn", "websockets", "subprocess", "os", "random"}


def imports(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_services_import_only_what_they_may(package: str) -> None:
    modules = list(ROOT.joinpath(package).rglob("*.py"))
    assert len(modules) >= 3
    for module in modules:
        assert imports(module) & set(ALLOWED) <= ALLOWED[package], module


def test_wire_is_pure() -> None:
    for module in ROOT.joinpath("wire").glob("*.py"):
        assert not imports(module) & PURE, module
