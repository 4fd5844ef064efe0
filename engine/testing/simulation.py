"""Carries out a plan of whole sessions in a real engine, and checks all that was seen.

The one rule: nothing of the engine is replaced but what lies outside it: providers, the disk,
clients, time. Every run ends with each session read once more from its start, by a reader that
came late. Must not import a pipeline of the engine's.

    outcome = simulate(make_workload(seed))
    assert not outcome.violations
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import msgspec
import trio

from engine.callers import Options
from engine.engine import Engine, open_engine
from engine.errors import JournalFailed, NotFound, Overloaded, RateLimited, ShuttingDown
from engine.events import Entry
from engine.journal.interface import ENDED, Batch, Commit, Journal, SessionState
from engine.journal.memory import MemoryJournal
from engine.sessions.session import Session
from engine.testing.admissions import Admissions
from engine.testing.bounds import Bounds
from engine.testing.checker import (
    Missing,
    Reader,
    Reading,
    Sight,
    Violation,
    check_kept,
    check_readers,
    check_source,
)
from engine.testing.client import Client
from engine.testing.deterministic import run_deterministic
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.otp_rules import check_family
from engine.testing.plan_pipeline import PlanPipeline, Simulated
from engine.testing.workload import (
    CancelPlan,
    DrainPlan,
    ReaderPlan,
    SessionPlan,
    Workload,
)

PATIENCE_S = 600.0
"""Virtual seconds after which a run is stuck: no plan needs half of them."""

DRAIN_END_S = 1.0
"""How long after its grace a drain is over, whoever stalls."""
STARTS = 8
"""How often a client asks for a session for which there is no slot."""
SETTLED_S = 2.0
"""After this time every write of every plan is durable."""
EPOCH_S = 1_700_000_000.0
"""Unix time at the start of every run."""


class Outcome(msgspec.Struct, kw_only=True):
    """What a run showed."""

    violations: list[Violation] = msgspec.field(default_factory=list)
    ends: Counter[str] = msgspec.field(default_factory=Counter)
    """How sessions ended, by their state."""
    trace: list[tuple[float, str, str]] = []
    """Everything that any reader was given: when, who, what. The same for the same seed."""
    looks: int = 0
    """How often a session's buffers were measured."""
    drained_s: float | None = None
    """How long the drain took, if there was one."""
    turned_away: int = 0
    """Starts for which there was no slot."""
    marks: int = 0
    """What was written down of supervised children."""
    calls: int = 0
    """Calls that came through a limited account."""
    refused: int = 0
    """Late writes of a dead process that the journal refused."""
    appends: int = 0
    """Batches that the journal was handed, where it counts them."""


def simulate(workload: Workload, *, instruments: Sequence[trio.abc.Instrument] = ()) -> Outcome:
    """Run a workload by its own seed, and check it."""
    return run_deterministic(Simulation(workload).run, seed=workload.seed, instruments=instruments)


class WitnessJournal(MemoryJournal):
    """A memory journal that says, at any moment, how far each session is durable."""

    def __init__(self) -> None:
        super().__init__()
        self.durable: dict[str, int] = {}

    def append_nowait(self, batch: Batch) -> Commit:  # type: ignore[override]  # the same promise
        """See `Journal.append_nowait`."""
        commit = super().append_nowait(batch)
        if batch.entries:
            seq = self.durable.get(batch.session_id, 0)
            self.durable[batch.session_id] = max(seq, batch.entries[-1].seq)
        return commit


class Simulation:
    """One run of one workload.

    Args:
        workload: the plan.
        pipeline: what sessions do; None: what the plan says of their phases.
    """

    def __init__(self, workload: Workload, pipeline: Simulated | None = None) -> None:
        self.workload = workload
        self.outcome = Outcome()
        own = PlanPipeline(workload, partial(self.violate, "I14"))
        self.pipeline: Simulated = pipeline or own
        self.account = own.account
        self.tapes = own.tapes
        self.witness = WitnessJournal()
        self.journal = self._journal()
        self.sessions: dict[int, Session] = {}
        self.ids: dict[int, str] = {}
        self.clients: dict[int, list[Client]] = {}
        self.late: dict[int, Reader] = {}
        self.durable: dict[int, Reader] = {}
        self.states: dict[int, SessionState] = {}
        self.lives = 1
        self._late_writes: tuple[Batch, ...] = ()
        self._random = Random(workload.seed)

    @property
    def is_stopped(self) -> bool:
        """Whether the simulated process is dead."""
        return isinstance(self.journal, FaultyJournal) and self.journal.has_crashed

    def durable_seq(self, place: int) -> int:
        """The last offset of a session that would survive a crash now."""
        if isinstance(self.journal, FaultyJournal):
            _ = self.journal.pending  # passes on what is due
        return self.witness.durable.get(self.ids[place], 0)

    def note(self, place: int, reader: str, what: Entry | Missing) -> None:
        """Put a line into the trace."""
        shown = f"{what.first_seq}-{what.seq}" if isinstance(what, Entry) else repr(what)
        kind = type(what.event).__name__ if isinstance(what, Entry) else ""
        self.outcome.trace.append((trio.current_time(), f"{place}/{reader}", f"{shown} {kind}"))

    def violate(self, invariant: str, message: str) -> None:
        """Report a broken promise."""
        self.outcome.violations.append(Violation(invariant=invariant, message=message))

    async def run(self) -> Outcome:
        """Run everything, through a crash and the life after it, and check everything."""
        before = trio.lowlevel.current_statistics().tasks_living
        with trio.move_on_after(PATIENCE_S) as patience:
            await self._live(self._first_life)
            if isinstance(self.journal, FaultyJournal):
                self.outcome.appends = self.journal.appends
                if self.journal.has_crashed:
                    lost, self.journal = self.journal.lost, self.journal.survivor()
                    self._late_writes = lost
                    self.lives += 1
                    await self._live(self._next_life)
        if patience.cancelled_caught:
            stuck = [repr(session.log.statistics()) for session in self.sessions.values()]
            self.violate("I3", f"stuck for {PATIENCE_S:g} s: {stuck}")
        left = trio.lowlevel.current_statistics().tasks_living - before
        if left:
            self.violate("I10", f"{left} tasks are left")
        if self.account is not None:
            self.account.compare(is_over=True)
            self.outcome.calls = self.account.calls
        self._check()
        return self.outcome

    async def _live(self, life: Callable[[Engine], Awaitable[None]]) -> None:
        """Run one life of the process: to its end, or until it crashes."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._die, nursery.cancel_scope)
            async with self._open_engine() as engine:
                await life(engine)
                await self._read_once_more(engine)
            nursery.cancel_scope.cancel()

    async def _die(self, scope: trio.CancelScope) -> None:
        if isinstance(self.journal, FaultyJournal):
            await self.journal.wait_crashed()
            scope.cancel(reason="the process has crashed")

    async def _first_life(self, engine: Engine) -> None:
        async with trio.open_nursery() as nursery:
            for place, plan in enumerate(self.workload.sessions):
                nursery.start_soon(self._session, engine, place, plan)
            if self.workload.drain is not None:
                nursery.start_soon(self._drain, engine, self.workload.drain)

    async def _drain(self, engine: Engine, plan: DrainPlan) -> None:
        """Drain, and be killed when that is over, as a process is by its supervisor (I11)."""
        await trio.sleep(plan.at_s)
        began = trio.current_time()
        with trio.move_on_after(plan.grace_s + PATIENCE_S / 10):
            await engine.drain(plan.grace_s)
        took_s = self.outcome.drained_s = trio.current_time() - began
        if took_s > plan.grace_s + DRAIN_END_S:
            self.violate("I11", f"a drain with a grace of {plan.grace_s:g} s took {took_s:g} s")
        if isinstance(self.journal, FaultyJournal) and not self.journal.has_crashed:
            self.journal.crash()

    async def _next_life(self, engine: Engine) -> None:
        """Have all clients come back with the cursors that they had."""
        await self._write_late()
        async with trio.open_nursery() as nursery:
            for place, session_id in self.ids.items():
                session = engine.sessions.get(session_id)
                if session is not None:
                    self.sessions[place] = session
                    nursery.start_soon(self._watch, session)
                for client in self.clients[place]:
                    if not (client.is_done or client.has_lost_journal):
                        nursery.start_soon(client.come_back, engine, session_id)

    async def _write_late(self) -> None:
        """Have what the dead process had on its way arrive now, after its time (I13)."""
        for batch in self._late_writes:
            record = await self.witness.load(batch.session_id)
            if record is None or record.epochs[-1].name == batch.epoch:
                continue  # it was not at work any more
            try:
                self.witness.append_nowait(batch)
                self.violate("I13", f"a write of the dead epoch {batch.epoch} was taken")
            except JournalFailed:
                self.outcome.refused += 1

    def _journal(self) -> Journal:
        if self.workload.journal == "memory":
            return self.witness
        return FaultyJournal(
            self.witness,
            delay_s=self.workload.journal_delay_s,
            fail_at=self.workload.fail_at,
            fail_count=self.workload.fail_count,
            crash_at=self.workload.crash_at,
            stall_at=self.workload.stall_at,
            repeat_every=self.workload.repeat_every,
            max_pending_bytes=self.workload.limits.journal_pending_bytes,
        )

    @asynccontextmanager
    async def _open_engine(self) -> AsyncIterator[Engine]:
        async with open_engine(
            providers=self.pipeline.directory,
            pipelines=[self.pipeline],
            journal=self.journal,
            limits=self.workload.limits,
            random=self._random,
            unix_now=lambda: EPOCH_S + trio.current_time(),
        ) as engine:
            limits = self.workload.limits
            bounds = Bounds(engine, limits, partial(self.violate, "I7"))
            self.admissions = Admissions(
                engine, limits, partial(self.violate, "I14"), is_first_life=self.lives == 1
            )
            trio.lowlevel.add_instrument(bounds)
            trio.lowlevel.add_instrument(self.admissions)
            try:
                yield engine
            finally:
                trio.lowlevel.remove_instrument(bounds)
                trio.lowlevel.remove_instrument(self.admissions)
                self.outcome.looks += bounds.looks

    async def _session(self, engine: Engine, place: int, plan: SessionPlan) -> None:
        await trio.sleep(plan.starts_s)
        was_draining = engine.is_draining
        session = await self._start(engine, place, plan)
        if session is None:
            return
        if was_draining:
            self.violate("I11", f"session {place} was started after the drain began")
        self.sessions[place], self.ids[place] = session, session.session_id
        clients = self.clients[place] = []
        async with trio.open_nursery() as nursery:
            for cancel in plan.cancels:
                nursery.start_soon(self._cancel, session, cancel)
            for number, reader in enumerate(plan.readers):
                client = Client(self, place, reader, f"{number} {reader.kind}")
                clients.append(client)
                nursery.start_soon(client.run, engine, session.session_id)
            nursery.start_soon(self._watch, session)

    async def _start(self, engine: Engine, place: int, plan: SessionPlan) -> Session | None:
        """Start a session, again after a while where there is no slot; None: it was given up."""
        options = Options(
            detached=plan.detached, deadline_s=plan.deadline_s, token_budget=plan.token_budget
        )
        for _ in range(STARTS):
            starting = self.admissions.starting
            starting[plan.owner] += 1
            try:
                return await engine.start(
                    self.pipeline.name, self.pipeline.data(place), owner=plan.owner, options=options
                )
            except JournalFailed:
                return None
            except ShuttingDown:
                if not engine.is_draining:
                    self.violate("I11", "a session was refused as if by a drain, without one")
                return None
            except (Overloaded, RateLimited) as error:
                self.outcome.turned_away += 1
                wait_s = error.retry_after_s or 0.0
            finally:
                starting[plan.owner] -= 1
                if not starting[plan.owner]:
                    del starting[plan.owner]
            await trio.sleep(wait_s)
        return None

    async def _cancel(self, session: Session, plan: CancelPlan) -> None:
        await trio.sleep(plan.at_s)
        if plan.target is None:
            session.cancel(plan.reason)
        else:
            try:
                session.cancel_part(plan.target)
            except NotFound:
                pass  # it has not begun, or was never declared

    async def _watch(self, session: Session) -> None:
        """See a session's end, and that it leaves nothing behind (I14)."""
        await session.ended.wait()
        if self.account is not None:
            self.account.compare(is_over=False)
        if session.budget.reserved:
            self.violate("I14", f"{session.budget} after the end")
        if session.parts:
            self.violate("I10", f"parts still at work after the end: {sorted(session.parts)}")

    async def _read_once_more(self, engine: Engine) -> None:
        """Read each session from its start, as a late client and as a journal's owner does."""
        await trio.sleep(SETTLED_S)
        for place, session in self.sessions.items():
            self.states[place] = (await engine.record(session.session_id)).state
            if self.states[place] in ENDED:
                client = Client(self, place, ReaderPlan(kind="pull"), "late")
                self.late[place] = client.record
                await client.run(engine, session.session_id)
                self.durable[place] = await self._read_journal(session)

    async def _read_journal(self, session: Session) -> Reader:
        """Give what is durable, as if a client had been there in each of the session's epochs."""
        record = await self.witness.load(session.session_id)
        assert record is not None
        readings = [Reading(after_seq=epoch.after_seq, epoch=epoch.name) for epoch in record.epochs]
        readings[-1].has_ended = True
        seq = 0
        while entries := await self.witness.read(session.session_id, seq):
            for entry in entries:
                reading = [each for each in readings if each.after_seq < entry.first_seq][-1]
                reading.sights.append(Sight(what=entry, at=entry.at))
            seq = entries[-1].seq
        return Reader(name="the journal", readings=readings)

    def _check(self) -> None:
        for family, tape in self.tapes:
            self.outcome.marks += len(tape)
            for message in check_family(family, tape)[:1]:  # the rest may follow from it
                self.violate("I8", message)
        for place, session in self.sessions.items():
            readers = [client.record for client in self.clients[place]]
            late = self.late.get(place)
            if late is not None:
                self.outcome.violations += check_kept(readers, late)
                readers += [late, self.durable[place]]
            self.outcome.violations += check_readers(readers)
            self.outcome.violations += check_source(readers, self.pipeline.written(place))
            state = self.states.get(place, session.state)
            self.outcome.ends[state] += 1
            if state not in ENDED:
                self.violate("I3", f"session {place} has not ended")
