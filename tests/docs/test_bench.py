"""docs/how-to/bench.md: its runs are done as they stand there, its flags and fields are there."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from server.cli import main
from tests.system.load_double import open_words_server
from tests.system.server_process import environment, serving

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
PAGE = (HOW_TO / "bench.md").read_text("utf-8")
COMMANDS = re.findall(r"^antiphon bench .*$", PAGE, re.MULTILINE)
PLAIN, OWN_ADAPTER, CANCEL, UPSTREAM, FIND_RATE = COMMANDS


def test_the_pages_flags_are_there() -> None:
    shown = CliRunner().invoke(main, ["bench", "--help"]).output
    known = set(re.findall(r"--[a-z-]+", shown)) | {"--port", "--default-provider", "--data"}
    assert set(re.findall(r"--[a-z-]+[a-z]", PAGE)) <= known


async def run(command: str, folder: Path) -> str:
    """Run a command of the page in a folder; gives what it printed."""
    words = [sys.executable, "-m", "server", *shlex.split(command)[1:]]
    with trio.fail_after(60):
        done = await trio.run_process(
            words,
            cwd=folder,
            env=environment(PYTHONPATH=f"{ROOT}{os.pathsep}{HOW_TO}"),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    printed = done.stdout.decode()
    assert done.returncode == 0, printed + done.stderr.decode()
    return printed


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with serving(tmp_path / "data", sim_ttft_ms=20, sim_tokens_per_s=0) as server:
        yield server.url


@pytest.mark.system
async def test_the_runs_against_a_server(url: str, tmp_path: Path) -> None:
    """Plain with a page of plots, with cancels, and the search; each passes."""
    for command in (PLAIN, CANCEL, FIND_RATE):
        printed = await run(command.replace("http://127.0.0.1:8000", url), tmp_path)
        assert printed.rstrip().endswith("passed")
    assert "highest rate" in printed
    assert "<svg" in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.system
async def test_the_run_with_an_adapter_of_ones_own(tmp_path: Path) -> None:
    async with open_words_server() as url:
        printed = await run(OWN_ADAPTER.replace("http://127.0.0.1:8000", url), HOW_TO)
    assert "not numbered: lost and doubled ones cannot be seen" in printed


@pytest.mark.system
async def test_the_run_with_an_upstream(tmp_path: Path) -> None:
    """The tool starts the upstream and the server, and ends both."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    (tmp_path / "antiphon").write_text(f'#!/bin/sh\nexec {sys.executable} -m server "$@"\n')
    (tmp_path / "antiphon").chmod(0o755)
    command = UPSTREAM.replace("8010", str(port)).replace('"antiphon', '"./antiphon')
    printed = await run(command, tmp_path)
    assert "cancel_to_upstream_seen" in printed
