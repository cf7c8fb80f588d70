"""`make fuzz`: each target a million inputs, guided by coverage where atheris is, or one of them, or one input again.

python -m tests.fuzz [--inputs N] [--seed S] [--target T]
python -m tests.fuzz --target T --input FILE
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from random import Random

from tests.fuzz.mutation import MOST_BYTES, repeated
from tests.fuzz.target import Target, attempt
from tests.fuzz.targets import TARGETS

__all__ = ["main"]

FOUND = Path("build/fuzz")
HANG_SECONDS = 20  # for one input, by the clock
MEMORY_MB = 1_024
REPORT_SECONDS = 10.0
_PROGRESS = re.compile(r"#(\d+)\s.*cov: (\d+).*exec/s: (\d+) rss: (\d+)Mb")


def main() -> int:
    """The exit status: 1 when an input broke something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what decodes.")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for each target (default 1000000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same inputs (default 1)")
    parser.add_argument("--target", choices=sorted(TARGETS), help="only this one")
    parser.add_argument("--input", type=Path, help="give the target this file, and nothing else")
    asked = parser.parse_args()
    if asked.input:
        if not asked.target:
            parser.error("--input wants a --target")
        attempt(TARGETS[asked.target], asked.input.read_bytes())
        print(f"{asked.target} takes {asked.input}")
        return 0
    FOUND.mkdir(parents=True, exist_ok=True)
    guided = find_spec("atheris") is not None
    how = "atheris" if guided else "blind, since there is no atheris here"
    print(f"{asked.inputs:,} inputs for each target, seed {asked.seed}, {how}", flush=True)
    fuzz = _guided if guided else _blind
    broken = []
    for target in [TARGETS[asked.target]] if asked.target else TARGETS.values():
        begun = time.monotonic()
        culprit = fuzz(target, asked.inputs, asked.seed)
        outcome = f"{'BROKEN' if culprit else 'ok'} in {time.monotonic() - begun:.0f} s"
        print(f"{target.name:18} {target.decodes}: {outcome}", flush=True)
        if culprit:
            broken.append(f'make fuzz ARGS="--target {target.name} --input {shlex.quote(str(culprit))}"')
    if broken:
        print("\nagain with\n  " + "\n  ".join(broken))
    return 1 if broken else 0


def _guided(target: Target, inputs: int, seed: int) -> Path | None:
    """By libFuzzer, in a process of its own. What it finds worth keeping is kept beside the culprits."""
    kept, culprits = FOUND / "corpus" / target.name, FOUND / f"{target.name}-"
    kept.mkdir(parents=True, exist_ok=True)
    before = set(_culprits(target))
    flags = [
        *(f"-runs={inputs}", f"-seed={seed}", f"-max_len={MOST_BYTES}", f"-timeout={HANG_SECONDS}"),
        *(f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={culprits}", str(kept), str(target.corpus[0].parent)),
    ]
    command = [sys.executable, "-m", "tests.fuzz.guided", target.name, *flags]
    said: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stderr is not None
        reported = 0.0
        for line in process.stderr:
            said = [*said[-60:], line]
            found = _PROGRESS.match(line)
            if found and time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                count, coverage, rate, memory = map(int, found.groups())
                _report(target, seed, count, rate, f"coverage {coverage}, {memory} MB")
    if process.returncode == 0:
        return None
    print("".join(said), file=sys.stderr)
    return next(iter(sorted(set(_culprits(target)) - before) or _culprits(target)), culprits)


def _blind(target: Target, inputs: int, seed: int) -> Path | None:
    """In this process, where there is no atheris: without coverage, a hang is for who watches."""
    random = Random(f"{target.name} {seed}")
    pool = [file.read_bytes() for file in target.corpus]
    mutate, begun, reported = repeated(target.mutate), time.monotonic(), time.monotonic()
    for count in range(inputs):
        data = mutate(random.choice(pool), random)
        try:
            attempt(target, data)
        except BaseException as error:
            culprit = FOUND / f"{target.name}-crash-{seed}-{count}"
            culprit.write_bytes(data)
            print(f"{error!r}", file=sys.stderr)
            if isinstance(error, KeyboardInterrupt):
                raise
            return culprit
        if time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            _report(target, seed, count, round(count / (reported - begun)), "")
    return None


def _report(target: Target, seed: int, count: int, rate: int, more: str) -> None:
    print(f"{target.name:18} seed {seed}, {count:,} inputs, {rate:,}/s {more}", flush=True)


def _culprits(target: Target) -> Iterator[Path]:
    for kind in ("crash", "timeout", "oom", "slow-unit"):
        yield from FOUND.glob(f"{target.name}-{kind}-*")


if __name__ == "__main__":
    sys.exit(main())
