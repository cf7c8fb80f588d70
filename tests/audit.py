"""`make audit`: known holes in what the lock files name, by pip-audit (OSV) and npm audit.

Both ask somebody else. Where nobody answers, that is said, and is no failure: what can be told offline is in
`tests/test_locks.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Outcome", "main", "of_npm_audit", "of_pip_audit"]

PIP_AUDIT = ("uv", "tool", "run", "--quiet", "pip-audit>=2.10,<3")
SECONDS = 300


class Outcome(NamedTuple):
    """What is known against what was looked at: a line a hole. None: nobody answered."""

    holes: list[str] | None


def main() -> int:
    """The exit status: 1 when there is a hole."""
    bin = Path(sys.executable).parent
    status = 0
    for lock in ("requirements.lock", "requirements-dev.lock"):
        command = (bin / PIP_AUDIT[0], *PIP_AUDIT[1:], "-s", "osv", "--disable-pip", "--require-hashes", "-r", lock)
        status |= _tell(lock, of_pip_audit(_report(*command, "-f", "json", "--progress-spinner", "off")))
    command = (bin / "npm", "--prefix", "dashboard", "audit", "--json")
    status |= _tell("dashboard/package-lock.json", of_npm_audit(_report(*command)))
    return status


def of_pip_audit(report: Any) -> Outcome:
    """From its JSON, or from whatever else it has said."""
    if not isinstance(report, dict) or "dependencies" not in report:
        return Outcome(None)
    return Outcome(
        [
            f"{found['name']} {found['version']}: {hole['id']}, gone in {', '.join(hole['fix_versions']) or 'none'}"
            for found in report["dependencies"]
            for hole in found.get("vulns", ())
        ]
    )


def of_npm_audit(report: Any) -> Outcome:
    """From its JSON, or from whatever else it has said."""
    if not isinstance(report, dict) or "vulnerabilities" not in report:
        return Outcome(None)
    return Outcome([f"{name}: {hole['severity']}" for name, hole in report["vulnerabilities"].items()])


def _report(*command: str | Path) -> Any:
    """The JSON that a command writes; None when it writes none."""
    try:
        said = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).stdout
        return json.loads(said)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _tell(what: str, outcome: Outcome) -> int:
    if outcome.holes is None:
        print(f"{what}: NOT LOOKED AT, since nobody answered who would know (is there a way to the internet?)")
    elif outcome.holes:
        print(f"{what}: {len(outcome.holes)} known holes", *outcome.holes, sep="\n  ")
    else:
        print(f"{what}: no known holes")
    return int(bool(outcome.holes))


if __name__ == "__main__":
    sys.exit(main())
