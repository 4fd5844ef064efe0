"""The workers of one run: started together, begun at one moment, their measures added up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from time import monotonic

import trio

from benchmarks.load.lines import Lines
from benchmarks.load.measures import Measures
from benchmarks.load.messages import (
    Done,
    Failed,
    FromWorker,
    Go,
    Job,
    Progress,
    Ready,
    Stop,
    ToWorker,
    Use,
    from_worker,
    line,
)
from benchmarks.load.plan import Plan

BEGIN_AFTER_S = 0.2
"""Between `Go` and the beginning: so long that every worker has read it."""

STOP_S = 10.0
"""How long a worker may take to say what it has, once it is told to stop."""

Headers = tuple[tuple[str, str], ...]


class WorkerFailed(Exception):
    """A worker could not do its share; the message says why."""


class Crew:
    """The workers.

    Args:
        plan: what they do.
        processes: how many.
        headers: of their requests.
        show: is given their common progress.
    """

    def __init__(
        self,
        plan: Plan,
        processes: int,
        headers: Headers,
        show: Callable[[Progress], None],
    ) -> None:
        self.measures = Measures()
        self.used: list[Use] = []
        self._plan = plan
        self._processes = processes
        self._headers = headers
        self._show = show
        self._workers: list[trio.Process] = []
        self._ready = 0
        self._has_begun = self._is_stopped = False
        self._all_ready = trio.Event()
        self._progress = [Progress()] * processes

    async def run(self, *, at_start: Callable[[float], Awaitable[None]]) -> None:
        """Run them to their end.

        Args:
            at_start: is run beside them once they are ready, with the moment of the beginning; what
                it still does at the end is cancelled.

        Raises:
            WorkerFailed: one of them could not.

        Cancellation: they are killed, and what they measured is lost; `stop` before.
        """
        async with trio.open_nursery() as nursery:
            await self._all(nursery, at_start)
            nursery.cancel_scope.cancel(reason="the workers are done")

    async def _all(
        self, beside: trio.Nursery, at_start: Callable[[float], Awaitable[None]]
    ) -> None:
        try:
            async with trio.open_nursery() as nursery:
                for share in range(self._processes):
                    worker = await trio.lowlevel.open_process(
                        [sys.executable, "-m", "benchmarks.load.worker"],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        start_new_session=True,  # Ctrl-C reaches the parent, which stops them
                    )
                    self._workers.append(worker)
                    nursery.start_soon(self._follow, share, worker)
                await self._all_ready.wait()
                begins_at = monotonic() + BEGIN_AFTER_S
                if not self._is_stopped:
                    beside.start_soon(at_start, begins_at)
                self._has_begun = True
                for worker in self._workers:
                    await self._say(worker, Stop() if self._is_stopped else Go(at=begins_at))
        finally:
            with trio.move_on_after(STOP_S, shield=True):
                for worker in self._workers:
                    if worker.returncode is None:
                        worker.kill()
                    await worker.wait()

    async def stop(self) -> None:
        """Tell them to say what they have. They end by themselves then, and never begin."""
        is_first, self._is_stopped = not self._is_stopped, True
        for worker in self._workers if is_first and self._has_begun else ():
            await self._say(worker, Stop())

    async def _say(self, worker: trio.Process, message: ToWorker) -> None:
        assert worker.stdin is not None
        try:
            await worker.stdin.send_all(line(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it has ended; what follows it says why

    async def _follow(self, share: int, worker: trio.Process) -> None:
        job = Job(plan=self._plan, share=share, of=self._processes, headers=self._headers)
        await self._say(worker, job)
        assert worker.stdout is not None
        lines = Lines(worker.stdout)
        while (said := await lines.next()) is not None:
            if self._hear(share, from_worker.decode(said)):
                return
        raise WorkerFailed(f"a worker ended with {await worker.wait()}, without a word")

    def _hear(self, share: int, message: FromWorker) -> bool:
        """Take what a worker says; whether it was the last of it."""
        match message:
            case Ready():
                self._ready += 1
                if self._ready == self._processes:
                    self._all_ready.set()
            case Progress():
                self._progress[share] = message
                total = Progress()
                for each in self._progress:
                    total = total.plus(each)
                self._show(total)
            case Done():
                self._all_ready.set()  # it was stopped before the others were ready
                self.measures.add(message.saved)
                self.used.append(message.use)
                return True
            case Failed():
                raise WorkerFailed(message.why)
        return False
