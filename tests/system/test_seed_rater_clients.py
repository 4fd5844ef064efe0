"""The two TypeScript clients of the rater's seed, unchanged, under Node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.requirements import need_node
from tests.seeds.reading import blocks
from tests.system.server_process import PATIENCE_S, ServerProcess, environment, open_server

pytestmark = pytest.mark.system

RUNNER = Path(__file__).parent / "node" / "typescript.cjs"
CLIENTS = {"function": 0, "service": 1}
REQUEST = json.loads(blocks(3, "json")[0])
PHASES = [
    ("context_processing", 20),
    ("evaluating", 50),
    ("generating_feedback", 75),
    ("parsing", 90),
    ("complete", 100),
]
SIM = {"ANTIPHON_SIM_TTFT_MS": "1", "ANTIPHON_SIM_TOKENS_PER_S": "0"}


async def said_by(
    server: ServerProcess, folder: Path, which: str, request: object
) -> list[tuple[str, Any]]:
    """Run a client to its end; gives what it called back."""
    node, variables = need_node("typescript", "rxjs")
    client, data = folder / "client.ts", folder / "request.json"
    client.write_text(blocks(3, "typescript")[CLIENTS[which]])
    data.write_text(json.dumps(request))
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [node, str(RUNNER), str(client), server.url, str(data), which],
            env=environment(**variables),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


async def test_function_of_the_seed(tmp_path: Path) -> None:
    """`generateRaterFeedbackWithUpdates`: all five phases in order, then the feedback."""
    need_node("typescript", "rxjs")
    async with open_server(tmp_path, env=SIM) as server:
        said = await said_by(server, tmp_path, "function", REQUEST)
        lines = [words for kind, words in said if kind == "log"]
        phases = [line[0] for line in lines if str(line[0]).startswith("Phase: ")]
        assert [text.rpartition(", Message")[0] for text in phases] == [
            f"Phase: {phase}, Progress: {percent}%" for phase, percent in PHASES
        ]
        label, data = lines[-1]
        assert label == "Rater feedback received:"
        assert data["feedback"]["opinion"]
        assert len(data["feedback"]["suggestions"]) >= 4
        assert said[-1] == ("done", None)


async def test_angular_service_of_the_seed(tmp_path: Path) -> None:
    """`StreamingService.streamRaterFeedback`: progress, one value, then complete; or an error."""
    need_node("typescript", "rxjs")
    async with open_server(tmp_path, env=SIM) as server:
        said = await said_by(server, tmp_path, "service", REQUEST)
        progress = [value for kind, value in said if kind == "progress"]
        assert [(each["phase"], each["progress"]) for each in progress] == PHASES
        assert [kind for kind, _ in said][-2:] == ["next", "done"]
        assert said[-2][1]["raterName"] == "Rater"
        said = await said_by(server, tmp_path, "service", {**REQUEST, "model": "nobody/m"})
        assert said[-1][0] == "error"
        assert said[-1][1].startswith("LLM not available")
