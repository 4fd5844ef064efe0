"""A real server process for a test or a measurement: started, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

ROOT = Path(__file__).parents[2]
START_S = 30.0
"""Starting takes a second; with a journal of thousands of sessions, some more."""


class ServerProcess:
    """`antiphon serve` on the loopback.

    Args:
        data: the folder of its journal; survives the process.
        port: 0 takes a free one, which it keeps over restarts.
        settings: further settings, by their names without ANTIPHON_.
        prepare: run in the child before it begins (limits of the system).
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        prepare: Callable[[], None] | None = None,
        **settings: object,
    ) -> None:
        self.data = data
        self.port = port
        self.prepare = prepare
        self.settings = settings
        self.lives = 0
        self.errors = data.with_name(f"{data.name}.stderr")
        self._process: trio.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        assert self._process is not None
        return self._process.returncode

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        values = {"host": "127.0.0.1", "port": self.port, "data": self.data, **self.settings}
        environ = {
            key: value for key, value in os.environ.items() if not key.startswith("ANTIPHON_")
        }
        environ |= {f"ANTIPHON_{name.upper()}": str(value) for name, value in values.items()}
        with self.errors.open("ab") as errors:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "server", "serve"],
                cwd=ROOT,
                env=environ,
                stdout=subprocess.PIPE,
                stderr=errors,
                preexec_fn=self.prepare,
            )
        self._process = process
        assert process.stdout is not None
        line = b""
        with trio.fail_after(START_S):
            while not line.endswith(b"\n"):
                data = await process.stdout.receive_some()
                assert data, f"the server did not start: {self.errors.read_text()[-2000:]}"
                line += data
        self.port = int(line.rsplit(b":", 1)[1])
        self.lives += 1

    async def kill(self) -> None:
        """End it as a crash does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    def terminate(self) -> None:
        """Ask it to drain."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait for its end; gives the exit code."""
        assert self._process is not None
        return await self._process.wait()

    def resident_bytes(self) -> int:
        """Give the memory that it holds now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the process has no memory")


@asynccontextmanager
async def serving(
    data: Path, *, prepare: Callable[[], None] | None = None, **settings: object
) -> AsyncIterator[ServerProcess]:
    """Run a server around the block, and end it afterwards, however it is."""
    server = ServerProcess(data, prepare=prepare, **settings)  # type: ignore[arg-type]
    await server.start()
    try:
        yield server
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 10):
            if server.returncode is None:
                await server.kill()
