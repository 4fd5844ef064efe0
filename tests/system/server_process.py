"""A real server process for a test or a measurement: started, stopped, killed, started again.

The one rule: it gets a folder of its own, a free port, and of our environment neither settings nor
keys; it is ended by its pid. `open_server` ends it as an operator does, and fails the test where
the exit code or a traceback or warning on stderr says that something went wrong; `serving` ends it
by kill -9, whatever it is doing.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from trio_websocket import WebSocketConnection, open_websocket_url

ROOT = Path(__file__).parents[2]

PATIENCE_S = 20.0
"""Nothing here takes so long, on a busy machine either: a test that waits longer has failed."""

START_S = 30.0
"""Starting takes a second; with a journal of thousands of sessions, some more."""

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
    """`antiphon serve` on the loopback, over as many lives as a test gives it.

    Args:
        data: the folder of its journal; survives the process. The folder above is its working
            directory: an `antiphon.toml` there is read, stderr is written there.
        flags: further flags.
        port: 0 takes a free one, which it keeps over restarts.
        host: the address that it listens on.
        within: a command that runs it, such as one that enters a network namespace.
        env: further variables.
        demo: with `--demo`.
        prepare: run in the child before it begins (limits of the system).
        settings: further settings, by their names without ANTIPHON_.
    """

    def __init__(
        self,
        data: Path,
        *flags: str,
        port: int = 0,
        host: str = "127.0.0.1",
        within: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        demo: bool = False,
        prepare: Callable[[], None] | None = None,
        **settings: object,
    ) -> None:
        self.data = data
        self.host = host
        self._within = within
        self.port = port
        self.lives = 0
        self.ends_with: int | None = 0
        """The exit code that `open_server` checks at the end; None: whatever it is."""
        self._flags = (*(["--demo"] if demo else []), *flags)
        self._env = {f"ANTIPHON_{name.upper()}": str(value) for name, value in settings.items()}
        self._env |= env or {}
        self._prepare = prepare
        self._errors = data.with_name(f"{data.name}.stderr")
        self._process: trio.Process | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        return self._alive.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        return self._alive.returncode

    @property
    def stderr(self) -> str:
        """What it has said on stderr, in all its lives."""
        return self._errors.read_text(encoding="utf-8", errors="replace")

    @property
    def resident_bytes(self) -> int:
        """The memory that it has in use."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def _alive(self) -> trio.Process:
        assert self._process is not None, "it has not been started"
        return self._process

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [*self._within, sys.executable, "-m", "server", "serve", "--host", self.host]
        command += ["--port", str(self.port), "--data", str(self.data), *self._flags]
        with self._errors.open("ab") as errors:
            self._process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self.data.parent,
                env=environment(PYTHONPATH=str(ROOT), **self._env),
                preexec_fn=self._prepare,
            )
        line = b""
        assert self._process.stdout is not None
        with trio.fail_after(START_S):
            while not line.endswith(b"\n"):
                data = await self._process.stdout.receive_some(4096)
                assert data, f"the server did not start: {self.stderr[-2000:]}"
                line += data
        shown = re.escape(f"antiphon: listening on http://{self.host}:")
        match = re.fullmatch(rf"{shown}(\d+)\n", line.decode())
        assert match is not None, line
        self.port = int(match[1])
        self.lives += 1

    def signal(self, number: signal.Signals) -> None:
        self._alive.send_signal(number)

    def terminate(self) -> None:
        """Ask it to drain."""
        self.signal(signal.SIGTERM)

    async def kill(self) -> None:
        """End it as a crash does."""
        self.signal(signal.SIGKILL)
        await self._alive.wait()

    async def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end, and give the exit code."""
        with trio.fail_after(timeout_s):
            return await self._alive.wait()

    @asynccontextmanager
    async def talk(self, path: str = "/stream") -> AsyncIterator[Talk]:
        """Open a WebSocket."""
        async with open_websocket_url(f"ws://127.0.0.1:{self.port}{path}") as connection:
            try:
                yield Talk(connection)
            finally:  # trio-websocket leaves the socket open where the server closed first
                await trio.aclose_forcefully(connection._stream)


@asynccontextmanager
async def serving(
    data: Path,
    *,
    env: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
    **settings: object,
) -> AsyncIterator[ServerProcess]:
    """Run a server around the block, and kill it afterwards, whatever it does; see the class."""
    server = ServerProcess(data, env=env, prepare=prepare, **settings)  # type: ignore[arg-type]
    try:
        await server.start()
        yield server
    finally:
        with trio.move_on_after(5, shield=True):
            if server.is_running:
                await server.kill()


@asynccontextmanager
async def open_server(
    folder: Path, *flags: str, env: Mapping[str, str] | None = None, demo: bool = True
) -> AsyncIterator[ServerProcess]:
    """Run a server in a folder around the block, then end it by SIGTERM, and look at how it went.

    Args:
        folder: its working directory; `data` lies there.
        flags: further flags.
        env: further variables.
        demo: with `--demo`.
    """
    server = ServerProcess(folder / "data", *flags, env=env, demo=demo)
    try:
        await server.start()
        yield server
        if server.is_running:
            server.terminate()
        code = await server.wait()
        assert server.ends_with in (code, None), (code, server.stderr)
    finally:
        with trio.move_on_after(5, shield=True):
            if server.is_running:
                await server.kill()
    assert not _TROUBLE.search(server.stderr), server.stderr
