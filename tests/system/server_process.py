"""A real server process for one test: a free port, a folder of its own, ended by its pid.

The one rule: a traceback or a warning on its stderr fails the test, whatever else went well.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from trio_websocket import WebSocketConnection, open_websocket_url

PATIENCE_S = 20.0
"""Nothing here takes so long, on a busy machine either: a test that waits longer has failed."""

_OURS = re.compile(r"ANTIPHON_|OPENAI_|ANTHROPIC_|GEMINI_|OPENROUTER_|OLLAMA_|PYTHON")
_TROUBLE = re.compile(r"Traceback|Warning|Exception ignored|never awaited")

Message = dict[str, Any]


def environment(**more: str) -> dict[str, str]:
    """Give this environment without settings and keys, with warnings shown, and `more`."""
    plain = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    return {**plain, "PYTHONWARNINGS": "default", "PYTHONUNBUFFERED": "1", **more}


class Talk:
    """One WebSocket to a server, in JSON."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection
        self.seen: list[Message] = []

    async def say(self, message: object) -> None:
        await self.connection.send_message(
            message if isinstance(message, str | bytes) else json.dumps(message)
        )

    async def hear(self) -> Message:
        """Wait for the next message."""
        with trio.fail_after(PATIENCE_S):
            message: Message = json.loads(await self.connection.get_message())
        self.seen.append(message)
        return message

    async def until(self, *kinds: str) -> Message:
        """Read on to the next message of one of these types."""
        while (message := await self.hear())["type"] not in kinds:
            pass
        return message

    async def to_end(self) -> list[Message]:
        """Read to the next terminal message, and give what came on the way."""
        start = len(self.seen)
        while not is_terminal(await self.hear()):
            pass
        return self.seen[start:]


def is_terminal(message: Message) -> bool:
    """Whether a message of `/stream` ends its session."""
    if message["type"] == "error":
        return not message.get("refused")
    return message["type"] in ("result", "cancelled")


class ServerProcess:
    """A server that runs."""

    def __init__(self, process: trio.Process, data: Path, stderr: Path) -> None:
        self.process = process
        self.data = data
        self.port = 0
        self._stderr = stderr
        self.ends_with: int | None = 0
        """The exit code that the end of the test checks; None: whatever it is."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stderr(self) -> str:
        return self._stderr.read_text(encoding="utf-8", errors="replace")

    @property
    def resident_bytes(self) -> int:
        """The memory that it has in use."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end, and give the exit code."""
        with trio.fail_after(timeout_s):
            return await self.process.wait()

    @asynccontextmanager
    async def talk(self, path: str = "/stream") -> AsyncIterator[Talk]:
        """Open a WebSocket."""
        async with open_websocket_url(f"ws://127.0.0.1:{self.port}{path}") as connection:
            try:
                yield Talk(connection)
            finally:  # trio-websocket leaves the socket open where the server closed first
                await trio.aclose_forcefully(connection._stream)

    async def _wait_ready(self) -> None:
        assert self.process.stdout is not None
        line = b""
        with trio.fail_after(PATIENCE_S):
            while not line.endswith(b"\n"):
                data = await self.process.stdout.receive_some(4096)
                assert data, f"the server did not start: {self.stderr}"
                line += data
        match = re.fullmatch(r"antiphon: listening on http://127\.0\.0\.1:(\d+)\n", line.decode())
        assert match is not None, line
        self.port = int(match[1])


@asynccontextmanager
async def open_server(
    folder: Path, *flags: str, env: Mapping[str, str] | None = None, demo: bool = True
) -> AsyncIterator[ServerProcess]:
    """Run `antiphon serve` on a free port while the block runs; then end it by SIGTERM.

    Args:
        folder: its working directory: an `antiphon.toml` there is read, `data` lies there.
        flags: further flags.
        env: further variables; keys and settings of this process are not handed on.
        demo: with `--demo`.
    """
    stderr = folder / "stderr.txt"
    data = folder / "data"
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--data", str(data)]
    command += ["--demo"] * demo + list(flags)
    root = str(Path(__file__).parent.parent.parent)
    with stderr.open("ab") as errors:
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=environment(PYTHONPATH=root, **(env or {})),
        )
    server = ServerProcess(process, data, stderr)
    try:
        await server._wait_ready()
        yield server
        if process.returncode is None:
            process.terminate()
        code = await server.wait()
        assert server.ends_with in (code, None), (code, server.stderr)
    finally:
        if process.returncode is None:
            process.kill()
            with trio.move_on_after(5, shield=True):
                await process.wait()
    assert not _TROUBLE.search(server.stderr), server.stderr
