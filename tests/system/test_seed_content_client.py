"""The usage example of the content pipeline's seed, unchanged, under Node."""

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
from tests.system.test_auth import SECRET, token

pytestmark = pytest.mark.system

RUNNER = Path(__file__).parent / "node" / "content.mjs"
NOTES = {"content_type": "MCQ", "input_text": "The heart pumps blood.", "num_questions": 2}
ENV = {
    "ANTIPHON_JWT_SECRET": SECRET,
    "ANTIPHON_SIM_TTFT_MS": "1",
    "ANTIPHON_SIM_TOKENS_PER_S": "0",
}
STAGES = [("init", 0), ("load_prompts", 10), ("generator", 30)]


async def said_by(
    server: ServerProcess, folder: Path, params: object, bearer: str = ""
) -> list[list[Any]]:
    """Run the example to its end; gives what it showed."""
    node, variables = need_node("typescript")
    [program] = blocks(2, "typescript")
    example, data = folder / "example.ts", folder / "params.json"
    example.write_text(program)
    data.write_text(json.dumps(params))
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [node, str(RUNNER), str(example), server.url, str(data), bearer],
            env=environment(**variables),
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    assert done.returncode == 0, done.stdout.decode()
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said.pop() == ["done"]
    return said


async def test_usage_example_of_the_seed(tmp_path: Path) -> None:
    """Progress by stages, the draft, the final output; an error is a toast, and nothing throws."""
    need_node("typescript")
    async with open_server(tmp_path, env=ENV) as server:
        said = await said_by(server, tmp_path, NOTES, token("ada"))
        moves = [(each[1]["stage"], each[1]["progress"]) for each in said if each[0] == "progress"]
        assert moves[: len(STAGES)] == STAGES
        percents = [percent for _, percent in moves]
        assert percents == sorted(percents)
        assert [stage for stage, _ in moves if stage not in dict(STAGES)] == [
            "formatter",
            "validator",
            "done",
        ]
        assert all(each[1]["message"] for each in said if each[0] == "progress")
        [[_, draft]] = [each for each in said if each[0] == "draft"]
        assert draft
        kind, result = said[-1]
        assert (kind, result["success"]) == ("output", True)
        assert "Question 2" in result["output"]
        assert result["metadata"]["num_questions"] == 2

        [toast] = await said_by(server, tmp_path, {**NOTES, "num_questions": 99}, token("ada"))
        assert (toast[0], toast[2]) == ("toast", "error")
        assert "num_questions" in toast[1]
        [toast] = await said_by(server, tmp_path, NOTES)
        assert (toast[0], toast[2]) == ("toast", "error")
        assert "token" in toast[1]
