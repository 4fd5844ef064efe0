"""Carries out a plan of a whole cluster on one virtual clock, and checks all that was seen.

Several engines share a journal and a board in memory. Processes are killed, drained and cut off
from the board; clients start, read and cancel at any of them, and come back to any other. A process
that is cut off still reaches the journal: so it is the stale owner that has to be fenced off. The
one rule: nothing of the engine is replaced but what lies outside it.

    outcome = simulate_cluster(make_cluster_workload(seed))
    assert not outcome.violations
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec
import trio
from pydantic import BaseModel

from engine.callers import Options
from engine.cluster.memory import MemoryBoard, SharedBoard
from engine.engine import Engine, open_engine
from engine.errors import AntiphonError, Unreachable
from engine.events import Attempt, Cancelled, Completed, Entry, Failed, Part
from engine.journal.interface import ENDED, Epoch
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.providers.interface import Delta, GenerationRequest, Message
from engine.sessions.cursors import place
from engine.sessions.run import Run
from engine.sessions.subscription import Gap, Subscription
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
from engine.testing.cluster_workload import (
    ClusterWorkload,
    SharedReaderPlan,
    SharedSessionPlan,
    Trouble,
)
from engine.testing.deterministic import run_deterministic
from engine.testing.faulty_board import FaultyBoard
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.scripted_provider import ScriptedProvider, Sleep, Step
from engine.testing.simulation import EPOCH_S, Outcome

PATIENCE_S = 300.0
"""Virtual seconds after which a run is stuck: no plan needs half of them."""
SETTLED_S = 15.0
"""After this time whatever is left on the board or open at a provider is left for ever."""


def simulate_cluster(workload: ClusterWorkload) -> Outcome:
    """Run a workload by its own seed, and check it."""
    return run_deterministic(ClusterSimulation(workload).run, seed=workload.seed)


class SharedCommand(BaseModel):
    """Which session of the workload to run."""

    place: int


class SharedPipeline:
    """Writes the parts of a session's plan, one after the other."""

    name = "shared"
    is_detached = False

    def __init__(self, workload: ClusterWorkload) -> None:
        self._plans = workload.sessions
        self._providers: dict[str, ScriptedProvider] = {}
        for plan in workload.sessions:
            for part in plan.parts:
                script: list[Step] = []
                for piece in part.pieces:
                    script += [Sleep(part.pace_s), Delta(text=piece)]
                script.append(Delta(finish="stop"))
                self._providers[part.id] = ScriptedProvider(script, name=part.id)

    @property
    def open_calls(self) -> int:
        """How many provider calls are open, in all processes."""
        return sum(provider.open_calls for provider in self._providers.values())

    def parse(self, data: dict[str, object]) -> tuple[SharedCommand, tuple[str, ...]]:
        """See `Pipeline.parse`."""
        return SharedCommand.model_validate(data), ()

    async def run(self, run: Run, command: SharedCommand) -> Completed | Failed:
        """See `Pipeline.run`."""
        for plan in self._plans[command.place].parts:
            await run.start_phase(plan.id)
            known = run.view.parts.get(plan.id)
            if known is None or known.state == "running":
                part = Part(id=plan.id, target={"prompt_id": plan.id}, phase=plan.id)
                messages = (Message(role="user", content=plan.id),)
                request = GenerationRequest(messages=messages, model="script", max_tokens=30)
                answer = await run.generate(part, request, self._providers[plan.id])
                await run.complete_part(answer.part, answer.text, usage=answer.usage)
            await run.complete_phase(plan.id, data={})
        return Completed(data={})


class Process:
    """One process of the cluster, in one of its lives."""

    def __init__(self, simulation: ClusterSimulation, name: str) -> None:
        workload = simulation.workload
        self.name = name
        self.journal = FaultyJournal(simulation.journal, delay_s=workload.journal_delay_s)
        inner = MemoryBoard(simulation.shared, name)
        self.board = FaultyBoard(inner, simulation.random, delay_s=workload.board_delay_s)
        self.engine: Engine | None = None
        self.scope = trio.CancelScope()
        self.connections: set[trio.CancelScope] = set()
        self.is_gone = False
        self.stopping = trio.Event()
        self.settled = trio.Event()
        """Set when it is at work, or has found no board."""
        self._simulation = simulation

    async def run(self) -> None:
        """Live until killed, or until told to stop, or until a start that finds no board."""
        try:
            await self._live()
        except* Unreachable:
            self._simulation.note(f"{self.name} found no board")
        finally:
            self._hang_up()
            self.settled.set()

    async def _live(self) -> None:
        simulation = self._simulation
        with self.scope:
            async with open_engine(
                providers=None,  # type: ignore[arg-type]  # the pipeline brings its own
                pipelines=[simulation.pipeline],
                journal=self.journal,
                limits=simulation.limits,
                random=simulation.random,
                unix_now=lambda: EPOCH_S + trio.current_time(),
                board=self.board,
            ) as engine:
                self.engine = engine
                self.settled.set()
                await self.stopping.wait()
                await engine.drain(0.2)
                self._hang_up()

    def kill(self) -> None:
        """Die at once: nothing more is written, said or done."""
        self.is_gone = True
        self.journal.crash()
        self.board.is_cut = True
        self._hang_up()
        self.scope.cancel(reason="killed")

    def _hang_up(self) -> None:
        self.is_gone = True
        for scope in self.connections:
            scope.cancel(reason="the process has gone")


class SharedClient:
    """One reader of one session, over all its connections to all processes."""

    def __init__(self, simulation: ClusterSimulation, plan: SharedReaderPlan, name: str) -> None:
        self.record = Reader(name=name)
        self._simulation = simulation
        self._plan = plan
        self._cursor: str | None = None

    async def run(self, session_id: str) -> None:
        """Read until the end."""
        await trio.sleep(self._plan.joins_s)
        drops = list(self._plan.drops_after)
        while True:
            process = await self._simulation.any_process()
            with trio.CancelScope() as scope:
                process.connections.add(scope)
                try:
                    if await self._connect(process, session_id, drops.pop(0) if drops else None):
                        return
                except AntiphonError as error:
                    if not process.is_gone:
                        self._simulation.note(f"{self.record.name}: {error.message}")
                finally:
                    process.connections.discard(scope)
            await trio.sleep(0.1)

    async def _connect(self, process: Process, session_id: str, drop_after: int | None) -> bool:
        assert process.engine is not None
        gathered = trio.Event()
        subscription = await process.engine.subscribe(
            session_id,
            after=self._cursor,
            wake=(lambda _: gathered.set()) if self._plan.is_pushed else None,
        )
        with subscription:
            count = 0
            while drop_after is None or count < drop_after:
                if self._plan.is_pushed:
                    batch = await subscription.take(self._plan.max_bytes)
                    if not batch and not subscription.is_ended and not subscription.has_more:
                        gathered = trio.Event()
                        subscription.arm()
                        await gathered.wait()
                        continue
                    if not batch and not subscription.is_ended:
                        continue
                else:
                    batch = await subscription.receive(self._plan.max_bytes)
                if process.is_gone:
                    return False
                if not batch:
                    self.record.readings[-1].has_ended = True
                    return True
                self._take(process, subscription, batch)
                count += len(batch)
                await trio.sleep(self._plan.pause_s)
        return False

    def _take(
        self, process: Process, subscription: Subscription, batch: Sequence[Entry | Gap]
    ) -> None:
        readings = self.record.readings
        first = batch[0]
        start = first.first_seq - 1 if isinstance(first, Entry) else first.requested - 1
        if not readings or readings[-1].epoch != subscription.epoch or self._has_come_back(start):
            readings.append(Reading(after_seq=start, epoch=subscription.epoch))
        for item in batch:
            what = (
                item
                if isinstance(item, Entry)
                else Missing(requested=item.requested, earliest=item.earliest)
            )
            readings[-1].sights.append(Sight(what=what, at=trio.current_time()))
            last = what.seq if isinstance(what, Entry) else what.earliest - 1
            self._cursor = f"{subscription.epoch}:{last}"
            kind = type(what.event).__name__ if isinstance(what, Entry) else ""
            self._simulation.note(f"{self.record.name}@{process.name} {self._cursor} {kind}")

    def _has_come_back(self, start: int) -> bool:
        """Whether what comes now does not follow what came last: the check says if it may."""
        return self._cursor is not None and start != int(self._cursor.rpartition(":")[2])


class ClusterSimulation:
    """One run of one workload."""

    def __init__(self, workload: ClusterWorkload) -> None:
        self.workload = workload
        self.pipeline = SharedPipeline(workload)
        self.journal = MemoryJournal()
        self.shared = SharedBoard(lease_s=workload.lease_s)
        self.random = Random(workload.seed)
        self.limits = Limits(
            lease_s=workload.lease_s,
            take_s=0.5,
            grace_s=5.0,
            window_events=workload.window_events,
            kept_events=8,
            max_sessions=workload.max_sessions,
            max_sessions_per_owner=50,
        )
        self.outcome = Outcome()
        self.processes: dict[int, Process] = {}
        self._lives = 0
        self._ids: dict[int, str] = {}
        self._clients: dict[int, list[SharedClient]] = {}
        self._cancelled: set[int] = set()
        self._nursery: trio.Nursery

    def note(self, what: str) -> None:
        """Put a line into the trace."""
        self.outcome.trace.append((trio.current_time(), "", what))

    def violate(self, invariant: str, message: str) -> None:
        """Report a broken promise."""
        self.outcome.violations.append(Violation(invariant=invariant, message=message))

    async def any_process(self) -> Process:
        """Give a process that takes connections, as soon as there is one."""
        while True:
            ready = [
                process
                for process in self.processes.values()
                if not process.is_gone and process.engine and not process.stopping.is_set()
            ]
            if ready:
                return self.random.choice(ready)
            await trio.sleep(0.1)

    # ---- the run ---------------------------------------------------------------------------------

    async def run(self) -> Outcome:
        """Run everything, and check everything."""
        with trio.move_on_after(PATIENCE_S) as patience:
            async with trio.open_nursery() as self._nursery:
                for number in range(self.workload.processes):
                    self._start_process(number)
                async with trio.open_nursery() as nursery:
                    for trouble in self.workload.troubles:
                        nursery.start_soon(self._trouble, trouble)
                    for number, plan in enumerate(self.workload.sessions):
                        nursery.start_soon(self._session, number, plan)
                await self._wait_ended()
                await trio.sleep(SETTLED_S)
                await self._check()
                self._nursery.cancel_scope.cancel()
        if patience.cancelled_caught:
            self.violate("I3", f"stuck for {PATIENCE_S:g} s: {self.shared.holders}")
        if self.pipeline.open_calls:
            self.violate("I4", f"{self.pipeline.open_calls} provider calls are open after the end")
        return self.outcome

    def _start_process(self, number: int) -> None:
        self._lives += 1
        process = self.processes[number] = Process(self, f"p{number}.{self._lives}")
        self._nursery.start_soon(process.run)

    async def _trouble(self, trouble: Trouble) -> None:
        await trio.sleep(trouble.at_s)
        process = self.processes[trouble.place]
        if process.is_gone:
            return
        self.note(f"{trouble.kind} {process.name} for {trouble.lasts_s} s")
        match trouble.kind:
            case "kill":
                process.kill()
            case "drain":
                process.stopping.set()
            case "cut":
                process.board.is_cut = True
                await trio.sleep(trouble.lasts_s)
                process.board.is_cut = process.is_gone
                return
        await trio.sleep(trouble.lasts_s)
        await self._start_again(trouble.place)

    async def _start_again(self, number: int) -> None:
        """Start a process until it has found the board, as whoever looks after it does."""
        while self.processes[number].is_gone:
            self._start_process(number)
            await self.processes[number].settled.wait()

    async def _session(self, number: int, plan: SharedSessionPlan) -> None:
        await trio.sleep(plan.starts_s)
        session_id = await self._start(number, plan)
        self._ids[number] = session_id
        clients = self._clients[number] = []
        async with trio.open_nursery() as nursery:
            for nth, reader in enumerate(plan.readers):
                client = SharedClient(self, reader, f"{number}/{nth}")
                clients.append(client)
                nursery.start_soon(client.run, session_id)
            if plan.cancel_s is not None:
                nursery.start_soon(self._cancel, number, session_id, plan.cancel_s)

    async def _start(self, number: int, plan: SharedSessionPlan) -> str:
        while True:
            process = await self.any_process()
            with trio.CancelScope() as scope:
                process.connections.add(scope)
                assert process.engine is not None
                try:
                    record = await process.engine.start_once(
                        f"{number}",
                        self.pipeline.name,
                        {"place": number},
                        owner="ann",
                        options=Options(detached=plan.detached),
                    )
                    self.note(f"session {number} is {record.session_id} at {process.name}")
                    if record.session_id not in process.engine.sessions:
                        self.outcome.ends["handed"] += 1  # or begun by a request that was lost
                    return record.session_id
                except AntiphonError as error:
                    self.note(f"start {number} at {process.name}: {error.message}")
                finally:
                    process.connections.discard(scope)
            await trio.sleep(0.1)

    async def _cancel(self, number: int, session_id: str, at_s: float) -> None:
        await trio.sleep(at_s)
        self._cancelled.add(number)
        while True:
            process = await self.any_process()
            with trio.CancelScope() as scope:
                process.connections.add(scope)
                assert process.engine is not None
                try:
                    await process.engine.cancel(session_id)
                    if not process.is_gone:
                        self.note(f"cancelled {number} at {process.name}")
                        return
                except AntiphonError as error:
                    self.note(f"cancel {number} at {process.name}: {error.message}")
                finally:
                    process.connections.discard(scope)
            await trio.sleep(0.1)

    async def _wait_ended(self) -> None:
        while True:
            records = [await self.journal.load(each) for each in self._ids.values()]
            if all(record is None or record.state in ENDED for record in records):
                return
            await trio.sleep(0.5)

    # ---- checking --------------------------------------------------------------------------------

    async def _check(self) -> None:
        if self.shared.holders or self.shared.counts:
            self.violate("I14", f"left on the board: {self.shared!r} {self.shared.holders}")
        for number, session_id in self._ids.items():
            record = await self.journal.load(session_id)
            assert record is not None
            self.outcome.ends[record.state] += 1
            self.outcome.ends["takeovers"] += len(record.epochs) - 1
            plan = self.workload.sessions[number]
            if record.state == "failed" or (
                plan.detached and number not in self._cancelled and record.state != "completed"
            ):
                self.violate("I3", f"session {number} has ended as {record.state}")
            late = SharedClient(self, _LATE, f"{number}/late")
            await late.run(session_id)
            readers = [client.record for client in self._clients[number]]
            self.outcome.violations += check_kept(readers, late.record)
            readers.append(late.record)
            self.outcome.violations += check_readers([_as_told(reader) for reader in readers])
            texts = {part.id: part.text for part in plan.parts}
            self.outcome.violations += check_source(readers, texts)
            for reader in readers:
                self._check_places(reader, record.epochs)

    def _check_places(self, reader: Reader, epochs: tuple[Epoch, ...]) -> None:
        """I1 across lives: reading goes on exactly where the last cursor is in the new one."""
        for before, after in zip(reader.readings, reader.readings[1:], strict=False):
            last = before.sights[-1].what
            seq = last.seq if isinstance(last, Entry) else last.earliest - 1
            known = tuple(epochs[: [each.name for each in epochs].index(after.epoch) + 1])
            if place(known, before.epoch, seq) != after.after_seq:
                self.violate(
                    "I1",
                    f"reader {reader.name} was at {before.epoch}:{seq} and went on after "
                    f"{after.epoch}:{after.after_seq}; the lives are {known}",
                )


def _as_told(reader: Reader) -> Reader:
    """Drop what a reader saw beyond the durable end of a life whose session then ended at once.

    What goes on says by an attempt that such text is void. A session that is cancelled before it
    goes on says it by `partial`, which is what counts.
    """
    entries = list(reader.entries)
    if not entries or not isinstance(entries[-1].event, Cancelled):
        return reader
    *before, last = reader.readings
    if any(isinstance(entry.event, Attempt) for entry in Reader(name="", readings=[last]).entries):
        return reader
    kept = [
        msgspec.structs.replace(
            reading,
            sights=[
                sight
                for sight in reading.sights
                if not isinstance(sight.what, Entry) or sight.what.seq <= last.after_seq
            ],
        )
        for reading in before
    ]
    return Reader(name=reader.name, readings=[*kept, last])


_LATE = SharedReaderPlan(joins_s=0.0, pause_s=0.0, max_bytes=65536, is_pushed=False, drops_after=())
