"""The seed's own client, unchanged but for the port, against `antiphon serve`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import trio

from tests.requirements import need_node
from tests.seeds.reading import blocks
from tests.system.server_process import PATIENCE_S, environment, open_server

pytestmark = pytest.mark.system

PRELOAD = Path(__file__).parent / "node" / "preload.cjs"
PHASES = ("prima-materia", "solutio", "coagulatio")


async def test_client_of_the_seed_under_node(tmp_path: Path) -> None:
    """A client written from the seed works unchanged: phases, chunks, completions, the result."""
    node, variables = need_node()
    [program] = blocks(1, "javascript")
    assert program.count("localhost:8080") == 1
    async with open_server(tmp_path, env={"ANTIPHON_SIM_TOKENS_PER_S": "400"}) as server:
        client = tmp_path / "client.js"
        client.write_text(program.replace("localhost:8080", f"127.0.0.1:{server.port}"))
        lines = await _printed([node, "--require", str(PRELOAD), str(client)], variables)
    assert [line for line in lines if line.startswith(("Starting phase", "Phase "))] == [
        line
        for phase in PHASES
        for line in (f"Starting phase: {phase}", f"Phase {phase} completed")
    ]
    completions = [line for line in lines if re.fullmatch(r"Prompt [0-9a-f-]{36} completed", line)]
    assert len(set(completions)) == 9
    for phase in PHASES:
        assert sum(line.startswith(f"[{phase}] Chunk received:") for line in lines) > 10
    assert sum(line.startswith("Final result: {") for line in lines) == 1
    assert not [line for line in lines if "rror" in line.split(":")[0]]


async def _printed(command: list[str], variables: dict[str, str]) -> list[str]:
    """Run the client until it has printed the result to its end; it keeps its connection open."""
    process = await trio.lowlevel.open_process(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(**variables),
    )
    assert process.stdout is not None
    printed = b""
    try:
        with trio.fail_after(PATIENCE_S):
            while b"\n}\n" not in printed:
                data = await process.stdout.receive_some(65536)
                assert data, printed.decode()
                printed += data
    finally:
        process.kill()
        with trio.move_on_after(5, shield=True):
            await process.wait()
    return printed.decode().splitlines()
