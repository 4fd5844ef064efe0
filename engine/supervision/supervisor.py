"""A supervisor: the owner of a nursery of children, that starts them again when they fail.

Its one rule: an exit is a message. A child's task only reports how it ended, with the number of its
incarnation; one loop receives the reports and carries out what the pure `decide` says, so two exits
at one moment are two decisions, one after the other. A child's error never leaves as an exception
of the nursery; only an escalation does, and what is no error at all (Cancelled of a scope outside,
KeyboardInterrupt). Must not import sessions, pipelines or providers.
"""

from __future__ import annotations

import logging
import random as _random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import assert_never

import msgspec
import trio

from engine.actors.mailbox import Mailbox
from engine.actors.roster import Place, Roster, use_roster
from engine.actors.unwrapping import single_error
from engine.errors import Escalated
from engine.limits import Limits
from engine.supervision.events import (
    ChildExited,
    ChildLost,
    ChildOverdue,
    ChildrenRestarting,
    ChildStarted,
    ChildState,
    ChildStatistics,
    Escalating,
    SupervisorEvent,
    SupervisorStatistics,
)
from engine.supervision.policy import (
    Backoff,
    Escalate,
    Exit,
    ExitKind,
    Forget,
    Ignore,
    Policy,
    Restart,
    RestartType,
    State,
    Strategy,
    decide,
    is_exception,
)

_logger = logging.getLogger(__name__)


class ChildSpec(msgspec.Struct, frozen=True):
    """What a supervisor needs to know to run a child, and to run it again."""

    id: str
    """Unique among the children."""
    fn: Callable[[int], Awaitable[object]]
    """Called with the number of the incarnation, from 1."""
    restart: RestartType = "permanent"
    shutdown_s: float = Limits().close_s
    """How long it may clean up after its cancel; longer is reported. Nothing can end a block that
    shields itself, and a supervisor leaves no task behind, so it goes on waiting."""


class _Child:
    """A child's present incarnation, and what outlives it."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.incarnation = 0
        self.restarts = 0
        self.started_at = 0.0
        self.error: Exception | None = None
        self.exit: Exit | None = None
        self.scope = trio.CancelScope()
        self.roster = Roster()
        self.entered = trio.Event()
        self.ended = trio.Event()
        self.ended.set()


class Supervisor:
    """A running supervisor; `open_supervisor` makes it."""

    _nursery: trio.Nursery

    def __init__(
        self,
        name: str,
        policy: Policy,
        random: Callable[[], float],
        on_event: Callable[[SupervisorEvent], None] | None,
    ) -> None:
        self.name = name
        self._state = State(policy=policy)
        self._random = random
        self._on_event = on_event
        self._children: dict[str, _Child] = {}
        self._exits = Mailbox[tuple[_Child, Exit]](f"{name}.exits")
        self._is_open = True
        self._changed = trio.lowlevel.ParkingLot()

    def start_nowait(self, spec: ChildSpec) -> None:
        """Start a child, younger than all others; it begins with the next turn of the event loop.

        Raises:
            ValueError: a child of this id is there.
            trio.ClosedResourceError: the supervisor has ended, or is about to.
        """
        if not self._is_open:
            raise trio.ClosedResourceError(f"supervisor {self.name!r} takes no more children")
        if spec.id in self._children:
            raise ValueError(f"there is a child {spec.id!r} already")
        self._state = self._state.with_child(spec.id, spec.restart)
        child = self._children[spec.id] = _Child(spec)
        self._begin(child, 1)

    async def start(self, spec: ChildSpec) -> None:
        """Start a child and return when it has run up to its first wait.

        Raises: as `start_nowait`. That the child fails at once is no error of this call.

        Cancellation: the child is started all the same.
        """
        self.start_nowait(spec)
        await self._children[spec.id].entered.wait()

    async def stop(self, child_id: str) -> bool:
        """Cancel a child and wait for its end; it is forgotten, and a restart of it is off.

        Returns False if there is no such child.

        Cancellation: the child is cancelled and will not be started again, but may still be at
            its end.
        """
        child = self._children.get(child_id)
        if child is None:
            await trio.lowlevel.checkpoint()
            return False
        self._state = self._state.without(child_id)
        await self._end(child)
        self._retire(child)
        return True

    async def wait_child(self, child_id: str) -> Exit | None:
        """Wait until a child has ended and is not to be started again; gives its last exit.

        None: there is no such child, or it was stopped before it had begun.

        Cancellation: nothing has changed.
        """
        child = self._children.get(child_id)
        if child is None:
            await trio.lowlevel.checkpoint()
            return None
        while self._children.get(child_id) is child and self._view(child) != "resting":
            await self._changed.park()
        return child.exit

    def children(self) -> tuple[ChildStatistics, ...]:
        """Give a frozen view of the children, in start order."""
        return tuple(
            ChildStatistics(
                id=child.spec.id,
                restart=child.spec.restart,
                state=self._view(child),
                incarnation=child.incarnation,
                started_at=child.started_at,
                restarts=child.restarts,
                error=child.error,
                inside=child.roster.statistics(),
            )
            for child in self._children.values()
        )

    def statistics(self) -> SupervisorStatistics:
        """Give a frozen view of the supervisor and all that is inside it."""
        return SupervisorStatistics(
            name=self.name, strategy=self._state.policy.strategy, children=self.children()
        )

    def __repr__(self) -> str:
        strategy = self._state.policy.strategy
        state = "open" if self._is_open else "closed"
        return f"<Supervisor {self.name!r} {strategy} {state}, {len(self._children)} children>"

    def _view(self, child: _Child) -> ChildState:
        known = self._state.find(child.spec.id)
        if known is None or (child.scope.cancel_called and not child.ended.is_set()):
            return "stopping"
        if not known.is_running:
            return "resting"
        return "running" if known.incarnation == child.incarnation else "restarting"

    # -- one child

    def _begin(self, child: _Child, incarnation: int) -> None:
        child.incarnation = incarnation
        child.started_at = trio.current_time()
        child.scope = trio.CancelScope()
        child.entered = trio.Event()
        child.ended = trio.Event()
        self._nursery.start_soon(self._run, child, name=f"{self.name}/{child.spec.id}")

    async def _run(self, child: _Child) -> None:
        """Run one incarnation, and report how it ended."""
        use_roster(child.roster)
        kind: ExitKind = "normal"
        error: Exception | None = None
        incarnation = child.incarnation
        try:
            # The scope is inside the `try`: our own cancel is consumed by it, and what is left is
            # an Exception, a group of Exceptions only, or nothing that is ours to catch.
            with child.scope:
                child.entered.set()
                self._report(ChildStarted(child_id=child.spec.id, incarnation=incarnation))
                await child.spec.fn(incarnation)
            if child.scope.cancelled_caught:
                kind = "cancelled"
        except Exception as failure:  # this is a supervisor: the error becomes an exit
            kind, error = "error", failure
            child.error = failure
        finally:
            child.ended.set()
        child.exit = Exit(child_id=child.spec.id, incarnation=incarnation, kind=kind, error=error)
        await self._exits.send((child, child.exit))

    async def _end(self, child: _Child) -> None:
        """Cancel a child's incarnation and wait for its end."""
        child.scope.cancel(reason=f"stopped by supervisor {self.name!r}")
        with trio.move_on_after(child.spec.shutdown_s):
            await child.ended.wait()
        if not child.ended.is_set():
            self._report(ChildOverdue(child_id=child.spec.id))
            await child.ended.wait()

    def _retire(self, child: _Child) -> None:
        if self._children.get(child.spec.id) is child:
            del self._children[child.spec.id]
        self._changed.unpark_all()

    # -- the loop

    async def _supervise(self) -> None:
        async for child, exited in self._exits:
            if self._children.get(exited.child_id) is not child:
                continue
            self._state, decision = decide(
                self._state, exited, now=trio.current_time(), random=self._random()
            )
            if not isinstance(decision, Ignore):
                self._report(ChildExited(exit=exited))
            match decision:
                case Ignore():
                    # Stale, or a `stop` that was itself cancelled left the child to us.
                    if self._state.find(exited.child_id) is None:
                        self._retire(child)
                case Forget(lost=lost):
                    self._forget(child, lost)
                case Restart():
                    await self._restart(decision)
                case Escalate():
                    await self._escalate(exited, decision)
                case _:
                    assert_never(decision)

    def _forget(self, child: _Child, lost: Exception | None) -> None:
        if lost is not None:
            self._report(ChildLost(child_id=child.spec.id, error=lost))
        if self._state.find(child.spec.id) is None:
            self._retire(child)
        self._changed.unpark_all()

    async def _restart(self, decision: Restart) -> None:
        """Stop whom the decision names, then leave the wait and the starts to a task of their own.

        The incarnations are taken down now: whatever is decided or stopped in the meantime makes
        them stale, and a stale start is dropped.
        """
        starts: list[tuple[_Child, int]] = []
        for child_id in decision.start:
            known = self._state.find(child_id)
            assert known is not None
            starts.append((self._children[child_id], known.incarnation))
        self._report(ChildrenRestarting(child_ids=decision.start, delay_s=decision.delay_s))
        for child in [self._children[child_id] for child_id in decision.stop]:
            await self._end(child)
            if self._state.find(child.spec.id) is None:
                self._retire(child)
        self._nursery.start_soon(self._start_again, starts, decision.delay_s)

    async def _start_again(self, starts: Sequence[tuple[_Child, int]], delay_s: float) -> None:
        await trio.sleep(delay_s)
        for child, incarnation in starts:
            if not self._is_wanted(child, incarnation):
                continue
            child.restarts += 1
            self._begin(child, incarnation)
            await child.entered.wait()

    def _is_wanted(self, child: _Child, incarnation: int) -> bool:
        known = self._state.find(child.spec.id)
        return (
            self._children.get(child.spec.id) is child
            and known is not None
            and known.incarnation == incarnation
        )

    async def _escalate(self, exited: Exit, decision: Escalate) -> None:
        self._report(Escalating(child_id=exited.child_id, reason=decision.reason))
        await self._stop_all()
        raise Escalated(self.name, exited.child_id, decision.reason) from decision.error

    async def _stop_all(self) -> None:
        """Take no more children, and stop all in the reverse of the start order."""
        self._is_open = False
        self._state = msgspec.structs.replace(self._state, children=())
        for child in reversed(tuple(self._children.values())):
            await self._end(child)

    async def _finish(self) -> None:
        """Wait for the children that end by themselves, then stop the permanent ones."""
        while any(c.is_running and c.restart != "permanent" for c in self._state.children):
            await self._changed.park()
        if not self._is_open:
            await trio.sleep_forever()  # The loop escalates: it will cancel us.
        await self._stop_all()

    def _close(self) -> None:
        """Release whoever waits from outside; no task of ours is left."""
        self._is_open = False
        self._children.clear()
        self._state = msgspec.structs.replace(self._state, children=())
        self._exits.close()
        self._changed.unpark_all()

    def _report(self, event: SupervisorEvent) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:  # an observer's defect must not end what it observes
            _logger.exception("the observer of supervisor %r failed on %r", self.name, event)


@asynccontextmanager
async def open_supervisor(
    name: str,
    *,
    strategy: Strategy = "one_for_one",
    intensity: int = 3,
    period_s: float = 5.0,
    backoff: Backoff = Backoff(),  # noqa: B008 - frozen
    may_restart: Callable[[Exception], bool] = is_exception,
    random: Callable[[], float] = _random.random,
    on_event: Callable[[SupervisorEvent], None] | None = None,
) -> AsyncIterator[Supervisor]:
    """Open a supervisor; its children live inside the block and never longer.

    Leaving the block normally waits until every child that is not permanent has ended for good,
    then stops the others, the youngest first. Leaving it by an error cancels all at once.

    Args:
        name: for logs and the observer's page.
        strategy: who is restarted with a child that failed.
        intensity: restarts that are allowed within `period_s`, over all children.
        period_s: seconds for which a restart counts.
        backoff: the wait before a restart, growing with the child's own recent restarts; a longer
            `retry_after_s` of the error counts.
        may_restart: whether a repeat can help after this error.
        random: gives numbers in [0, 1) for the jitter.
        on_event: is told what happens; it must not wait. What it raises is logged.

    Raises:
        Escalated: a child failed too often or fatally. Its error is the cause; the block was
            cancelled after every child had been stopped, the youngest first.
        Exception: what the block raised, as it is.

    Cancellation: all children are cancelled at once, and have ended when it returns.
    """
    policy = Policy(
        strategy=strategy,
        intensity=intensity,
        period_s=period_s,
        backoff=backoff,
        may_restart=may_restart,
    )
    supervisor = Supervisor(name, policy, random, on_event)
    place = Place(supervisor)
    try:
        with single_error():
            async with trio.open_nursery() as nursery:
                supervisor._nursery = nursery
                nursery.start_soon(supervisor._supervise, name=f"{name}/supervisor")
                try:
                    yield supervisor
                    await supervisor._finish()
                    nursery.cancel_scope.cancel(reason=f"supervisor {name!r} has ended")
                finally:
                    supervisor._is_open = False
    finally:
        place.leave()
        supervisor._close()
