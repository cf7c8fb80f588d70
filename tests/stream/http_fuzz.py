"""schemathesis over the HTTP API of a real node, by the OpenAPI document that the node serves.

`make fuzz-http` runs it for long; `test_http_fuzz.py` for seconds.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import NamedTuple

from stream.auth import sign
from tests.client.streams import Stream, stream
from tests.programs import valkey
from tests.stream.nodes import TOPIC
from wire.reading import Reading

__all__ = ["KEY", "Run", "fuzz"]

ROOT = Path(__file__).parents[2]
KEY = "k" * 32
READING = Reading(1, {"Speed": 5.5, "Gear": "D", "On": True, "Off": None}, 7, received=9)


class Run(NamedTuple):
    """How it went: exit status, 0 when nothing was found, and what was printed."""

    status: int
    output: str


async def fuzz(node: Stream, *args: str, to: int = asyncio.subprocess.PIPE) -> Run:
    """Run schemathesis over a node, with arguments of `schemathesis run`. `to`: where its output goes."""
    await node.store.readings((TOPIC, READING))
    program = Path(sys.executable).with_name("schemathesis")
    config = Path(__file__).with_suffix(".toml")
    process = await asyncio.create_subprocess_exec(
        *(program, "--config-file", config, "run", f"{node.url}/v1/openapi.json", *args),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=to,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Run(process.returncode or 0, (output or b"").decode())


def bearer(seconds: float = 86_400) -> tuple[str, str]:
    """Arguments that show a token for everything."""
    return "--header", f"Authorization: Bearer {sign(KEY, 'anna', ['#'], ['#'], seconds)}"


async def main(args: list[str]) -> int:
    with valkey() as url:
        async with stream(url, "--jwt-key", KEY) as node:
            run = await fuzz(node, *bearer(), "--generation-database", "none", *args, to=sys.stdout.fileno())
            print(node.program.output, file=sys.stderr)
            return run.status


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
