"""`antiphon serve --processes N`: starts N processes on one port, and looks after them.

The processes are independent: each is a whole server with an event loop of its own, listens on the
same port (SO_REUSEPORT), and is a process of the cluster like one on another machine. This one only
starts them, says when all listen, passes signals on, and starts again what has died. It holds no
connection and no session, so it has nothing to lose; when it is gone itself its children notice,
for their stdin ends, and stop as by SIGTERM. Must not import the engine.
"""

from __future__ import annotations

import logging
import random
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing

import trio

from server.settings import Settings

_log = logging.getLogger("antiphon.processes")

CHILD = (sys.executable, "-m", "server.child")
FIRST_WAIT_S = 0.25
"""Before the first restart of a process; doubles while it dies young, with jitter."""
LONGEST_WAIT_S = 10.0
YOUNG_S = 30.0
"""A process that lived longer than this has not failed at starting."""

READY = re.compile(rb"listening on (http\S+)")


def run_processes(settings: Settings) -> int:
    """Serve with several processes until told to stop; gives the exit code.

    Raises:
        OSError: the port cannot be had.
    """
    with closing(reserve_port(settings.host, settings.port)) as reserved:
        port: int = reserved.getsockname()[1]
        return trio.run(_Parent(settings.model_copy(update={"port": port})).run)


def reserve_port(host: str, port: int) -> socket.socket:
    """Hold a port for the children, over their restarts, without listening on it.

    Raises:
        OSError: somebody else has it.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:  # two servers must not share a port unawares
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)
        address = probe.getsockname()
    reserved = socket.socket(family, kind)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except BaseException:
        reserved.close()
        raise
    return reserved


class _Parent:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._children: dict[int, trio.Process] = {}
        self._urls: dict[int, str] = {}
        self._has_started = False
        self._stopping = trio.Event()
        self._failed = False

    async def run(self) -> int:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_signals, signals)
                async with trio.open_nursery() as children:
                    for number in range(self._settings.processes):
                        children.start_soon(self._keep, number)
                nursery.cancel_scope.cancel(reason="all processes have ended")
        return 1 if self._failed else 0

    async def _watch_signals(self, signals: object) -> None:
        async for number in signals:  # type: ignore[attr-defined]  # trio does not name its type
            self._stop(signal.Signals(number))

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        for child in self._children.values():
            child.send_signal(number)

    async def _keep(self, number: int) -> None:
        """Have one process run, again and again, until all are to stop."""
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            began_at = trio.current_time()
            code = await self._live(number)
            if self._stopping.is_set():
                self._failed |= code != 0
            elif not self._has_started:  # a setting is wrong, and it has said which
                self._failed = True
                self._stop(signal.SIGTERM)
            else:
                if trio.current_time() - began_at > YOUNG_S:
                    wait_s = FIRST_WAIT_S
                _log.error("process %d has ended (%s): starting another", number, _ending(code))
                with trio.move_on_after(wait_s * random.uniform(0.5, 1.0)):
                    await self._stopping.wait()
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _live(self, number: int) -> int:
        """Run one process to its end; gives its exit code, negative for a signal."""
        child = await trio.lowlevel.open_process(
            CHILD,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C comes once, from here
        )
        self._children[number] = child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            try:
                await child.stdin.send_all(self._settings.model_dump_json().encode() + b"\n")
            except trio.BrokenResourceError:
                pass  # it has ended already
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, number, child.stdout)
                return await child.wait()
        finally:
            del self._children[number]
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
                await child.stdin.aclose()
                await child.stdout.aclose()

    async def _read(self, number: int, stdout: trio.abc.ReceiveStream) -> None:
        """Wait for the line that says that it listens, and say so once for all."""
        seen = b""
        async for data in stdout:
            if self._has_started:
                continue
            seen = (seen + data)[-4096:]
            found = READY.search(seen)
            if found and seen.endswith(b"\n"):
                self._urls[number] = found[1].decode()
                if len(self._urls) == self._settings.processes:
                    self._has_started = True
                    print(f"antiphon: listening on {self._urls[number]}", flush=True)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
