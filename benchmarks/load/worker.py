"""One process that makes load and measures it; its parent plans, shows and judges.

    python -m benchmarks.load.worker      speaks as benchmarks/load/messages.py says, over its pipes

It ends when its share is done, when it is told to stop, and when its parent is gone.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from time import monotonic, process_time

import trio
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # it has none

from benchmarks.load import limits
from benchmarks.load.adapters.loading import load_adapter
from benchmarks.load.arrivals import Closed
from benchmarks.load.lines import Lines
from benchmarks.load.measures import Measures, percentile_ms
from benchmarks.load.messages import (
    Done,
    Failed,
    FromWorker,
    Go,
    Job,
    Progress,
    Ready,
    Stop,
    Use,
    line,
    to_worker,
)
from benchmarks.load.plan import Intent, Storm, intent, intents
from benchmarks.load.request import Request, Rig, Start
from benchmarks.load.target import parse_target

CONNECTING_AT_ONCE = 100
"""Connections that are opened side by side before the run: fewer than any server's backlog."""


class Worker:
    """A worker's run.

    Args:
        job: what it has to do.
        lines: what its parent says.
    """

    def __init__(self, job: Job, lines: Lines) -> None:
        self._job = job
        self._plan = job.plan
        self._lines = lines
        self._measures = Measures()
        self._lag = HdrHistogram(1, limits.LONGEST_US, limits.DIGITS)
        plan = job.plan
        self._rig = Rig(
            plan,
            load_adapter(plan.target, plan.options),
            parse_target(plan.url),
            job.headers,
            self._measures,
        )
        self._slots = trio.Semaphore(max(1, plan.max_open // job.of))

    async def run(self) -> Done:
        """Work; gives what was measured."""
        go = trio.Event()
        async with trio.open_nursery() as watchers:
            with trio.CancelScope() as patience:
                async with trio.open_nursery() as requests:
                    if self._plan.preconnect:
                        await self._preconnect(requests, go)
                    say(Ready())
                    began_at = self._rig.began_at = await self._wait_for_go()
                    if self._rig.is_stopped:
                        requests.cancel_scope.cancel(reason="stopped before it began")
                    cpu_s = process_time()
                    wait_s = max(0.0, began_at - monotonic())
                    whole_s = wait_s + self._plan.duration_s + self._plan.settle_s
                    patience.deadline = trio.current_time() + whole_s
                    self._watch(watchers, patience)
                    await trio.sleep(wait_s)
                    go.set()
                    if not self._plan.preconnect:
                        await self._start(requests)
            use = self._use(process_time() - cpu_s, monotonic() - began_at)
            watchers.cancel_scope.cancel(reason="the run is over")
        return Done(saved=self._measures.save(), use=use)

    def _use(self, cpu_s: float, wall_s: float) -> Use:
        return Use(
            cpu_s=cpu_s,
            wall_s=wall_s,
            lag_p99_ms=percentile_ms(self._lag, 99),
            lag_max_ms=percentile_ms(self._lag, 100),
        )

    # ---- the load --------------------------------------------------------------------------------

    async def _preconnect(self, requests: trio.Nursery, go: trio.Event) -> None:
        """Open a connection for each request, some at once."""
        starts: list[Start] = []
        for meant in self._intents():
            starts.append(Start(go))
            requests.start_soon(Request(self._rig, meant).run, starts[-1])
            if len(starts) >= CONNECTING_AT_ONCE:
                await starts[-CONNECTING_AT_ONCE].connected.wait()
        for start in starts:
            await start.connected.wait()

    async def _start(self, requests: trio.Nursery) -> None:
        if isinstance(self._plan.arrivals, Closed):
            for first in self._intents():
                requests.start_soon(self._user, first, self._plan.arrivals)
        else:
            await self._arrive(requests)

    def _intents(self) -> Iterator[Intent]:
        return intents(self._plan, share=self._job.share, of=self._job.of)

    async def _arrive(self, requests: trio.Nursery) -> None:
        """Start each request at its moment, or as soon after it as one may be open."""
        for meant in self._intents():
            await trio.sleep(max(0.0, self._rig.began_at + meant.at_s - monotonic()))
            try:
                self._slots.acquire_nowait()
            except trio.WouldBlock:
                self._measures.counts.held_back += 1
                await self._slots.acquire()
            requests.start_soon(self._one, meant)

    async def _one(self, meant: Intent) -> None:
        try:
            await Request(self._rig, meant).run()
        finally:
            self._slots.release()

    async def _user(self, first: Intent, arrivals: Closed) -> None:
        """Ask, read, think, and ask again, until the time is over or all numbers are used."""
        number = first.number
        while True:
            now_s = monotonic() - self._rig.began_at
            if now_s >= self._plan.duration_s or number >= self._plan.max_requests:
                return
            await Request(self._rig, intent(self._plan, number, now_s)).run()
            await trio.sleep(arrivals.think_s)
            number += arrivals.users

    # ---- beside it -------------------------------------------------------------------------------

    def _watch(self, watchers: trio.Nursery, patience: trio.CancelScope) -> None:
        watchers.start_soon(self._stop_when_told, patience)
        watchers.start_soon(self._watch_lag)
        watchers.start_soon(self._tell_progress)
        if self._plan.storm is not None:
            watchers.start_soon(self._storm, self._plan.storm)

    async def _storm(self, storm: Storm) -> None:
        """Cut every connection that knows how to come back, at once."""
        for number in range(1, storm.rounds + 1):
            await trio.sleep(max(0.0, self._rig.began_at + number * storm.at_s - monotonic()))
            for request in tuple(self._rig.open):
                request.cut()

    async def _wait_for_go(self) -> float:
        """Wait for the beginning; told to stop instead, there is none."""
        said = await self._lines.next()
        message = Stop() if said is None else to_worker.decode(said)
        if isinstance(message, Go):
            return message.at
        self._rig.is_stopped = True
        return monotonic()

    async def _stop_when_told(self, patience: trio.CancelScope) -> None:
        """End when the parent says so, and when it is gone."""
        said = await self._lines.next()
        assert said is None or isinstance(to_worker.decode(said), Stop)
        self._rig.is_stopped = True
        patience.cancel(reason="the run was stopped")

    async def _watch_lag(self) -> None:
        """See how late timers are: what this process is late, it would blame on the server."""
        while True:
            due_at = monotonic() + limits.LAG_TICK_S
            await trio.sleep(limits.LAG_TICK_S)
            self._lag.record_value(max(0, round((monotonic() - due_at) * 1e6)))

    async def _tell_progress(self) -> None:
        counts = self._measures.counts
        while True:
            await trio.sleep(limits.PROGRESS_S)
            seconds = self._measures.seconds.values()
            ended = sum(second.ended for second in seconds)
            say(
                Progress(
                    started=counts.started,
                    ended=ended,
                    open=len(self._rig.open),
                    failed=counts.failed,
                    tokens=sum(second.tokens for second in seconds),
                )
            )


def say(message: FromWorker) -> None:
    """Tell the parent. It reads all the time, so this does not block for long."""
    sys.stdout.buffer.write(line(message))
    sys.stdout.buffer.flush()


async def _main() -> None:
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as pipe:
        lines = Lines(pipe)
        said = await lines.next()
        if said is None:
            return
        job = to_worker.decode(said)
        assert isinstance(job, Job)
        try:
            worker = Worker(job, lines)
        except ValueError as error:
            say(Failed(why=str(error)))
            return
        say(await worker.run())


if __name__ == "__main__":
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)  # a collection of all would show up as the server's lateness
    sys.path.insert(0, os.getcwd())  # where adapters of one's own lie
    trio.run(_main)
