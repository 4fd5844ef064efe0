"""The browser module: under Node against a real server, its types, and its declarations."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import trio

from tests.requirements import NODE_MODULES, need_node
from tests.system.server_process import environment, open_server

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "server" / "page"
PATIENCE_S = 120.0


async def run(*command: str, **variables: str) -> str:
    """Run a program to its end, which has to be a good one; gives what it printed."""
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            command,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            env=environment(**variables),
        )
    printed = done.stdout.decode(errors="replace")
    assert done.returncode == 0, printed[-6000:]
    return printed


def declarations(folder: Path) -> dict[str, str]:
    """Read the declarations of a folder, by their paths in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.d.ts")
    }


async def test_module_under_node(tmp_path: Path) -> None:
    """The module passes its own tests under Node against a real server."""
    node, _ = need_node("ws")
    env = {
        "ANTIPHON_SIM_TOKENS_PER_S": "300",
        "ANTIPHON_SIM_TTFT_MS": "30",
        "ANTIPHON_OFFLINE": "1",
    }
    async with open_server(tmp_path, env=env) as server:
        printed = await run(
            node,
            "--test",
            "--test-reporter=tap",
            str(HERE / "module" / "antiphon.test.mjs"),
            ANTIPHON_TEST_URL=server.url,
        )
    assert "# fail 0" in printed
    assert "# skipped 0" in printed


async def test_types_are_checked_and_declared(tmp_path: Path) -> None:
    """JSDoc checked by tsc, with a .d.ts that is in step with it."""
    node, _ = need_node("typescript")
    tsc = str(NODE_MODULES / "typescript" / "bin" / "tsc")
    await run(node, tsc, "--project", str(PAGE / "tsconfig.json"), "--outDir", str(tmp_path))
    made = declarations(tmp_path)
    assert "antiphon.d.ts" in made
    assert declarations(PAGE / "types") == made, "run make types"
