"""A disk that takes no more: sessions end with an error, the server says so, and recovers."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
import trio

from server.client import Client, Refused
from tests.system.reading import http
from tests.system.server_process import ServerProcess, serving

pytestmark = pytest.mark.system

REQUEST = {"request": {"input": "fill the disk", "count": 4, "maxTokens": 4000}}
UNLIMITED = resource.RLIM_INFINITY


def limit_files(server: ServerProcess, size_bytes: int) -> None:
    """Let no file of the server grow beyond a size: what a full disk looks like."""
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size_bytes, UNLIMITED))


async def wait_ready(server: ServerProcess, status: int) -> dict[str, Any]:
    """Wait until /readyz answers with a status; gives what it says."""
    with trio.fail_after(15):
        while True:
            found, answer = await http(server.port, "GET", "/readyz")
            if found == status:
                assert isinstance(answer, dict)
                return answer
            await trio.sleep(0.1)


async def test_full_disk_ends_sessions_with_an_error_and_readyz_says_why(tmp_path: Path) -> None:
    """A failing write ends the session with an error, never in silence; /readyz says so."""
    async with serving(
        tmp_path / "data", sim_ttft_ms=1, sim_tokens_per_s=100, sim_output_tokens=300
    ) as server:
        client = Client(server.url)
        messages = []
        with trio.fail_after(30):
            async with client.start("/stream", REQUEST) as stream:
                async for message in stream:
                    messages.append(message)
                    if message["seq"] == 20:
                        limit_files(server, 1)
        assert messages[-1]["type"] == "error"
        assert messages[-1]["code"] == "internal"
        assert "journal" in messages[-1]["error"]
        seqs = [message["seq"] for message in messages]
        firsts = [message.get("first_seq", message["seq"]) for message in messages]
        assert firsts == [1, *(seq + 1 for seq in seqs[:-1])]

        reasons = (await wait_ready(server, 503))["reasons"]
        assert [reason.partition(":")[0] for reason in reasons] == ["journal"]
        assert (await http(server.port, "GET", "/healthz"))[0] == 200
        with pytest.raises(Refused) as refused:
            async with client.start("/stream", REQUEST) as stream:
                await stream.__anext__()
        assert refused.value.message["code"] == "internal"

        limit_files(server, UNLIMITED)
        assert await wait_ready(server, 200) == {"status": "ready"}
        quick = {"request": {"input": "room again", "count": 1, "phases": ["solutio"]}}
        async with client.start("/stream", quick) as stream:
            assert [message async for message in stream][-1]["type"] == "result"
