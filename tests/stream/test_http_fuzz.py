"""A short run of schemathesis over the HTTP API of real nodes; `make fuzz-http` is the long one."""

from __future__ import annotations

from tests.client.streams import stream
from tests.stream.http_fuzz import KEY, Run, bearer, fuzz

BRIEF = ("--no-color", "--generation-deterministic", "--max-examples", "10")
# Without a key nothing is said of tokens; what is at the edges of a schema is tried with one.
OPEN = ("--phases", "fuzzing", "--generation-with-security-parameters", "false", "--exclude-checks", "ignored_auth")


def check(found: Run, log: str) -> None:
    """Nothing was found, and nothing surprised the node."""
    assert found.status == 0, found.output
    assert "Traceback" not in log, log
    assert " ERROR " not in log, log


async def test_a_node_that_wants_tokens(valkey_url: str) -> None:
    async with stream(valkey_url, "--jwt-key", KEY) as node:
        check(await fuzz(node, *bearer(), *BRIEF), node.program.output)


async def test_a_node_for_everybody(valkey_url: str) -> None:
    async with stream(valkey_url) as node:
        check(await fuzz(node, *BRIEF, *OPEN), node.program.output)
