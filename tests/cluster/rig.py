"""Engines that share a journal and a board in memory, each in a process that a test can kill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import trio

from engine.cluster.memory import MemoryBoard, SharedBoard
from engine.engine import Engine, open_engine
from engine.events import Completed, Delta, Entry, Part
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.sessions.run import Run
from engine.sessions.subscription import Subscription
from engine.testing.faulty_board import FaultyBoard
from engine.testing.faulty_journal import FaultyJournal
from tests.sessions.doubles import Script, TestPipeline

LEASE_S = 2.0
PART = Part(id="p", target={"prompt_id": "p"}, phase="work")
PIECES = [f"word{number} " for number in range(40)]
TEXT = "".join(PIECES)


async def write_slowly(run: Run) -> Completed:
    """Four seconds of text."""
    run.declare([PART.target])
    await run.start_phase("work")
    if run.completed("p") is None:
        async with run.cuttable(PART):
            for piece in PIECES:
                await run.write(PART, piece)
                await trio.sleep(0.1)
        await run.complete_part(PART, TEXT)
    return Completed(data={})


class Process:
    """One engine, and what a test may do to it."""

    def __init__(self, engine: Engine, board: FaultyBoard, journal: FaultyJournal) -> None:
        self.engine = engine
        self.board = board
        self.journal = journal
        self.scope = trio.CancelScope()

    def kill(self) -> None:
        """Die at once."""
        self.journal.crash()
        self.board.is_cut = True
        self.scope.cancel(reason="killed")


class Cluster:
    """What the processes share, and how to start one."""

    def __init__(self, script: Script, limits: Limits, nursery: trio.Nursery) -> None:
        self.journal = MemoryJournal()
        self.shared = SharedBoard(lease_s=limits.lease_s)
        self._script = script
        self._limits = limits
        self._nursery = nursery
        self._count = 0

    async def start(self, name: str) -> Process:
        """Start a process; it serves when this returns."""
        self._count += 1
        process: Process = await self._nursery.start(self._live, name, self._count)
        return process

    async def _live(self, name: str, seed: int, *, task_status: trio.TaskStatus[Process]) -> None:
        journal = FaultyJournal(self.journal, delay_s=0.002)
        board = FaultyBoard(MemoryBoard(self.shared, name), Random(seed), delay_s=0.001)
        with trio.CancelScope() as scope:
            async with open_engine(
                providers=None,  # type: ignore[arg-type]  # no script asks one
                pipelines=[TestPipeline(self._script)],
                limits=self._limits,
                journal=journal,
                random=Random(seed),
                board=board,
            ) as engine:
                process = Process(engine, board, journal)
                process.scope = scope
                task_status.started(process)
                await trio.sleep_forever()


@asynccontextmanager
async def open_cluster(
    script: Script = write_slowly, *names: str, limits: Limits | None = None
) -> AsyncIterator[tuple[Cluster, list[Process]]]:
    """Open a cluster of the processes `names`, "a" and "b" unless given."""
    limits = limits or Limits(lease_s=LEASE_S, take_s=0.25)
    async with trio.open_nursery() as nursery:
        cluster = Cluster(script, limits, nursery)
        processes = [await cluster.start(name) for name in names or ("a", "b")]
        yield cluster, processes
        nursery.cancel_scope.cancel()


async def read_to_end(subscription: Subscription) -> list[Entry]:
    """Take all that comes."""
    entries: list[Entry] = []
    with subscription:
        while batch := await subscription.receive():
            entries += [item for item in batch if isinstance(item, Entry)]
    return entries


async def read_until(subscription: Subscription, is_enough: Callable[[Entry], bool]) -> list[Entry]:
    """Take what comes up to an entry that a test wants to see."""
    entries: list[Entry] = []
    while batch := await subscription.receive():
        entries += [item for item in batch if isinstance(item, Entry)]
        if any(map(is_enough, entries)):
            return entries
    raise AssertionError("the session has ended before")


def text_of(entries: list[Entry]) -> str:
    """Join the text of all deltas."""
    return "".join(entry.event.text for entry in entries if isinstance(entry.event, Delta))
