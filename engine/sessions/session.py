"""A session: one run of one request, from its first event to its one terminal event.

It runs its pipeline inside a cancel scope of its own and behind a firewall: whatever breaks in here
ends this session with its terminal event and touches no other (I5). A cancel is a plain function:
it is accepted at once, in any state, and never queues behind data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from engine.actors.roster import Roster, use_roster
from engine.actors.unwrapping import single_error
from engine.errors import (
    AntiphonError,
    Conflict,
    Escalated,
    Fenced,
    JournalFailed,
    NotFound,
)
from engine.events import (
    JSON,
    Attempt,
    AttemptReason,
    Cancelled,
    CancelReason,
    Event,
    Failed,
    Item,
    Part,
    PartCancelled,
    PartCompleted,
    PartFailed,
    Terminal,
    is_milestone,
)
from engine.journal.interface import Batch, Commit, SessionRecord, SessionState
from engine.sessions.budget import Budget
from engine.sessions.log import Log, size_of
from engine.sessions.outcomes import PartCut
from engine.sessions.outlet import Outlet
from engine.sessions.selecting import Pause
from engine.sessions.states import ENDED, advance, step_of
from engine.sessions.stopping import Stop
from engine.sessions.usage import usage_of
from engine.telemetry import AttemptStarted, Telemetry

if TYPE_CHECKING:
    from engine.limits import Limits
    from engine.sessions.delays import DelayLine
    from engine.sessions.view import View

_logger = logging.getLogger("antiphon.engine")

Work = Callable[["Session"], Any]
"""What the session does: an async function that gives its terminal event."""


class RunningPart:
    """A part at work: its own cancel scope, and the cancel that it was given alone."""

    __slots__ = ("outlets", "part", "scope", "stop", "upstreams")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.scope = trio.CancelScope()
        self.stop: Stop | None = None
        self.upstreams = 0
        self.outlets: set[Outlet] = set()


class Session:
    """One session while it lives.

    Args:
        record: what the journal knows of it.
        log: its log, with the view of what is there already (a recovered session).
        limits: the engine's bounds.
        rollup: the timer of all outlets.
        random: for the jitter of waits.
        work: what it does.
        telemetry: who is told of its attempts and calls.
    """

    def __init__(
        self,
        record: SessionRecord,
        *,
        log: Log,
        limits: Limits,
        rollup: DelayLine,
        random: Random,
        work: Work,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.record = record
        self.telemetry = telemetry or Telemetry()
        self.log = log
        self.limits = limits
        self.random = random
        self.state: SessionState = record.state
        self.budget = Budget(record.token_budget)
        self.usage = usage_of(log.view)  # of an earlier life, before a crash
        self.stop: Stop | None = None
        """The accepted cancel of the whole session."""
        self.parts: dict[str, RunningPart] = {}
        """The parts at work, by id."""
        self.pause: Pause | None = None
        """The wait for a person's choice, while there is one."""
        self.roster = Roster()
        """The supervisors, groups and mailboxes that its pipeline has opened."""
        self.ended = trio.Event()
        """Set when the terminal event is in the log, or the session was set aside."""
        self.started_at = trio.current_time()
        self.is_set_aside = False
        self.is_ending = False
        """Whether the terminal event is numbered: from then on nothing can change it."""
        self._rollup = rollup
        self._work = work
        self._scope = trio.CancelScope()
        self._upstreams = 0
        self._cut: list[JSON] = []  # targets that were cancelled alone, for parts still to come
        self._known: list[JSON] = []
        self._part_ended = trio.lowlevel.ParkingLot()
        self._resumed = dict(record.opened)
        self._released = trio.Event()
        self._released.set()
        self._nursery: trio.Nursery | None = None  # while it works
        self._is_showing = False

    # ---- life ------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """Its id."""
        return self.record.session_id

    @property
    def has_ended(self) -> bool:
        """Whether its terminal event is in the log."""
        return self.state in ENDED

    async def run(self) -> None:
        """Do the work, and end with exactly one terminal event, whatever happens (I3).

        Never raises an Exception: this is the firewall.

        Cancellation: from outside (the process ends at once), the session is left as the journal
        has it, and goes on after the restart.
        """
        use_roster(self.roster)
        try:
            await self._end(await self._work_to_the_end())
        finally:
            self.log.save()
            self.ended.set()
            self._part_ended.unpark_all()

    def hold(self) -> None:
        """Do not begin before `release`: a recovered, attached session waits for its client."""
        self._released = trio.Event()

    def release(self) -> None:
        """Let it begin. Releasing twice is fine."""
        self._released.set()

    async def _work_to_the_end(self) -> Terminal | None:
        terminal: Terminal | None = None
        failure: Exception | None = None
        try:
            with self._scope, single_error():
                await self._released.wait()
                self._begin()
                async with trio.open_nursery() as self._nursery:
                    terminal = await self._work(self)
                    self._nursery.cancel_scope.cancel()  # the end's own commit covers what is left
        except Exception as error:
            failure = error
        except BaseExceptionGroup as group:  # the process ends, and something broke on the way
            errors, cancelled = group.split(Exception)
            if errors is None or cancelled is None:
                raise
            self._failure(errors)  # logs what is a defect
            raise cancelled from None
        if isinstance(self.log.failure, Fenced) or isinstance(failure, Fenced):
            self.is_set_aside = True  # it goes on where its new owner is, a cancel as well
            return None
        if failure is not None or self.stop is not None:
            with suppress(JournalFailed):  # the end is what tells of it
                await self.log.wait_shown()  # what it tells includes what was on its way
        if failure is not None:
            terminal = self._failure(failure)
        if self.stop is not None:  # accepted before the end was numbered: stop means stop
            terminal = self._cancelled(self.stop)
        return None if self.is_set_aside and self.stop is None else terminal

    def _begin(self) -> None:
        if self.state == "queued":
            self.state = advance(self.state, "begin")
            self.log.journal.append_nowait(
                Batch(session_id=self.session_id, epoch=self.log.epoch, state="running")
            )

    async def _end(self, terminal: Terminal | None) -> None:
        if terminal is None:
            return
        if not terminal.usage:
            terminal = msgspec.structs.replace(terminal, usage=self.usage.as_json())
        state = advance(self.state, step_of(terminal))
        self.is_ending = True
        try:
            await self.log.commit(terminal, state=state)
            self.state = state
        except Fenced:
            self.is_set_aside, self.is_ending = True, False
        except JournalFailed as error:
            _logger.error("session %s: %s", self.session_id, error.message)
            await self.log.wait_over()
            if self.log.is_ended:  # it was the end that was durable after all
                self.state = state
                return
            self.state = "failed"
            self.log.end_broken(
                Failed(
                    code=error.code,
                    message=f"the journal failed: {error.message}",
                    phase=self.log.view.phase,
                    usage=self.usage.as_json(),
                )
            )

    def _failure(self, error: Exception) -> Terminal:
        """Turn whatever broke into the terminal event; the first error of ours names it."""
        errors = _leaves(error)
        phase = self.log.view.phase
        for leaf in errors:
            if isinstance(leaf, AntiphonError):
                return Failed(
                    code=leaf.code,
                    message=leaf.message,
                    phase=phase,
                    data={"partial": self.log.view.partial()},
                    retry_after_s=leaf.retry_after_s,
                )
        for leaf in errors:
            if isinstance(leaf, PartCut):  # the only thing that there was to do was cancelled
                self.stop = self.stop or self._new_stop("client", 0, "")
                return self._cancelled(self.stop)
        _logger.error("session %s failed", self.session_id, exc_info=error)
        name = type(errors[0]).__name__ if errors else type(error).__name__
        return Failed(
            code="internal",
            message=f"an internal error ended this session ({name})",
            phase=phase,
            data={"partial": self.log.view.partial()},
        )

    # ---- cancel ----------------------------------------------------------------------------------

    def cancel(self, reason: CancelReason, message: str = "") -> bool:
        """Cancel the whole session; gives whether this call is the one that did it.

        Accepted at once: what was delivered so far is numbered, what comes after is dropped and
        counted, every provider's stream is closed, then the terminal event follows.
        """
        if self.stop is not None or self.is_ending or self.is_set_aside:
            return False
        for running in self.parts.values():
            for outlet in running.outlets:
                self._flush(outlet)
        self.stop = self._new_stop(reason, self._upstreams, message)
        for running in self.parts.values():
            for outlet in running.outlets:
                outlet.stop = outlet.stop or self.stop
        self._scope.cancel(reason=reason)
        return True

    def cancel_part(self, target: JSON) -> int:
        """Cancel what a target names, alone; the rest goes on. Gives how many parts were at work.

        Parts of that target that have not begun yet will be cut when they begin.

        Raises:
            NotFound: this session has no such part or phase.
        """
        if not self._knows(target):
            raise NotFound(f"this session has no part {_name(target)}")
        if target not in self._cut:
            self._cut.append(target)
        count = 0
        for running in self.parts.values():
            if running.stop is None and matches(running.part, target):
                count += 1
                self.stop_part(running)
        return count

    async def wait_ended(self, target: JSON) -> None:
        """Wait until every part of a target that is at work has ended, or the session has.

        A target that has not begun yet is waited for: it ends when it is cut.

        Cancellation: nothing has changed.
        """
        while not (self.ended.is_set() or self._is_over(target)):
            await self._part_ended.park()

    def _is_over(self, target: JSON) -> bool:
        is_running = any(matches(running.part, target) for running in self.parts.values())
        return is_over(self.log.view, target) and not is_running

    def select(self, phase: str, indices: list[int]) -> Pause:
        """Take a person's choice among the candidates of a phase; `Pause.wait_end` tells its end.

        Accepted at once, or refused: of two choices the first one counts.

        Args:
            phase: whose candidates.
            indices: as `check_indices` gave them.

        Raises:
            Conflict: the session does not wait for this choice. InvalidRequest: an index is
                beyond the candidates.
        """
        pause = self.pause
        if self.stop is not None or self.is_set_aside:
            raise Conflict("this session is being stopped, and takes no selection")
        # Not before the question can be seen: it is in the view when it is durable.
        if pause is None or self.log.view.waiting is None or pause.phase != phase:
            waits_for = f", but for {pause.phase}" if pause is not None else ""
            raise Conflict(f"this session does not wait for a selection for {phase}{waits_for}")
        pause.choose(indices)
        return pause

    def set_aside(self) -> None:
        """Stop working without ending: the journal has it, and it goes on elsewhere or later."""
        if not self.has_ended:
            self.is_set_aside = True
            self._scope.cancel(reason="drain")

    def _new_stop(self, reason: CancelReason, open_upstreams: int, message: str) -> Stop:
        return Stop(
            reason,
            accepted_at_seq=self.log.head,
            now=trio.current_time(),
            open_upstreams=open_upstreams,
            message=message,
        )

    def stop_part(self, running: RunningPart) -> None:
        """Cancel one part at work."""
        for outlet in running.outlets:
            self._flush(outlet)
        running.stop = self._new_stop("client", running.upstreams, "")
        for outlet in running.outlets:
            outlet.stop = outlet.stop or running.stop
        running.scope.cancel(reason="client")

    def _flush(self, outlet: Outlet) -> None:
        try:
            outlet.flush()
        except JournalFailed:  # the session is about to end by that error
            _logger.debug("session %s: a failed journal takes no more", self.session_id)

    def _cancelled(self, stop: Stop) -> Cancelled:
        return Cancelled(
            reason=stop.reason,
            partial=self.log.view.partial(),
            receipt=stop.receipt(),
            message=stop.message,
        )

    def _knows(self, target: JSON) -> bool:
        parts = [view.part for view in self.log.view.parts.values()]
        parts += [running.part for running in self.parts.values()]
        return (
            any(matches(part, target) for part in parts)
            or any(target.items() <= known.items() for known in self._known)
            or target.get("phase") in self.log.view.phases
        )

    # ---- for the pipeline's side (Run and generating) --------------------------------------------

    def declare(self, targets: list[JSON]) -> None:
        """Name the targets that a client may cancel before they have begun."""
        self._known += targets

    def is_cut(self, part: Part) -> bool:
        """Whether a part was cancelled alone, perhaps before it began."""
        return any(matches(part, target) for target in self._cut)

    async def emit(self, event: Event) -> None:
        """Put an event into the log: a milestone is committed first, the rest is seen at once.

        Raises:
            JournalFailed: it could not be made durable.

        Cancellation: a checkpoint before anything is numbered, so a cancelled session emits no
        more. Backpressure: waits for the fastest reader of an attached session.
        """
        await trio.lowlevel.checkpoint()
        if is_milestone(event):
            await self.log.commit(event)
            if isinstance(event, PartCancelled | PartCompleted | PartFailed):
                self._part_ended.unpark_all()
        else:
            self.log.append(event, size_of(event))
        if self.log.is_full:
            await self.log.wait_room()

    async def emit_soon(self, event: Event) -> None:
        """Put a milestone into the log, and go on while it is being committed.

        While the journal is away it waits here: no provider is asked for text that could not be
        shown for minutes. Nobody sees it, nor what is numbered after it, before it is durable; so
        whoever emits must not look for it in the view (see `Log.view_ahead`). Where it cannot be
        made durable, the session ends by that error.

        Raises:
            JournalFailed: it is known already that it could not be made durable.

        Cancellation: before anything is numbered. Backpressure: as `emit`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._nursery is None:
            await self.emit(event)
            return
        is_on_its_way = self.log.commit_soon(event)
        if is_on_its_way and self.log.journal.problem:
            await self.log.wait_shown()
        elif is_on_its_way and not self._is_showing:
            self._is_showing = True
            self._nursery.start_soon(self._show)
        self._part_ended.unpark_all()
        if self.log.is_full:
            await self.log.wait_room()

    async def _show(self) -> None:
        """Show the milestones that nobody else waits for.

        Cancellation: whoever commits next shows them.
        """
        try:
            await trio.sleep(self.limits.neighbour_s)
            await self.log.wait_shown(is_shielded=False)
        finally:
            self._is_showing = False
        self._part_ended.unpark_all()

    async def emit_tool(self, part: Part, data: JSON) -> None:
        """Show a tool call."""
        await self.emit(Item(phase=part.phase, kind="tool", data=data, part=part))

    async def new_attempt(
        self, part: Part, reason: AttemptReason, *, code: str | None = None, message: str = ""
    ) -> Part:
        """Declare a part's text void and give the part of the next attempt."""
        view = self.log.view.parts.get(part.id)
        void_tokens = view.tokens if view is not None else 0
        part = msgspec.structs.replace(part, attempt=part.attempt + 1)
        await self.emit(Attempt(part=part, reason=reason, code=code, message=message))
        if self.telemetry.is_on:
            self.telemetry.tell(
                AttemptStarted(
                    session_id=self.session_id,
                    part_id=part.id,
                    attempt=part.attempt,
                    reason=reason,
                    code=code,
                    void_tokens=void_tokens,
                    at=self.log.now(),
                )
            )
        return part

    def note_opened(self, part: Part) -> Commit | None:
        """Tell the journal that a part may be seen from now on; None where it forgets anyway."""
        if not self.log.journal.is_durable:
            return None
        return self.log.note(opened={part.id: part.attempt})

    def interrupted(self, part_id: str) -> int | None:
        """Give, once, the attempt in which a crash interrupted a part; None: it did not."""
        opened = self._resumed.pop(part_id, None)
        view = self.log.view.parts.get(part_id)
        if opened is None or (view is not None and view.state != "running"):
            return None
        return max(opened, view.part.attempt if view is not None else 0)

    def open_outlet(self, part: Part) -> Outlet:
        """Give the outlet of an attempt."""
        outlet = Outlet(part, self.log, self._rollup, self.limits)
        running = self.parts.get(part.id)
        outlet.stop = self.stop or (running.stop if running else None)
        if running is not None:
            running.outlets.add(outlet)
        return outlet

    def close_outlet(self, outlet: Outlet) -> None:
        """Forget an outlet; what it still holds is numbered, unless it was stopped before."""
        if outlet.stop is None:
            self._flush(outlet)
        running = self.parts.get(outlet.part.id)
        if running is not None:
            running.outlets.discard(outlet)

    def upstream_opening(self, part: Part) -> None:
        """Count a provider's stream."""
        self._upstreams += 1
        running = self.parts.get(part.id)
        if running is not None:
            running.upstreams += 1

    def upstream_closed(self, part: Part) -> None:
        """Count it out, and prove to a cancel that it is closed."""
        self._upstreams -= 1
        now = trio.current_time()
        if self.stop is not None and self.stop.open_upstreams:
            self.stop.upstream_closed(now)
        running = self.parts.get(part.id)
        if running is not None:
            running.upstreams -= 1
            if running.stop is not None and running.stop.open_upstreams:
                running.stop.upstream_closed(now)

    @property
    def open_upstreams(self) -> int:
        """How many of the providers' streams are open."""
        return self._upstreams

    def __repr__(self) -> str:
        return f"<Session {self.session_id} {self.record.protocol} {self.state}>"


def matches(part: Part, target: JSON) -> bool:
    """Whether a target names a part: by its own words, or by its phase."""
    mine = {**part.target, "phase": part.phase}
    return bool(target) and target.items() <= mine.items()


def is_over(view: View, target: JSON) -> bool:
    """Whether there are parts that a target names, and all of them have ended."""
    named = [part for part in view.parts.values() if matches(part.part, target)]
    return bool(named) and all(part.state != "running" for part in named)


def _leaves(error: BaseException) -> list[BaseException]:
    """Give the errors behind groups and escalations, in order."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    if isinstance(error, Escalated) and error.__cause__ is not None:
        return _leaves(error.__cause__)
    return [error]


def _name(target: JSON) -> str:
    return ", ".join(f"{key} {value!r}" for key, value in target.items())
