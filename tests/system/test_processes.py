"""`antiphon serve --processes 2` as an operator runs it: one port, restarts, one clean end."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.system.redis_server import redis_server
from tests.system.server_process import ServerProcess, serving

pytestmark = pytest.mark.system

SETTINGS: dict[str, object] = {
    "processes": 2,
    "lease_s": 2,
    "drain_s": 0.5,
    "sim_ttft_ms": 30,
    "sim_tokens_per_s": 40,
    "sim_output_tokens": 60,
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """Two processes and a Redis."""
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as redis:
        async with serving(tmp_path / "data", redis_url=redis.url, **SETTINGS) as running:  # type: ignore[arg-type]
            yield running


def children(parent: int) -> list[int]:
    """Give the pids of a process's children, whichever of its threads started them."""
    tasks = Path(f"/proc/{parent}/task").iterdir()
    return sorted(int(pid) for task in tasks for pid in (task / "children").read_text().split())


def living(pids: list[int]) -> list[int]:
    """Give those of them that have not ended."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def until_children(server: ServerProcess, known: list[int]) -> list[int]:
    """Wait until there are two children again, of which one is new."""
    for _ in range(400):
        found = children(server.pid)
        if len(found) == 2 and found != known:
            return found
        await trio.sleep(0.05)
    raise AssertionError(f"there is no new process beside {known}")


async def test_process_that_dies_is_replaced_and_its_sessions_go_on(server: ServerProcess) -> None:
    """Kill -9 of one: a client that is cut off resumes at the other, and the text is whole."""
    before = children(server.pid)
    assert len(before) == 2
    async with server.talk() as talk:
        await talk.say({"request": {"input": "a plan", "request_id": "r"}, "detached": True})
        first = await talk.until("chunk")
        session_id = first["session_id"]
        os.kill(before[1], signal.SIGKILL)  # it, or the other one, runs the session
    after = await until_children(server, before)
    assert before[0] in after
    async with server.talk() as talk:
        await talk.say({"type": "subscribe", "session_id": session_id})
        messages = await talk.to_end()
    assert [message["seq"] for message in messages if "seq" in message]
    assert messages[-1]["type"] == "result"


async def test_one_signal_ends_all(server: ServerProcess) -> None:
    """SIGTERM drains every process, and the parent ends with 0 when they have."""
    pids = children(server.pid)
    server.terminate()
    assert await server.wait() == 0
    assert len(pids) == 2
    assert living(pids) == []
    assert "Traceback" not in server.stderr


async def test_processes_end_with_their_parent(server: ServerProcess) -> None:
    """Kill -9 of the parent leaves nobody behind: its children notice, and drain."""
    pids = children(server.pid)
    assert len(pids) == 2
    await server.kill()
    for _ in range(100):
        await trio.sleep(0.05)
        if not living(pids):
            return
    raise AssertionError(f"{living(pids)} have outlived their parent")


async def test_bad_start_is_said_once_and_ends(tmp_path: Path) -> None:
    """Without the Redis that is named, nothing is tried again: it says why, and ends with 1."""
    server = ServerProcess(
        tmp_path / "data",
        redis_url="redis://127.0.0.1:1",
        **SETTINGS,  # type: ignore[arg-type]
    )
    with pytest.raises(AssertionError, match="did not start"):
        await server.start()
    assert await server.wait() == 1
    assert "Redis" in server.stderr
    assert "Traceback" not in server.stderr
