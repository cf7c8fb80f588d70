"""The browser client as one file that is not built by who uses it, and on an older Node."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.client.driven import DASHBOARD, Driven, driven, node
from tests.client.streams import stream
from tests.programs import eventually, missing
from tests.stream.nodes import Store

FLEET = "fleets/berlin/+/telemetry"
CLIENT = DASHBOARD / "client"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's one file."""
    folder = tmp_path_factory.mktemp("built")
    vite = DASHBOARD / "node_modules" / "vite" / "bin" / "vite.js"
    if not vite.exists():
        missing("the dashboard's packages are not installed: npm ci, in dashboard/")
    command = (node(), vite, "build", "--config", "client/vite.config.ts", "--outDir", folder)
    subprocess.run(command, cwd=DASHBOARD, check=True, capture_output=True)
    assert [path.name for path in folder.iterdir()] == ["fleetwire.js"]
    (folder / "package.json").write_text('{"type": "module"}')
    return folder / "fleetwire.js"


@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_the_one_file(valkey_url: str, built: Path, format: str) -> None:
    async with stream(valkey_url) as running, driven(running.url, module=built, format=format) as client:
        await works(running.store, client)


def test_an_import_does_nothing(built: Path) -> None:
    script = f"""
        const before = Object.keys(globalThis).length;
        const client = await import({str(built)!r});
        console.log(Object.keys(client).sort().join(), Object.keys(globalThis).length - before);
    """
    command = (node(), "--input-type=module", "-e", script)
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    exports = done.stdout.split()[0].split(",")
    assert {"Client", "FleetwireError", "Subscription", "connect"} <= set(exports)
    assert done.stdout.split()[1] == "0"
    assert not done.stderr


async def test_a_websocket_may_be_given(valkey_url: str) -> None:
    async with stream(valkey_url) as running, driven(running.url, WebSocket="given") as client:
        await works(running.store, client)


async def test_node_20(valkey_url: str, built: Path) -> None:
    older = shutil.which("node", path=os.defpath + os.pathsep + os.environ["PATH"])
    version = (await ran(older, "--version")).stdout if older else ""
    major = int(version[1:].split(".")[0]) if version else 0
    if older is None or not 20 <= major < 22:
        pytest.skip(f"there is no Node 20 here, but {version.strip() or 'none'}")
    program = (older, "--experimental-websocket")
    async with stream(valkey_url) as running, driven(running.url, module=built, program=program) as client:
        await works(running.store, client)
    bare = f"(await import({str(built)!r})).connect({{ url: 'ws://127.0.0.1:1' }})"
    done = await ran(older, "--input-type=module", "-e", bare)
    assert "give one as the option WebSocket" in done.stderr


def test_the_readme_shows_the_example() -> None:
    example = (CLIENT / "example.html").read_text()
    assert f"```html\n{example}```" in (CLIENT / "README.md").read_text()
    assert len(example.splitlines()) <= 40


async def test_the_script_of_the_readme_runs(valkey_url: str, tmp_path: Path) -> None:
    [script] = re.findall(r"```js\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    async with stream(valkey_url) as running:
        await running.store.numbers([1])
        path = tmp_path / "script.mjs"
        module = (CLIENT / "src" / "index.ts").as_uri()
        path.write_text(script.replace("@fleetwire/client", module).replace("http://localhost:8000", running.url))
        done = await ran(node(), path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "fleets/berlin/v1/telemetry" in done.stdout


async def ran(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A program that has ended."""
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20)


async def works(store: Store, client: Driven) -> None:
    """That things arrive."""
    told = await client.subscribe(FLEET, strategy="batch", interval=0)
    await told.begun()
    await store.numbers([1, 2])
    await eventually(lambda: [item["values"]["n"] for item in told.items(snapshot=False)] == [1, 2])
