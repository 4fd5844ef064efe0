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
from contextlib import asynccontextmanager, suppress
from functools import partial
from random import Random
from typing import Any, Protocol

import msgspec
import trio
from pydantic import BaseModel

from engine.callers import Options
from engine.engine import Engine, open_engine
from engine.errors import AntiphonError, JournalFailed, NotFound
from engine.events import JSON, Completed, Entry, Failed, Part, PartFailed
from engine.journal.interface import ENDED, Batch, Commit, Journal, SessionState
from engine.journal.memory import MemoryJournal
from engine.pipelines.interface import AnyPipeline
from engine.providers.interface import Delta, GenerationRequest, Message
from engine.sessions.outcomes import PartCut, PartLost
from engine.sessions.run import Run
from engine.sessions.session import Session
from engine.sessions.subscription import Gap, Subscription
from engine.supervision import Lost, Member, fan_out
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
from engine.testing.deterministic import run_deterministic
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.scripted_provider import ScriptedProvider
from engine.testing.workload import (
    CancelPlan,
    PartPlan,
    PhasePlan,
    ReaderPlan,
    SessionPlan,
    Workload,
)

PATIENCE_S = 600.0
"""Virtual seconds after which a run is stuck: no plan needs half of them."""

OVERSHOOT = 8
"""Entries that lanes at work may add before they wait: one for each, and milestones."""
SETTLED_S = 2.0
"""After this time every write of every plan is durable."""
EPOCH_S = 1_700_000_000.0
"""Unix time at the start of every run."""


class Planted(Exception):
    """What a part that is a bomb raises: a defect of a pipeline."""


class Simulated(AnyPipeline, Protocol):
    """A pipeline with the provider doubles that it uses, so that these can be looked at."""

    @property
    def directory(self) -> Any:
        """What the engine gets for its providers."""
        ...

    def data(self, place: int) -> JSON:
        """Give the request of one session."""
        ...

    def open_calls(self, place: int) -> int:
        """How many provider calls of a session are open."""
        ...

    def written(self, place: int) -> dict[str, str]:
        """Give, for each part that one call alone writes, what its last call gave."""
        ...


class PlanCommand(BaseModel):
    """Which session of the workload to run."""

    place: int


class Outcome(msgspec.Struct, kw_only=True):
    """What a run showed."""

    violations: list[Violation] = msgspec.field(default_factory=list)
    ends: Counter[str] = msgspec.field(default_factory=Counter)
    """How sessions ended, by their state."""
    trace: list[tuple[float, str, str]] = []
    """Everything that any reader was given: when, who, what. The same for the same seed."""
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


# ---- the pipeline -------------------------------------------------------------------------------


class PlanPipeline:
    """Does what a session's plan says, with everything that a pipeline may use."""

    name = "plan"
    is_detached = False
    directory = None

    def __init__(self, workload: Workload) -> None:
        self.plans = workload.sessions
        self.providers = {
            (place, part.id): ScriptedProvider(*part.scripts, name=part.id, close_s=part.close_s)
            for place, session in enumerate(workload.sessions)
            for phase in session.phases
            for part in phase.parts
        }

    def data(self, place: int) -> JSON:
        """See `Simulated.data`."""
        return {"place": place}

    def parse(self, data: JSON) -> tuple[PlanCommand, tuple[str, ...]]:
        """See `Pipeline.parse`."""
        return PlanCommand(**data), ()

    async def run(self, run: Run, command: PlanCommand) -> Completed | Failed:
        """See `Pipeline.run`."""
        plan = self.plans[command.place]
        run.declare({"prompt_id": part.id} for phase in plan.phases for part in phase.parts)
        run.declare({"phase": phase.name} for phase in plan.phases)
        for phase in plan.phases:
            await run.start_phase(phase.name)
            if phase.is_chain:
                await self._chain(run, command.place, phase)
            else:
                await self._side_by_side(run, command.place, phase)
            await run.complete_phase(phase.name, data={"parts": len(phase.parts)})
        return Completed(data={"parts": sorted(run.view.parts)})

    async def _side_by_side(self, run: Run, place: int, phase: PhasePlan) -> None:
        members = [
            Member(part.id, partial(self._make, run, place, phase, part)) for part in phase.parts
        ]
        for outcome in await fan_out(members, lanes=phase.lanes):
            if isinstance(outcome, Lost) and isinstance(outcome.error, JournalFailed):
                raise outcome.error

    async def _chain(self, run: Run, place: int, phase: PhasePlan) -> None:
        send, receive = trio.open_memory_channel[PartPlan](1)

        async def first() -> None:
            async with send:
                for part in phase.parts:
                    await send.send(part)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            async with receive:
                async for part in receive:
                    try:
                        await self._make(run, place, phase, part, 1)
                    except Planted:
                        pass

    async def _make(
        self, run: Run, place: int, phase: PhasePlan, plan: PartPlan, _attempt: int
    ) -> None:
        known = run.view.parts.get(plan.id)
        if known is not None and known.state != "running":
            return
        part = Part(id=plan.id, target={"prompt_id": plan.id}, phase=phase.name)
        provider = self.providers[place, plan.id]
        try:
            match plan.kind:
                case "bomb":
                    await trio.sleep(0.02)
                    raise Planted(plan.id)
                case "write":
                    for piece in plan.pieces:
                        await run.write(part, piece)
                    await run.complete_part(part, "".join(plan.pieces))
                case "ask":
                    with suppress(PartLost):
                        await run.ask(_request(plan), provider, part=part)
                case _:
                    is_quiet = plan.kind == "quiet"
                    answer = await run.generate(part, _request(plan), provider, quiet=is_quiet)
                    if plan.kind == "improve":
                        part = await run.new_attempt(answer.part, "optimize")
                        answer = await run.generate(part, _request(plan), provider)
                    await run.complete_part(answer.part, answer.text, usage=answer.usage)
        except PartLost as lost:
            await run.emit(PartFailed(part=lost.part, code=lost.code, message=lost.message))
        except PartCut:
            pass

    def open_calls(self, place: int) -> int:
        """How many provider calls of a session are open."""
        return sum(
            provider.open_calls for (owner, _), provider in self.providers.items() if owner == place
        )

    def written(self, place: int) -> dict[str, str]:
        """What the last call of each part's provider gave."""
        texts = {}
        for part in (part for phase in self.plans[place].phases for part in phase.parts):
            provider = self.providers[place, part.id]
            if part.kind in ("generate", "improve", "quiet") and provider.calls:
                script = part.scripts[min(len(provider.calls), len(part.scripts)) - 1]
                deltas = [step for step in script if isinstance(step, Delta)]
                given = deltas[: provider.calls[-1].given]
                texts[part.id] = "".join(delta.text for delta in given)
        return texts


def _request(plan: PartPlan) -> GenerationRequest:
    messages = (Message(role="user", content=plan.id),)
    return GenerationRequest(messages=messages, model="script", max_tokens=30)


# ---- the clients --------------------------------------------------------------------------------


class Client:
    """One reader of one session, over all its connections."""

    def __init__(self, simulation: Simulation, place: int, plan: ReaderPlan, name: str) -> None:
        self.record = Reader(name=name)
        self.is_done = False
        self._simulation = simulation
        self._place = place
        self._plan = plan

    async def run(self, engine: Engine, session_id: str) -> None:
        """Read until the end, with all the drops of the plan."""
        await trio.sleep(self._plan.joins_s)
        await self.come_back(engine, session_id)

    async def come_back(self, engine: Engine, session_id: str) -> None:
        """Read on after what it has, until the end, with all the drops of the plan."""
        plan = self._plan
        for drop_after in (*plan.drops_after, None):
            try:
                self.is_done = await self._connect(engine, session_id, drop_after)
            except JournalFailed:
                if not self._simulation.is_stopped:
                    raise
            if self.is_done:
                return
            await trio.sleep(plan.away_s)

    def _cursor(self) -> tuple[str | None, int | None]:
        for reading in reversed(self.record.readings):
            for sight in reversed(reading.sights):
                if isinstance(sight.what, Entry):
                    return f"{reading.epoch}:{sight.what.seq}", None
                return f"{reading.epoch}:{sight.what.earliest - 1}", None
            return f"{reading.epoch}:{reading.after_seq}", None
        return None, self._plan.after_seq

    async def _connect(self, engine: Engine, session_id: str, drop_after: int | None) -> bool:
        """Read until the end (True), or until it drops (False)."""
        after, after_seq = self._cursor()
        gathered = trio.Event()
        wake = (lambda _: gathered.set()) if self._plan.kind == "push" else None
        try:
            subscription = await engine.subscribe(
                session_id, after=after, after_seq=after_seq, wake=wake
            )
        except AntiphonError:
            if self._simulation.is_stopped:
                return False
            raise
        if subscription.cursor > subscription._log.visible:
            subscription.close()  # a plan's cursor that lies beyond what there is
            return False
        reading = Reading(after_seq=subscription.cursor, epoch=subscription.epoch)
        self.record.readings.append(reading)
        with subscription:
            if self._plan.kind == "never":
                await trio.sleep(3.0)
                return False
            if self._plan.kind == "push":
                return await self._push(subscription, reading, drop_after)
            return await self._pull(subscription, reading, drop_after)

    async def _pull(
        self, subscription: Subscription, reading: Reading, drop_after: int | None
    ) -> bool:
        while True:
            batch = await subscription.receive(self._plan.max_bytes)
            if not batch:
                reading.has_ended = not self._simulation.is_stopped
                return True
            self._take(batch, reading)
            if drop_after is not None and len(reading.sights) >= drop_after:
                return False
            if self._plan.pause_s:
                await trio.sleep(self._plan.pause_s)

    async def _push(
        self, subscription: Subscription, reading: Reading, drop_after: int | None
    ) -> bool:
        """Read as a connection's fast path does: inside the numbering step, without a task."""
        changed = trio.Event()
        limit = drop_after if drop_after is not None else 1 << 30

        def on_wake(_: Subscription) -> None:
            while subscription.has_more and not subscription.is_behind:
                self._take(subscription.take_nowait(self._plan.max_bytes), reading)
                if len(reading.sights) >= limit:
                    break
            if subscription.has_more or subscription.is_ended:
                changed.set()
            else:
                subscription.arm()

        subscription._wake = on_wake
        while True:
            on_wake(subscription)
            await changed.wait()
            changed = trio.Event()
            if len(reading.sights) >= limit:
                return False
            if subscription.is_ended:
                reading.has_ended = not self._simulation.is_stopped
                return True
            self._take(await subscription.take(self._plan.max_bytes), reading)

    def _take(self, batch: Sequence[Entry | Gap], reading: Reading) -> None:
        simulation = self._simulation
        if simulation.is_stopped:
            return  # the process is dead: nobody sees what it would have sent
        for item in batch:
            what: Entry | Missing
            if isinstance(item, Gap):
                what = Missing(requested=item.requested, earliest=item.earliest)
            else:
                what = item
            reading.sights.append(
                Sight(
                    what=what,
                    at=trio.current_time(),
                    durable_seq=simulation.durable_seq(self._place),
                    open_calls=simulation.pipeline.open_calls(self._place),
                )
            )
            simulation.note(self._place, self.record.name, what)
        simulation.weigh(self._place)


# ---- the run ------------------------------------------------------------------------------------


class Simulation:
    """One run of one workload.

    Args:
        workload: the plan.
        pipeline: what sessions do; None: what the plan says of their phases.
    """

    def __init__(self, workload: Workload, pipeline: Simulated | None = None) -> None:
        self.workload = workload
        self.pipeline: Simulated = pipeline or PlanPipeline(workload)
        self.outcome = Outcome()
        self.witness = WitnessJournal()
        self.journal = self._journal()
        self.sessions: dict[int, Session] = {}
        self.ids: dict[int, str] = {}
        self.clients: dict[int, list[Client]] = {}
        self.late: dict[int, Reader] = {}
        self.durable: dict[int, Reader] = {}
        self.states: dict[int, SessionState] = {}
        self.lives = 1
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

    def weigh(self, place: int) -> None:
        """Check that a session's window is within its bounds (I7)."""
        log = self.sessions[place].log.statistics()
        limits = self.workload.limits
        most = 2 * limits.window_events + OVERSHOOT
        if log.window_events > most:
            self.violate("I7", f"{log.window_events} entries in the window, {most} are allowed")

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
                    self.journal = self.journal.survivor()
                    self.lives += 1
                    await self._live(self._next_life)
        if patience.cancelled_caught:
            stuck = [repr(session.log.statistics()) for session in self.sessions.values()]
            self.violate("I3", f"stuck for {PATIENCE_S:g} s: {stuck}")
        left = trio.lowlevel.current_statistics().tasks_living - before
        if left:
            self.violate("I10", f"{left} tasks are left")
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

    async def _next_life(self, engine: Engine) -> None:
        """Have all clients come back with the cursors that they had."""
        async with trio.open_nursery() as nursery:
            for place, session_id in self.ids.items():
                session = engine.sessions.get(session_id)
                if session is not None:
                    self.sessions[place] = session
                    nursery.start_soon(self._watch, session)
                for client in self.clients[place]:
                    if not client.is_done:
                        nursery.start_soon(client.come_back, engine, session_id)

    def _journal(self) -> Journal:
        if self.workload.journal == "memory":
            return self.witness
        return FaultyJournal(
            self.witness,
            delay_s=self.workload.journal_delay_s,
            fail_at=self.workload.fail_at,
            crash_at=self.workload.crash_at,
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
            yield engine

    async def _session(self, engine: Engine, place: int, plan: SessionPlan) -> None:
        await trio.sleep(plan.starts_s)
        try:
            session = await engine.start(
                self.pipeline.name,
                self.pipeline.data(place),
                options=Options(
                    detached=plan.detached,
                    deadline_s=plan.deadline_s,
                    token_budget=plan.token_budget,
                ),
            )
        except JournalFailed:
            return
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
        reading = Reading(after_seq=0, epoch=session.log.epoch, has_ended=True)
        seq = 0
        while entries := await self.witness.read(session.session_id, seq):
            reading.sights += [Sight(what=entry, at=entry.at) for entry in entries]
            seq = entries[-1].seq
        return Reader(name="the journal", readings=[reading])

    def _check(self) -> None:
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
