"""The engine: starts sessions, finds them, lets callers read and cancel them, and drains.

Its place is at the top of a program, outside any web framework: `main()` opens it and runs the
server inside it, so that sessions outlive connections.

    async with open_engine(providers=…) as engine:
        session = await engine.start("generate", {"request": {"input": "…"}})
        with await engine.subscribe(session.session_id) as subscription:
            while batch := await subscription.receive():
                ...

Must not import pipelines by name, a concrete provider, or anything of HTTP.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

import trio

from engine.actors.roster import Roster
from engine.actors.wheel import Wheel
from engine.callers import ANYONE, Options, Viewer
from engine.cluster.cluster import Cluster
from engine.cluster.counting import Counting
from engine.cluster.interface import Board
from engine.cluster.messages import Cancel, Select
from engine.errors import (
    Conflict,
    Expired,
    JournalFailed,
    NotFound,
    Overloaded,
    ShuttingDown,
)
from engine.events import JSON, CancelReason, Failed
from engine.journal.interface import ENDED, Epoch, Journal, SessionRecord
from engine.journal.memory import MemoryJournal
from engine.limits import Limits
from engine.observing import Observation, observe
from engine.sessions.admission import Admission, Admitting
from engine.sessions.attachment import Attachment
from engine.sessions.delays import DelayLine
from engine.sessions.log import Log
from engine.sessions.recovery import interrupted_sessions
from engine.sessions.registry import Registry
from engine.sessions.run import Run
from engine.sessions.selecting import Pausing, check_indices
from engine.sessions.session import Session, is_over
from engine.sessions.slots import Slots
from engine.sessions.view import View
from engine.sharing import Sharing
from engine.supervision import Backoff, ChildSpec, Supervisor, open_supervisor
from engine.telemetry import SessionEnded, SessionStarted, Undelivered

if TYPE_CHECKING:
    from engine.pipelines.interface import AnyPipeline
    from engine.providers.interface import Directory

_logger = logging.getLogger("antiphon.engine")


_ONCE = uuid.UUID("5c0f4d8e-6a55-4d0c-9d5e-0f2f3a1b7c11")
"""The namespace of the ids that are made of a client's keys; drawn once, and for ever the same."""


class Engine(Registry):
    """See the module. Made by `open_engine` only."""

    def __init__(
        self,
        *,
        providers: Directory,
        journal: Journal,
        limits: Limits,
        pipelines: Mapping[str, AnyPipeline],
        services: Mapping[str, Any],
        random: Random,
        unix_now: Callable[[], float],
    ) -> None:
        self.providers = providers
        super().__init__(journal, limits, unix_now)
        self.pipelines = dict(pipelines)
        self.services = dict(services)
        self.is_draining = False
        self._is_stopped = False
        self.wheel = Wheel()
        self.supervisor: Supervisor | None = None
        self.roster = Roster()
        """The engine's own supervisors."""
        self._random = random
        self._rollup = DelayLine(limits.rollup_s)
        self._nursery: trio.Nursery | None = None
        self._slots = Slots(limits.max_sessions, limits.max_sessions_per_owner)
        self.sharing: Sharing | None = None
        """This process's part in a cluster; None: it is alone."""

    # ---- starting --------------------------------------------------------------------------------

    async def start(
        self,
        protocol: str,
        data: JSON,
        *,
        owner: str = "",
        options: Options | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Start a session; when this returns, it is durable and at work.

        Args:
            protocol: the pipeline's word.
            data: the request, in the pipeline's own form.
            owner: whose session it is.
            options: what any request may say.
            session_id: an id of the caller's own; else one is made.

        Raises:
            InvalidRequest: the request breaks its contract; nothing was started.
            CallerError: what it names is not there, where the pipeline looks that up.
            Overloaded: there are as many sessions as there may be, here or in all processes.
            RateLimited: the owner has as many as one may have.
            ShuttingDown: the engine is draining.
            JournalFailed: it could not be made durable.

        Cancellation: the session may have been started; attached, it ends after the grace time.
        """
        pipeline = self.pipeline(protocol)
        self._check_open()
        self._slots.check(owner)
        command, warnings = pipeline.parse(data)
        self._slots.take(owner)
        try:
            command = await self._admitted(pipeline, command, owner)
            record = self._new_record(
                pipeline, command, warnings, owner, options or Options(), session_id
            )
            await self._keep(record)
            return self._launch(record, View(), command)
        except BaseException:
            self._slots.give_back(owner)
            raise

    async def start_anywhere(
        self,
        protocol: str,
        data: JSON,
        *,
        owner: str = "",
        options: Options | None = None,
        session_id: str | None = None,
    ) -> SessionRecord:
        """Start a session here, or where this process is full at another one of its cluster.

        When this returns the session is durable, and at work or on its way to a process that has
        a place for it. It is read, cancelled and resumed from here all the same.

        Args:
            protocol: see `start`, as all the others.
            data: the request.
            owner: whose session it is.
            options: what any request may say.
            session_id: an id of the caller's own.

        Raises:
            AntiphonError: as `start`. Overloaded: all processes together have as many sessions as
                they may.

        Cancellation: as `start`.
        """
        if self.sharing is None or not self._slots.is_full:
            session = await self.start(
                protocol, data, owner=owner, options=options, session_id=session_id
            )
            return session.record
        pipeline = self.pipeline(protocol)
        self._check_open()
        command, warnings = pipeline.parse(data)
        command = await self._admitted(pipeline, command, owner)
        record = self._new_record(
            pipeline, command, warnings, owner, options or Options(), session_id
        )
        await self._keep(record, is_for_others=True)
        return record

    async def _keep(self, record: SessionRecord, *, is_for_others: bool = False) -> None:
        """Make a session durable; whatever is cancelled meanwhile, it is never half started.

        A record that nobody runs would wait for the next restart.
        """
        deadline = trio.current_time() + self.limits.close_s
        with trio.CancelScope(shield=True, deadline=deadline) as scope:
            await self._create(record, is_for_others=is_for_others)
        if scope.cancelled_caught:
            raise JournalFailed("the journal did not take the session in time")

    async def _create(self, record: SessionRecord, *, is_for_others: bool) -> None:
        """Create the record; in a cluster it is on the board before it is in the journal."""
        if self.sharing is None:
            await self.journal.create(record)
            return
        await self.sharing.own(record)
        try:
            await self.journal.create(record)
        except BaseException as error:
            self.sharing.not_begun(record.session_id, is_clear=isinstance(error, Conflict))
            raise
        if is_for_others:
            self.sharing.hand(record.session_id)

    async def start_once(
        self,
        key: str,
        protocol: str,
        data: JSON,
        *,
        owner: str = "",
        options: Options | None = None,
    ) -> SessionRecord:
        """Start a session, unless this owner has started one with the same key: then give that.

        The key decides the session's id, so two requests at once, two processes, or a crash between
        the request and its answer still make one session. It is free again when that is forgotten.

        Raises:
            AntiphonError: as `start_anywhere`; only the first request of a key is looked at.
        """
        session_id = str(uuid.uuid5(_ONCE, repr((protocol, owner, key))))
        with suppress(NotFound, Expired):
            return await self.record(session_id)
        try:
            return await self.start_anywhere(
                protocol, data, owner=owner, options=options, session_id=session_id
            )
        except Conflict:  # another request with this key was faster
            return await self._record_soon(session_id)

    async def _record_soon(self, session_id: str) -> SessionRecord:
        """Give the record of a session that is being started, perhaps by another process."""
        with trio.move_on_after(self.limits.close_s):
            while True:
                with suppress(NotFound):
                    return await self.record(session_id)
                await trio.sleep(0.05)
        return await self.record(session_id)

    async def _admitted(self, pipeline: AnyPipeline, command: Any, owner: str) -> Any:
        """Give the command as its pipeline admits it."""
        if not isinstance(pipeline, Admitting):
            return command
        admission = Admission(
            owner=owner,
            journal=self.journal,
            providers=self.providers,
            services=self.services,
            new_id=self.new_id,
            now=self.now,
        )
        return await pipeline.admit(command, admission)

    def _new_record(
        self,
        pipeline: AnyPipeline,
        command: Any,
        warnings: tuple[str, ...],
        owner: str,
        options: Options,
        session_id: str | None,
    ) -> SessionRecord:
        now = self.now()
        detached = pipeline.is_detached if options.detached is None else options.detached
        return SessionRecord(
            session_id=session_id or self.new_id(),
            protocol=pipeline.name,
            owner=owner,
            request_id=options.request_id,
            command=command.model_dump(mode="json", exclude_defaults=True),
            detached=detached,
            deadline_at=now + self._deadline_s(options, pipeline, command),
            token_budget=options.token_budget,
            warnings=warnings,
            created_at=now,
            updated_at=now,
            epochs=(Epoch(name=self.new_epoch(), after_seq=0),),
        )

    def pipeline(self, protocol: str) -> AnyPipeline:
        """Give the pipeline of a word.

        Raises:
            NotFound: there is none.
        """
        try:
            return self.pipelines[protocol]
        except KeyError:
            known = ", ".join(self.pipelines)
            raise NotFound(f"no pipeline is named {protocol!r}; there are {known}") from None

    def new_id(self) -> str:
        """Make an id for a session."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def new_epoch(self) -> str:
        """Make a name for a life of a log."""
        return f"{self._random.getrandbits(40):010x}"

    def _deadline_s(self, options: Options, pipeline: AnyPipeline, command: Any) -> float:
        limits = self.limits
        usual_s = limits.deadline_s
        if isinstance(pipeline, Pausing):  # the time of people is not the session's
            usual_s += pipeline.pauses(command) * limits.selection_s
        return min(options.deadline_s or usual_s, limits.max_deadline_s)

    def _check_open(self) -> None:
        """Refuse while no session can be begun here at all."""
        if self.is_draining:
            raise ShuttingDown("the server is stopping and takes no new sessions", retry_after_s=5)
        if self.journal.problem and self.journal.patience_s > self.limits.close_s:
            # It would take the session when it is back; until then nobody can be told of it.
            raise Overloaded("the journal is away: try again", retry_after_s=2)

    def _launch(
        self, record: SessionRecord, view: View, command: Any, *, hold: bool = False
    ) -> Session:
        assert self._nursery is not None
        pipeline = self.pipelines[record.protocol]

        async def work(session: Session) -> Any:
            return await pipeline.run(Run(session, self.providers, self.services), command)

        session = Session(
            record,
            log=self._new_log(record, view, is_bounded=not record.detached),
            limits=self.limits,
            rollup=self._rollup,
            random=self._random,
            work=work,
            telemetry=self.telemetry,
        )
        self.sessions[record.session_id] = session
        before = self.logs.get(record.session_id)
        self.logs[record.session_id] = session.log
        if not record.detached:
            attachment = Attachment(session, self.wheel, self.limits.grace_s)
            self._attachments[record.session_id] = attachment
            attachment.left()
            if hold:
                session.hold()
        if before is not None:
            self._take_in(session, before)
        self._nursery.start_soon(self._run, session, name=f"session {record.session_id}")
        return session

    def _take_in(self, session: Session, before: Log) -> None:
        """Move those who read a session while another process ran it to its log here."""
        has_readers = bool(before.readers)
        self.replace(before, session.log)
        if has_readers:
            self.reader_joined(session.session_id)

    def go_on(self, record: SessionRecord, view: View) -> None:
        """Go on with a session that was interrupted, under the epoch that its record says."""
        pipeline = self.pipelines.get(record.protocol)
        if pipeline is None:
            _logger.error("session %s: no pipeline %r", record.session_id, record.protocol)
            return
        command, _ = pipeline.parse(record.command)
        self._slots.take(record.owner)
        self._launch(record, view, command, hold=True)

    @property
    def counting(self) -> Counting | None:
        """Counts what users do in all processes of a cluster; None: this one is alone."""
        return self.sharing.counting if self.sharing is not None else None

    @property
    def room(self) -> int:
        """How many more sessions this process may run."""
        return max(0, self.limits.max_sessions - self._slots.taken)

    async def _run(self, session: Session) -> None:
        deadline = None
        if session.record.deadline_at is not None:
            deadline = self.wheel.call_at(
                session.record.deadline_at - self._clock_offset,
                lambda: session.cancel("deadline", "the session's deadline has passed"),
            )
        self._tell_started(session)
        try:
            await session.run()
        finally:
            self._tell_ended(session)
            if deadline is not None:
                deadline.cancel()
            attachment = self._attachments.pop(session.session_id, None)
            if attachment is not None:
                attachment.joined()
            self.sessions.pop(session.session_id, None)
            self._slots.give_back(session.record.owner)
            if self.sharing is not None:
                self.sharing.over(session)

    def _tell_started(self, session: Session) -> None:
        if not self.telemetry.is_on:
            return
        record = session.record
        self.telemetry.tell(
            SessionStarted(
                session_id=record.session_id,
                protocol=record.protocol,
                request_id=record.request_id,
                is_detached=record.detached,
                is_recovered=len(record.epochs) > 1,
                at=self.now(),
            )
        )

    def _tell_ended(self, session: Session) -> None:
        if not self.telemetry.is_on:
            return
        record, log, terminal = session.record, session.log, session.log.view.terminal
        stop = session.stop
        reason: str = stop.reason if stop is not None else ""
        if isinstance(terminal, Failed):
            reason = terminal.code
        self.telemetry.tell(
            SessionEnded(
                session_id=record.session_id,
                protocol=record.protocol,
                state=session.state if session.state in ENDED else "set_aside",  # type: ignore[arg-type]
                reason=reason,
                at=self.now(),
                duration_s=trio.current_time() - session.started_at,
                usage=session.usage.total,
                receipt=stop.receipt() if stop is not None else None,
                open_upstreams=session.open_upstreams,
            )
        )
        if log.untaken_tokens():  # a reader that is slow, or on its way back, may still take it
            self.wheel.call_at(
                trio.current_time() + self.limits.grace_s, lambda: self._tell_undelivered(session)
            )

    def _tell_undelivered(self, session: Session) -> None:
        tokens = session.log.untaken_tokens()
        if tokens:
            self.telemetry.tell(
                Undelivered(
                    session_id=session.session_id, protocol=session.record.protocol, tokens=tokens
                )
            )

    @property
    def why_not_ready(self) -> tuple[str, ...]:
        """Why new sessions should not be sent here just now; empty when all is well."""
        reasons = []
        if self.is_draining:
            reasons.append("draining")
        if self._slots.is_full:
            reasons.append(f"full: {self.limits.max_sessions} sessions are running")
        if self.journal.problem:
            reasons.append(f"journal: {self.journal.problem}")
        if self.sharing is not None and self.sharing.cluster.problem:
            reasons.append(f"cluster: {self.sharing.cluster.problem}")
        return tuple(reasons)

    # ---- looking ---------------------------------------------------------------------------------

    def observe(self, *, max_sessions: int = 200, max_parts: int = 200) -> Observation:
        """Look at the running system: sessions, parts, supervisors and actors, at this moment.

        Args:
            max_sessions: at most so many sessions, the newest.
            max_parts: at most so many parts of each.
        """
        return observe(
            self,
            max_sessions=max_sessions,
            max_parts=max_parts,
            now=self.now(),
            monotonic=trio.current_time(),
        )

    # ---- cancelling ------------------------------------------------------------------------------

    async def cancel(
        self,
        session_id: str,
        *,
        viewer: Viewer = ANYONE,
        reason: CancelReason = "client",
        message: str = "",
        target: JSON | None = None,
    ) -> SessionRecord:
        """Cancel a session, or with `target` one part or phase of it alone.

        Accepted when this returns; the terminal event follows in the log. On a session that has
        ended, or that is being cancelled, it changes nothing.

        Raises:
            NotFound: no such session for this viewer, or no such part in it.
            Expired: as `record`.
        """
        record = await self.record(session_id, viewer)
        if reason == "client" and viewer.is_admin and viewer.sub not in ("", record.owner):
            reason = "admin"
        session = self.sessions.get(session_id)
        if self.sharing is not None and self._is_far(record):
            wanted = Cancel(reason=reason, message=message, target=target or None)
            if not await self.sharing.ask(session_id, wanted):
                return await self.record(session_id, viewer)  # it has ended meanwhile
        elif session is not None and not session.has_ended:
            if target:
                session.cancel_part(target)
            else:
                session.cancel(reason, message)
        return record

    def abandon(self, session_id: str) -> None:
        """Cancel a session, wherever it runs, for its only client has gone; done behind."""
        session = self.sessions.get(session_id)
        if session is not None and not session.is_set_aside:
            session.cancel("disconnect")
        elif self.sharing is not None:
            self.sharing.abandon(session_id)

    def _is_far(self, record: SessionRecord) -> bool:
        """Whether a session is at work in another process, or about to be."""
        session = self.sessions.get(record.session_id)
        if session is not None:
            return session.is_set_aside
        return record.state not in ENDED

    async def select(
        self, session_id: str, phase: str, indices: object, *, viewer: Viewer = ANYONE
    ) -> Sequence[int]:
        """Choose among the candidates that a session waits with; durable when this returns.

        Args:
            session_id: which session.
            phase: whose candidates: the event's `phase`.
            indices: what is chosen, as the client sent it: a list of indices from 0.
            viewer: who chooses.

        Raises:
            NotFound, Expired: as `record`.
            InvalidRequest: no index, one twice, or one that no candidate has.
            Conflict: the session does not wait for this choice, or another one came first.

        Cancellation: a choice that was accepted stays accepted.
        """
        record = await self.record(session_id, viewer)
        chosen = check_indices(indices)
        session = self.sessions.get(session_id)
        if self.sharing is not None and self._is_far(record):
            if await self.sharing.ask(session_id, Select(phase=phase, indices=chosen)):
                return chosen
            session = None
        if session is None:
            raise Conflict(f"session {session_id} has ended, and takes no selection")
        await session.select(phase, chosen).wait_end()
        return chosen

    async def delete(self, session_id: str, viewer: Viewer = ANYONE) -> None:
        """Forget a session; a running one is cancelled first.

        Raises:
            NotFound, Expired: as `record`.
        """
        await self.cancel(session_id, viewer=viewer)
        await self.wait_ended(session_id)
        self.logs.pop(session_id, None)
        await self.journal.delete(session_id)

    async def wait_ended(self, session_id: str, target: JSON | None = None) -> None:
        """Wait until a session, or every part of a target in it, has ended, wherever it runs.

        Raises:
            NotFound, Expired: as `record`.

        Cancellation: nothing has changed.
        """
        session = self.sessions.get(session_id)
        if session is not None:
            if target is not None:
                await session.wait_ended(target)
            else:
                await session.ended.wait()
        elif self.sharing is not None:
            with await self.subscribe(session_id) as subscription:
                subscription.snapshot()
                while not (target and is_over(subscription.log.view, target)):
                    if not await subscription.receive():
                        return

    # ---- draining --------------------------------------------------------------------------------

    async def drain(self, grace_s: float | None = None) -> None:
        """Take nothing new, let sessions finish within the grace, then set the rest aside.

        With a durable journal the rest goes on after a restart; with the memory journal it is
        cancelled as `shutdown`. Draining twice is fine; the shorter grace counts.

        It is over within the grace and `limits.drain_stop_s`, whoever stalls (I11).
        """
        self._close()
        grace_s = self.limits.drain_s if grace_s is None else grace_s
        with trio.move_on_after(grace_s):
            for session in tuple(self.sessions.values()):
                await session.ended.wait()
        await self.stop_all(self.limits.drain_stop_s)

    def _close(self) -> None:
        """Begin no session any more, and take none over."""
        self.is_draining = True
        if self.sharing is not None:
            self.sharing.cluster.capacity_changed()

    async def stop_all(self, within_s: float | None = None) -> None:
        """End every session at once: set aside, or cancelled as `shutdown`.

        Args:
            within_s: how long to wait for those that stall; `limits.close_s` unless given.
        """
        self._close()
        sessions = tuple(self.sessions.values())
        for session in sessions:
            if self.journal.is_durable:
                session.set_aside()
            else:
                session.cancel("shutdown", "the server is stopping")
        with trio.move_on_after(self.limits.close_s if within_s is None else within_s):
            for session in sessions:
                await session.ended.wait()
            if self.sharing is not None:  # others take at once what was set aside
                await self.sharing.hand_over()
        self._is_stopped = True

    # ---- life ------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Go on with what was interrupted: all at once, when the whole journal has been read.

        The grace of attached sessions begins here, and here the engine is ready: a long recovery
        must not use up the time in which their clients may come back.
        """
        if self.sharing is not None:
            await self.sharing.rescue_all()
            return
        for record, view in await interrupted_sessions(self.journal, self.new_epoch):
            self.go_on(record, view)

    async def _expire_often(self) -> None:
        while True:
            await trio.sleep(min(60.0, self.limits.retention_s / 4))
            await self.journal.expire(self.now() - self.limits.retention_s)

    def __repr__(self) -> str:
        return f"<Engine {len(self.sessions)} sessions{', draining' if self.is_draining else ''}>"


@asynccontextmanager
async def open_engine(
    *,
    providers: Directory,
    pipelines: Iterable[AnyPipeline],
    journal: Journal | None = None,
    limits: Limits | None = None,
    services: Mapping[str, Any] | None = None,
    random: Random | None = None,
    unix_now: Callable[[], float] = time.time,
    board: Board | None = None,
) -> AsyncIterator[Engine]:
    """Open an engine; sessions run inside the block.

    Leaving it ends what still runs (see `Engine.stop_all`); call `Engine.drain` first to let
    sessions finish.

    Args:
        providers: where text comes from.
        pipelines: what sessions can do.
        journal: where logs live; the memory journal unless given.
        limits: the bounds.
        services: what pipelines get by name: catalogues, personas.
        random: for ids and jitter; a seeded one makes a simulation repeatable.
        unix_now: what the clock on the wall says at the start, in Unix seconds; a simulation that
            is to be repeatable, or to start again later, brings its own.
        board: what it shares with other processes on the same journal; None: it is alone.

    Raises:
        Unreachable: the board cannot be reached.
    """
    limits = limits or Limits()
    journal = journal if journal is not None else MemoryJournal(limits)
    engine = Engine(
        providers=providers,
        journal=journal,
        limits=limits,
        pipelines={pipeline.name: pipeline for pipeline in pipelines},
        services=services or {},
        random=random or SystemRandom(),
        unix_now=unix_now,
    )
    async with open_supervisor(
        "engine", strategy="one_for_one", intensity=10, period_s=60.0, backoff=Backoff(base_s=0.1)
    ) as supervisor:
        engine.supervisor = supervisor
        engine.roster.enter(supervisor)
        for spec in _services(engine):
            await supervisor.start(spec)
        async with trio.open_nursery() as nursery:
            engine._nursery = nursery
            if board is not None:
                cluster = Cluster(board, limits, engine.new_id)
                engine.sharing = Sharing(engine, cluster)
                engine.following = engine.sharing.following
                await nursery.start(engine.sharing.run)
            await engine._recover()
            yield engine
            if not engine._is_stopped:  # after a drain, nobody gets more time
                await engine.stop_all()
            nursery.cancel_scope.cancel(reason="the engine is closed")


def _services(engine: Engine) -> Iterable[ChildSpec]:
    """The engine's own actors, each restarted on its own if it fails."""
    yield ChildSpec("wheel", lambda _: engine.wheel.run())
    yield ChildSpec("rollup", lambda _: engine._rollup.run())
    yield ChildSpec("journal lag", lambda _: engine._lag.run())
    yield ChildSpec("retention", lambda _: engine._expire_often())
