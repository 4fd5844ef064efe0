"""`antiphon content | rate | users | token`, here and on a server with authentication."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.requirements import ROOT
from tests.system.server_process import ServerProcess, serving
from tests.system.test_auth import SECRET, token

pytestmark = pytest.mark.system

NOTES = "The heart pumps blood through the body in two circuits."
QUICK = {"ANTIPHON_SIM_TTFT_MS": "1", "ANTIPHON_SIM_TOKENS_PER_S": "0"}


def environment(**more: str) -> dict[str, str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
    return {**plain, **more}


async def antiphon(*words: object, given: bytes = b"", **env: str) -> tuple[int, str, str]:
    """Run a command; gives its exit code, stdout and stderr."""
    with trio.fail_after(40):
        done = await trio.run_process(
            [sys.executable, "-m", "server", *map(str, words)],
            cwd=ROOT,
            env=environment(**env),
            stdin=given,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with serving(
        tmp_path / "data", jwt_secret=SECRET, sim_ttft_ms=1, sim_tokens_per_s=400
    ) as server:
        yield server


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text(NOTES)
    return path


async def test_content_in_this_process_and_on_a_server(server: ServerProcess, notes: Path) -> None:
    """Plain lines in a pipe, JSON lines with `--json`; a server wants ANTIPHON_TOKEN."""
    words = ("content", notes, "--type", "SUMMARY", "--num-questions", 2)
    code, here, errors = await antiphon(*words, **QUICK)
    assert (code, errors) == (0, "")
    lines = here.splitlines()
    assert lines[0] == " 10% Loading prompt templates..."
    assert "100% Content generation complete" in lines
    assert "Key Insight" in here
    code, _, errors = await antiphon(*words, "--url", server.url)
    assert code == 1
    assert "unauthenticated" in errors
    code, there, errors = await antiphon(
        *words, "--url", server.url, "--json", ANTIPHON_TOKEN=token()
    )
    assert (code, errors) == (0, "")
    messages = [json.loads(line) for line in there.splitlines()]
    assert [messages[0]["type"], messages[-1]["type"]] == ["start", "complete"]
    offsets = [
        seq
        for each in messages
        for seq in range(each.get("first_seq", each["seq"]), each["seq"] + 1)
    ]
    assert offsets == list(range(1, messages[-1]["seq"] + 1))


async def test_rate_takes_a_plot_point_or_a_request(notes: Path, tmp_path: Path) -> None:
    """One rater or several; what the engine refuses is exit code 1."""
    code, said, _ = await antiphon(
        "rate", notes, "--rater", "ada=Be strict.", "--rater", "bob=Be kind.", **QUICK
    )
    assert code == 0
    assert "== ada" in said
    assert "== bob" in said
    request = tmp_path / "request.json"
    request.write_text(
        json.dumps({"raterPrompt": "Be strict.", "plotPoint": "A door.", "structured_context": {}})
    )
    code, said, _ = await antiphon("rate", request, "--json", **QUICK)
    assert code == 0
    assert json.loads(said.splitlines()[-1])["type"] == "result"
    code, _, errors = await antiphon("rate", request, "--model", "nobody/m", **QUICK)
    assert code == 1
    assert "LLM not available" in errors
    code, _, errors = await antiphon("content", tmp_path / "none", "--type", "MCQ")
    assert code == 2
    assert "cannot be read" in errors
    code, _, errors = await antiphon("content", notes, "--type", "MCQ", "--num-questions", 99)
    assert code == 1
    assert "num_questions" in errors


@pytest.mark.parametrize("where", ["here", "server"])
async def test_interrupt_cancels_the_session(
    server: ServerProcess, notes: Path, where: str
) -> None:
    """Ctrl-C cancels the session and prints `cancelled; receipt: …` on stderr; exit code 130."""
    words = [sys.executable, "-m", "server", "content", str(notes), "--type", "MCQ"]
    words += ["--url", server.url] if where == "server" else []
    process = await trio.lowlevel.open_process(
        words,
        cwd=ROOT,
        env=environment(ANTIPHON_TOKEN=token(), ANTIPHON_SIM_TOKENS_PER_S="20"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with trio.fail_after(20):
        said = b""
        while b" 30%" not in said:
            said += await process.stdout.receive_some()
        process.send_signal(signal.SIGINT)
        errors = b"".join([data async for data in process.stderr])
        assert await process.wait() == 130
    assert errors.startswith(b"cancelled; receipt: {")


async def test_users_at_rest_and_on_a_server(server: ServerProcess, tmp_path: Path) -> None:
    """`users add` in the journal, or on the server that has it; `token` signs for them."""
    secret = {"ANTIPHON_JWT_SECRET": SECRET}
    for where in (("--data", tmp_path / "other"), ("--url", server.url)):
        add = ("users", "add", "eve", "--role", "admin", "--password-stdin", *where)
        assert await antiphon(*add, given=b"correct horse\n", **secret) == (
            0,
            "user eve, role admin\n",
            "",
        )
        code, _, errors = await antiphon(*add, given=b"correct horse\n", **secret)
        assert code == 1
        assert "already" in errors
        code, _, errors = await antiphon(*add, "--replace", given=b"short\n", **secret)
        assert code == 1
        assert "8 to 1024 characters" in errors
        assert (await antiphon("users", "list", *where, **secret))[1] == "eve  admin\n"
        code, signed, _ = await antiphon("token", "eve", *where, **secret)
        assert code == 0
        assert (await antiphon("sessions", "--url", server.url, ANTIPHON_TOKEN=signed.strip()))[
            0
        ] == 0
        code, _, errors = await antiphon("token", "nobody", *where, **secret)
        assert code == 1
        assert "--role" in errors
        assert (await antiphon("users", "remove", "eve", *where, **secret))[0] == 0
    code, _, errors = await antiphon("users", "list", "--data", server.data, **secret)
    assert code == 1
    assert "--url" in errors


async def test_serve_beyond_the_loopback_without_authentication_is_refused(tmp_path: Path) -> None:
    """Binding elsewhere without authentication is refused with a clear message."""
    code, _, errors = await antiphon("serve", "--host", "0.0.0.0", "--port", 0, "--data", tmp_path)
    assert code == 1
    assert "ANTIPHON_JWT_SECRET" in errors
    keys = tmp_path / "keys.json"
    for text in ("{}", '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}', "nonsense"):
        keys.write_text(text)
        code, _, errors = await antiphon(
            "serve", "--port", 0, "--data", tmp_path, ANTIPHON_JWKS=str(keys)
        )
        assert code == 1
        assert "ANTIPHON_JWKS" in errors
