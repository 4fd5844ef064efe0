"""Runs a check of one of the .mjs files in Chromium, by Node and playwright-core."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from engine.testing.openai_server import open_openai_server
from tests.requirements import need_chromium, need_node
from tests.system.server_process import Message, ServerProcess, environment, open_server

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


@asynccontextmanager
async def answering(folder: Path, text: str) -> AsyncIterator[ServerProcess]:
    """Run a server whose model writes this text."""

    def answer(_: Message) -> str:
        return text

    (folder / "antiphon.toml").write_text('[providers.openai]\napi = "chat"\n')
    async with open_openai_server(answer=answer) as upstream:
        env = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": "sk-test-page"}
        async with open_server(folder, env=env, demo=False) as server:
            yield server
