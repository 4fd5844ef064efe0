"""The exhibition client of the seed, unchanged but for the port, against `antiphon serve`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import trio

from tests.requirements import need_node
from tests.seeds.reading import blocks
from tests.system.server_process import PATIENCE_S, environment, open_server
from tests.system.test_exhibition import FAST, asking, submit

pytestmark = pytest.mark.system

FOLDER = Path(__file__).parent / "node"


async def test_exhibition_client_of_the_seed_under_node(tmp_path: Path) -> None:
    """Progress moves the bar, each stage shows its section, `completed` fetches the proposal."""
    node, variables = need_node()
    [program] = blocks(5, "javascript")
    assert program.count("localhost:8000") == 1
    async with open_server(tmp_path, env={**FAST, "ANTIPHON_OFFLINE": "1"}) as server:
        session_id = await submit(server, asking())
        client = tmp_path / "client.js"
        client.write_text(program.replace("localhost:8000", f"127.0.0.1:{server.port}"))
        preload = [f"--require={FOLDER / name}" for name in ("preload.cjs", "exhibition.cjs")]
        with trio.fail_after(PATIENCE_S):
            done = await trio.run_process(
                [node, *preload, str(client)],
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
                env=environment(**variables, SESSION_ID=session_id),
            )
    printed = done.stdout.decode()
    assert done.returncode == 0, printed
    lines = printed.splitlines()
    assert lines[0] == "WebSocket connected"
    assert "progress 5 The brief is complete" in lines
    for section in ("theme-section", "artists-section", "artworks-section"):
        assert lines.count(f"show {section} without hidden") == 1
    assert sum(line.startswith("card artists-grid ") for line in lines) == 15
    assert any("The Persistence of Memory by Salvador Dalí" in line for line in lines)
    assert lines[-1] == f"proposal /api/proposals/{session_id}"
    assert not [line for line in lines if line.startswith("error")]
