"""`antiphon sessions | tail | cancel | replay`, on a running server and on a journal at rest."""

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

from server.client import Client
from tests.system.reading import wait_ended
from tests.system.server_process import ROOT, ServerProcess, serving

pytestmark = pytest.mark.system

REQUEST = {"request": {"input": "two lines\nof it", "count": 1}}


async def antiphon(*words: object) -> tuple[int, str, str]:
    """Run a command; gives its exit code, stdout and stderr."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")}
    with trio.fail_after(40):
        done = await trio.run_process(
            [sys.executable, "-m", "server", *map(str, words)],
            cwd=ROOT,
            env=environ,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with serving(
        tmp_path / "data", sim_ttft_ms=1, sim_tokens_per_s=20, sim_output_tokens=10, grace_s=60
    ) as server:
        yield server


async def run_session(server: ServerProcess) -> list[dict[str, object]]:
    async with Client(server.url).start("/stream", REQUEST) as stream:
        return [message async for message in stream]


async def start_session(server: ServerProcess) -> str:
    long = {"request": {"input": "long", "count": 20}, "detached": True}
    async with Client(server.url).start("/stream", long) as stream:
        return str((await stream.__anext__())["session_id"])


async def test_sessions_are_the_same_on_the_server_and_at_rest(server: ServerProcess) -> None:
    """With `--url`, else on the journal in the data folder; `--json` everywhere."""
    ended = str((await run_session(server))[0]["session_id"])
    code, out, _ = await antiphon("sessions", "--url", server.url, "--json")
    assert code == 0
    assert [json.loads(line)["session_id"] for line in out.splitlines()] == [ended]
    code, _, err = await antiphon("sessions", "--data", server.data)
    assert code == 1
    assert "--url" in err
    await server.kill()
    code, at_rest, _ = await antiphon("sessions", "--data", server.data, "--json")
    assert (code, at_rest) == (0, out)
    code, plain, _ = await antiphon("sessions", "--data", server.data, "--state", "completed")
    assert plain.split()[:3] == [ended, "completed", "generate"]
    assert (await antiphon("sessions", "--data", server.data, "--state", "failed"))[1] == ""


async def test_tail_shows_all_of_a_session_from_a_cursor_on(server: ServerProcess) -> None:
    """`tail ID [--after E:S]`: one JSON message a line, the same from both places."""
    live = await run_session(server)
    session_id, last = live[0]["session_id"], live[-1]["seq"]
    code, out, _ = await antiphon("tail", session_id, "--url", server.url, "--json")
    messages = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert messages[0].get("first_seq", messages[0]["seq"]) == 1
    assert messages[-1] == live[-1]
    cursor = f"{live[0]['epoch']}:{messages[-3]['seq']}"
    code, out, _ = await antiphon("tail", session_id, "--url", server.url, "--after", cursor)
    lines = out.splitlines()
    assert [line.split()[1] for line in lines] == ["phase_complete", "result"]
    await server.kill()
    code, rest, _ = await antiphon(
        "tail", session_id, "--data", server.data, "--after", cursor, "--json"
    )
    assert code == 0
    assert [json.loads(line)["seq"] for line in rest.splitlines()] == [last - 1, last]  # type: ignore[operator]


async def test_plain_lines_never_break(server: ServerProcess) -> None:
    """Plain lines in a pipe: one for each message, whatever its text holds."""
    live = await run_session(server)
    _, out, _ = await antiphon("tail", live[0]["session_id"], "--url", server.url)
    lines = out.splitlines()
    offsets = [int(line.split()[0].split("-")[-1]) for line in lines]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] == live[-1]["seq"]


async def test_tail_follows_a_running_session_and_ctrl_c_leaves_it_running(
    server: ServerProcess,
) -> None:
    """Looking is not touching: an interrupted `tail` ends with 130 and the session goes on."""
    session_id = await start_session(server)
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "server", "tail", session_id, "--url", server.url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with trio.fail_after(20):
        assert await process.stdout.receive_some()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    await process.stdout.aclose()
    code, out, _ = await antiphon("cancel", session_id, "--url", server.url)
    assert (code, out.split()[0]) == (0, session_id)
    shown = await wait_ended(server.port, session_id)
    assert (shown["state"], shown["terminal"]["reason"]) == ("cancelled", "client")
    code, again, _ = await antiphon("cancel", session_id, "--url", server.url, "--json")
    assert (code, json.loads(again)["state"]) == (0, "cancelled")


async def test_session_that_a_crash_interrupted_is_cancelled_at_rest(
    server: ServerProcess,
) -> None:
    """A cancel without a server is durable too: no restart goes on with it."""
    session_id = await start_session(server)
    await trio.sleep(0.5)
    await server.kill()
    code, _, err = await antiphon("tail", session_id, "--data", server.data)
    assert (code, "goes on when a server starts" in err) == (1, True)
    code, out, _ = await antiphon("cancel", session_id, "--data", server.data)
    assert (code, out) == (0, f"{session_id} cancelled\n")
    await server.start()
    shown = await wait_ended(server.port, session_id, within_s=5)
    assert (shown["state"], shown["terminal"]["reason"]) == ("cancelled", "admin")
    assert shown["terminal"]["receipt"]["tokens_after_accept"] == 0
    assert shown["terminal"]["partial"] == {
        part["target"]["prompt_id"]: part["text"] for part in shown["parts"] if part["text"]
    }


async def test_replay_takes_as_long_as_the_writing_divided_by_the_speed(
    server: ServerProcess,
) -> None:
    """`replay ID [--speed X]`: the same messages as `tail`, at their pace."""
    session_id = (await run_session(server))[0]["session_id"]
    await server.kill()
    took_s, outs = zip(
        *[await timed_replay(session_id, speed, server) for speed in (0, 1, 4)], strict=True
    )
    assert outs[0] == outs[1] == outs[2]
    writing_s = 3 * 10 / 20  # three phases of ten tokens, twenty a second
    assert took_s[1] > 0.7 * writing_s
    assert 0.7 * writing_s / 4 < took_s[2] < took_s[1]
    assert took_s[0] < took_s[1]


async def timed_replay(
    session_id: object, speed: float, server: ServerProcess
) -> tuple[float, bytes]:
    """Replay; gives the seconds from its first line to its last, and what it wrote."""
    words = ["replay", str(session_id), "--speed", str(speed), "--data", str(server.data), "--json"]
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "server", *words], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    written, times = b"", []
    with trio.fail_after(60):
        async for data in process.stdout:
            written += data
            times.append(trio.current_time())
        assert await process.wait() == 0
    return times[-1] - times[0], written


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["tail", "none", "--data", "{data}"], 1, "no session"),
        (["sessions", "--data", "{data}/elsewhere"], 1, "--data"),
        (["sessions", "--url", "http://127.0.0.1:9"], 1, "cannot be reached"),
        (["sessions", "--limit", "0"], 2, "limit"),
        (["replay", "x", "--speed", "-1"], 2, "speed"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_line(
    server: ServerProcess, words: list[str], code: int, hint: str
) -> None:
    """Exit codes: 1 failed or refused, 2 usage; the message says what to do."""
    await server.kill()
    found, _, err = await antiphon(*(word.replace("{data}", str(server.data)) for word in words))
    assert found == code
    assert hint in err
    assert "Traceback" not in err
