"""A command on a terminal of its own: what it shows, what is typed, Ctrl-C, and how it ends.

The one rule: the terminal is real, a pseudo terminal that controls the process, so Ctrl-C is the
key and no signal of ours. stdin and stdout are on it; stderr goes into a file, for what is said
there is to be told apart.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import tempfile
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.system.server_process import ROOT, environment

PATIENCE_S = 30.0
WIDTH, HEIGHT = 100, 30
CTRL_C, CTRL_D = "\x03", "\x04"
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """One command on its terminal."""

    def __init__(self, process: trio.Process, screen: int, errors: Path) -> None:
        self._process = process
        self._screen = screen
        self._errors = errors
        self._shown = b""

    @property
    def raw(self) -> str:
        """All that came, with what moves the cursor."""
        return self._shown.decode(errors="replace")

    @property
    def text(self) -> str:
        """All that came, without escape sequences; what was written over is still there."""
        return _ESCAPE.sub("", self.raw).replace("\r", "")

    @property
    def errors(self) -> str:
        """What was said on stderr."""
        return self._errors.read_text()

    async def wait_for(self, pattern: str, *, times: int = 1) -> None:
        """Read until a pattern was shown so many times, on the terminal or on stderr."""
        give_up_at = trio.current_time() + PATIENCE_S
        while len(re.findall(pattern, self.text + self.errors)) < times:
            so_far = self.text[-2000:] + self.errors
            assert trio.current_time() < give_up_at, f"no {pattern!r} in {so_far}"
            with trio.move_on_after(0.1):
                assert await self._read(), f"it ended: {so_far}"

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._screen, text.encode())

    async def ended(self) -> int:
        """Read to the end; gives the exit code. The cursor has to be shown again."""
        with trio.fail_after(PATIENCE_S):
            while await self._read():
                pass
            code = await self._process.wait()
        assert self.raw.rfind("\x1b[?25h") >= self.raw.rfind("\x1b[?25l"), "the cursor is hidden"
        assert "Traceback" not in self.text + self.errors
        return code

    async def _read(self) -> bool:
        await trio.lowlevel.wait_readable(self._screen)
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # Linux's way to say that the other side has closed
            return False
        self._shown += data
        return bool(data)


@asynccontextmanager
async def open_terminal(folder: Path, *words: str, **variables: str) -> AsyncIterator[Terminal]:
    """Run `antiphon WORDS` in a folder on a terminal; it is killed if the block leaves it."""
    screen, device = pty.openpty()
    fcntl.ioctl(device, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    handle, path = tempfile.mkstemp(dir=folder, suffix=".stderr")

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    try:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "server", *words],
            stdin=device,
            stdout=device,
            stderr=handle,
            cwd=folder,
            start_new_session=True,
            preexec_fn=take_terminal,
            env=environment(PYTHONPATH=str(ROOT), TERM="xterm-256color", **variables),
        )
    finally:
        os.close(device)
        os.close(handle)
    try:
        yield Terminal(process, screen, Path(path))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        with trio.move_on_after(5, shield=True):
            await process.wait()
        os.close(screen)
