"""The commands as a user runs them: output, exit codes, Ctrl-C, bad settings."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.system.server_process import environment, open_server

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
FAST = {"ANTIPHON_SIM_TOKENS_PER_S": "0", "ANTIPHON_SIM_TTFT_MS": "0"}
SLOW = {"ANTIPHON_SIM_TOKENS_PER_S": "20", "ANTIPHON_SIM_OUTPUT_TOKENS": "2000"}
TIDES = ("generate", "Explain tides", "--phases", "idea", "--count", "1")
PATIENCE_S = 30.0


class Ended:
    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.out, self.err = code, out.decode(), err.decode()


async def run(folder: Path, *words: str, **variables: str) -> Ended:
    """Run a command to its end."""
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            [sys.executable, "-m", "server", *words],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=folder,
            env=environment(PYTHONPATH=str(ROOT), **variables),
        )
    ended = Ended(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in ended.err, ended.err
    assert "Warning" not in ended.err, ended.err
    return ended


# ---- generate ------------------------------------------------------------------------------------


async def test_generate_in_this_process(tmp_path: Path) -> None:
    """Plain lines in a pipe: a line for each phase and prompt, then the result; exit code 0."""
    ended = await run(tmp_path, *TIDES, **FAST)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[:2] == ["phase prima-materia", "  Prompt 1 of 1 completed"]
    assert re.fullmatch(r"== 1\. score 0\.\d\d", lines[3])
    assert "tides" in ended.out
    assert "\x1b" not in ended.out


async def test_generate_on_a_server(tmp_path: Path) -> None:
    """With `--url` or ANTIPHON_URL a running server is used, and the output is the same."""
    async with open_server(tmp_path, env=FAST) as server:
        by_flag = await run(tmp_path, *TIDES, "--url", server.url)
        by_variable = await run(tmp_path, *TIDES, ANTIPHON_URL=server.url)
    here = await run(tmp_path, *TIDES, **FAST)
    assert by_flag.code == by_variable.code == here.code == 0
    assert by_flag.out == by_variable.out == here.out


@pytest.mark.parametrize("where", ["here", "on a server"])
async def test_generate_in_json(tmp_path: Path, where: str) -> None:
    """JSON lines with `--json`: the wire's own messages."""
    async with open_server(tmp_path, env=FAST) as server:
        flags = () if where == "here" else ("--url", server.url)
        ended = await run(tmp_path, *TIDES, "--json", *flags, **FAST)
    messages = [json.loads(line) for line in ended.out.splitlines()]
    assert (ended.code, ended.err) == (0, "")
    assert [m["type"] for m in messages if m["type"] != "chunk"] == [
        "phase_start",
        "prompt_complete",
        "phase_complete",
        "result",
    ]
    assert messages[0].get("first_seq", messages[0]["seq"]) == 1
    assert json.loads(messages[-1]["content"])["prompts"]


async def test_generate_with_everything(tmp_path: Path) -> None:
    """All its options together."""
    flags = ("--count", "2", "--parallel", "--auto-select", "--provider", "simulated")
    words = ("generate", "Explain tides", *flags, "--model", "fast", "--json")
    ended = await run(tmp_path, *words, **FAST)
    result = json.loads(json.loads(ended.out.splitlines()[-1])["content"])
    assert len(result["prompts"]) == 6
    assert {prompt["model"] for prompt in result["prompts"]} == {"fast (simulated)"}
    assert result["selected"]["prompt_id"]


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--count", "0"), 1, "antiphon: count must be at least 1, got 0 (invalid_request)"),
        (("--count", "101"), 1, "antiphon: count cannot exceed 100, got 101 (invalid_request)"),
        (("--phases", "idea,nigredo"), 1, 'unknown phase "nigredo"'),
        (
            ("--provider", "nobody"),
            1,
            "antiphon: Failed to get provider: provider not found (provider_not_found)",
        ),
        (("--provider", "openai"), 1, "set OPENAI_API_KEY) (provider_not_configured)"),
        (("--url", "http://127.0.0.1:1"), 1, "antiphon: http://127.0.0.1:1 cannot be reached"),
        (("--url", "nonsense"), 2, "ANTIPHON_URL"),
        (("--count", "many"), 2, "'many' is not a valid integer"),
        (("--colour",), 2, "No such option"),
        (("--config", "none.toml"), 2, "none.toml cannot be read"),
    ],
)
async def test_generate_that_cannot_be(
    tmp_path: Path, flags: tuple[str, ...], code: int, message: str
) -> None:
    """1: failed or refused by the engine, 2: wrong use; one line on stderr says why."""
    ended = await run(tmp_path, "generate", "Explain tides", *flags, **FAST)
    assert ended.code == code
    assert message in ended.err
    assert ended.out == ""


@pytest.mark.parametrize("where", ["here", "on a server"])
async def test_ctrl_c(tmp_path: Path, where: str) -> None:
    """Ctrl-C cancels the session and prints `cancelled; receipt: …` on stderr; exit code 130."""
    async with open_server(tmp_path, env=SLOW) as server:
        flags = () if where == "here" else ("--url", server.url)
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "server", *TIDES, "--json", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            start_new_session=True,
            env=environment(PYTHONPATH=str(ROOT), **SLOW),
        )
        assert process.stdout is not None
        assert process.stderr is not None
        out = err = b""
        with trio.fail_after(PATIENCE_S):
            while out.count(b'"chunk"') < 2:
                out += await process.stdout.receive_some()
            os.killpg(process.pid, signal.SIGINT)
            async for data in process.stdout:
                out += data
            async for data in process.stderr:
                err += data
            assert await process.wait() == 130, err
        await process.stdout.aclose()
        await process.stderr.aclose()
    line = err.decode()
    assert line.startswith("cancelled; receipt: {")
    assert line.count("\n") == 1
    receipt = json.loads(line.removeprefix("cancelled; receipt: "))
    assert receipt["upstream_closed_ms"] is not None
    assert json.loads(out.splitlines()[-1])["type"] == "cancelled"


async def test_output_that_nobody_reads_to_its_end(tmp_path: Path) -> None:
    """`antiphon generate … | head -1` ends quietly."""
    command = f"{sys.executable} -m server generate tides --json --count 3 | head -1"
    with trio.fail_after(PATIENCE_S):
        done = await trio.run_process(
            ["bash", "-c", command],
            capture_stdout=True,
            capture_stderr=True,
            cwd=tmp_path,
            env=environment(PYTHONPATH=str(ROOT), **FAST),
        )
    assert done.stderr == b""
    assert json.loads(done.stdout)["seq"] == 1


# ---- serve ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "variables", "code", "message"),
    [
        (("--port", "x"), {}, 2, "ANTIPHON_PORT"),
        (("--port", "70000"), {}, 2, "65535"),
        ((), {"ANTIPHON_PROT": "1"}, 2, "did you mean ANTIPHON_PORT?"),
        ((), {"ANTIPHON_STALL_S": "-1"}, 2, "ANTIPHON_STALL_S"),
        ((), {"ANTIPHON_SIM_FAULTS": "earthquake"}, 2, "ANTIPHON_SIM_FAULTS"),
        ((), {"ANTIPHON_DEFAULT_PROVIDER": "nobody"}, 1, "ANTIPHON_DEFAULT_PROVIDER"),
        ((), {"OPENAI_BASE_URL": "nonsense"}, 1, "OPENAI_BASE_URL"),
        (("--host", "0.0.0.0"), {}, 1, "not a loopback address"),
        (("--host", "::"), {}, 1, "not a loopback address"),
        (("--data", "/dev/null/x"), {}, 1, "/dev/null/x"),
    ],
)
async def test_serve_that_cannot_start(
    tmp_path: Path, flags: tuple[str, ...], variables: dict[str, str], code: int, message: str
) -> None:
    """An unknown or bad setting stops the start with its name and what is allowed."""
    data = () if "--data" in flags else ("--data", str(tmp_path / "data"))
    port = () if "--port" in flags else ("--port", "0")
    ended = await run(tmp_path, "serve", *flags, *port, *data, **variables)
    assert ended.code == code, ended.err
    assert message in ended.err
    assert ended.err.startswith("antiphon: ")
    assert ended.out == ""


async def test_serve_on_a_port_in_use(tmp_path: Path) -> None:
    """It says whose fault it is and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = await run(tmp_path, "serve", "--port", port, "--data", str(tmp_path / "data"))
    assert ended.code == 1
    assert ended.err.endswith(
        f"antiphon: port {port} is in use; choose another with --port, or 0 for a free one\n"
    )


# ---- doctor --------------------------------------------------------------------------------------


async def test_doctor(tmp_path: Path) -> None:
    """A check of the set-up with what to do."""
    ended = await run(tmp_path, "doctor", "--port", "0", OPENAI_API_KEY="sk-secret")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert all(line.startswith(("ok   ", "note ")) for line in lines)
    assert "ok   provider openai" in lines
    assert "ok   default provider: openai" in lines
    assert "note provider anthropic: not configured (set ANTHROPIC_API_KEY)" in lines
    assert "sk-secret" not in ended.out


async def test_doctor_who_finds_something(tmp_path: Path) -> None:
    """What has to be done makes the exit code 1."""
    ended = await run(tmp_path, "doctor", "--data", "/dev/null/x", ANTIPHON_PORT="0")
    assert ended.code == 1
    assert "BAD  /dev/null/x cannot be written" in ended.out
    ended = await run(tmp_path, "doctor", ANTIPHON_PROT="1")
    assert (ended.code, ended.err) == (1, "")
    assert "did you mean ANTIPHON_PORT?" in ended.out
