"""Runs a check of one of the .mjs files in Chromium, by Node and playwright-core."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import trio

from tests.requirements import need_chromium, need_node
from tests.system.server_process import ServerProcess, environment

HERE = Path(__file__).parent
PATIENCE_S = 90.0
"""A browser on a busy machine starts slowly."""


async def drive(server: ServerProcess, file: str, check: str, folder: Path, **given: Any) -> Any:
    """Run a check to its end, and give what it returned.

    Args:
        server: what the page is opened on.
        file: the name of the .mjs file beside this one.
        check: the check's name in there.
        folder: for what the run leaves.
        given: for the check; `width` and `scheme` are the browser's.
    """
    node, _ = need_node("playwright-core", "axe-core")
    out = folder / "result.json"
    command = [node, str(HERE / "browser.mjs"), str(HERE / file), check, server.url, str(out)]
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [*command, json.dumps(given)],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            env=environment(CHROMIUM=need_chromium()),
        )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-6000:]
    return json.loads(out.read_text())
