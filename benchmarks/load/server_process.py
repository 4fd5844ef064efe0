"""The server's process: its CPU and memory, and its life where the tool starts or kills it.

The one rule: only a process that the user named or that was started here is ever sent a signal.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec
import trio

from benchmarks.load.limits import START_SERVER_S, STOP_SERVER_S
from benchmarks.load.target import Target

LOOK_S = 0.05
"""How often it is seen whether the port accepts."""


class NoServer(Exception):
    """The server's process is not there, or does not start; the message says why."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a process and its children have used so far."""

    cpu_s: float
    resident_bytes: int


def cost(pid: int) -> Cost:
    """Look at a process and its descendants, all threads included.

    Raises:
        NoServer: there is no such process, or no /proc here.
    """
    try:
        used = [_cost(each) for each in (pid, *_descendants(pid))]
    except (OSError, ValueError, IndexError):
        raise NoServer(f"there is no process {pid} that can be looked at") from None
    return Cost(cpu_s=sum(cpu for cpu, _ in used), resident_bytes=sum(size for _, size in used))


def _cost(pid: int) -> tuple[float, int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


class Server:
    """The process behind a target.

    Args:
        target: where it listens.
        command: how it is started; None: it runs already.
        pid: the process that runs already; None: unknown, or it is started.
        environ: further variables for it.
    """

    def __init__(
        self,
        target: Target,
        *,
        command: str | None = None,
        pid: int | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.pid = pid
        self._target = target
        self._command = command
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`

    @property
    def is_ours(self) -> bool:
        """Whether it was started here."""
        return self._command is not None

    async def start(self) -> None:
        """Start it, and wait until its port accepts.

        Raises:
            NoServer: it ended, or does not accept in time; or somebody else listens there.
        """
        assert self._command is not None
        if await self._accepts():
            raise NoServer(
                f"something listens at {self._target.netloc} already: use --server-pid for it, or "
                "another port"
            )
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220  # it may outlive this task
                shlex.split(self._command),
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,  # Ctrl-C is for the tool, which then ends it in order
            )
        except (OSError, ValueError) as error:
            raise NoServer(f"{self._command!r} cannot be started: {error}") from None
        self.pid = self._process.pid
        with trio.move_on_after(START_SERVER_S):
            while self._process.poll() is None:
                if await self._accepts():
                    return
                await trio.sleep(LOOK_S)
        code = self._process.poll()
        state = "does not accept connections" if code is None else f"ended with {code}"
        raise NoServer(f"{self._command!r} {state}:\n{self._said()}")

    async def kill(self) -> None:
        """End it as a crash does, with its children where it was started here.

        Raises:
            NoServer: there is no such process, or it is not ours to kill.
        """
        assert self.pid is not None
        try:
            if self._process is not None:
                os.killpg(self._process.pid, signal.SIGKILL)
                await trio.to_thread.run_sync(self._process.wait)
            else:
                os.kill(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError) as error:
            raise NoServer(f"process {self.pid} cannot be killed: {error}") from None

    async def stop(self) -> None:
        """End it in order, where it was started here; then by force.

        Cancellation: none; bounded by `STOP_SERVER_S`.
        """
        process = self._process
        if process is None or process.poll() is not None:
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + STOP_SERVER_S):
            process.terminate()
            await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    async def _accepts(self) -> bool:
        try:
            with trio.fail_after(1):
                stream = await trio.open_tcp_stream(self._target.host, self._target.port)
                await stream.aclose()
        except (OSError, trio.TooSlowError):
            return False
        return True

    def _said(self) -> str:
        self._output.seek(0)
        return self._output.read()[-2000:].decode(errors="replace")

    def close(self) -> None:
        """Let its output go."""
        self._output.close()


@asynccontextmanager
async def open_server(server: Server) -> AsyncIterator[Server]:
    """Start a server where the tool is to, and end it after the block.

    Raises:
        NoServer: it cannot be started.
    """
    try:
        if server.is_ours:
            await server.start()
        yield server
    finally:
        await server.stop()
        server.close()
