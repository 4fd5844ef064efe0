"""What a supervisor promises, on a virtual clock."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from engine.errors import Escalated
from engine.supervision import (
    Backoff,
    ChildLost,
    ChildOverdue,
    ChildrenRestarting,
    ChildSpec,
    ChildStarted,
    Escalating,
    Exit,
    RestartType,
    Strategy,
    Supervisor,
    SupervisorEvent,
    open_supervisor,
)


class Troupe:
    """Children that live until they are told to end, and a trace of what they did."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        self._wishes: dict[str, trio.MemorySendChannel[BaseException | None]] = {}

    def child(self, name: str, restart: RestartType = "permanent") -> ChildSpec:
        async def live(incarnation: int) -> None:
            self.trace.append(f"+{name}{incarnation}")
            self._wishes[name], wishes = trio.open_memory_channel[BaseException | None](1)
            try:
                wish = await wishes.receive()
                if wish is not None:
                    raise wish
            finally:
                self.trace.append(f"-{name}{incarnation}")

        return ChildSpec(name, live, restart)

    async def end(self, name: str, error: BaseException | None = None) -> None:
        """Have a child end, and wait until all that follows from it is done."""
        self._wishes[name].send_nowait(error)
        await wait_all_tasks_blocked()

    def since(self) -> str:
        trace, self.trace[:] = " ".join(self.trace), []
        return trace


def tasks_living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def states(supervisor: Supervisor) -> dict[str, str]:
    return {child.id: child.state for child in supervisor.children()}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", "-b1 +b2"),
        ("rest_for_one", "-b1 -d1 -c1 +b2 +c2"),
        ("one_for_all", "-b1 -d1 -c1 -a1 +a2 +b2 +c2"),
    ],
)
@pytest.mark.parametrize("restart", ["permanent", "transient"])
async def test_failed_child_is_restarted_with_those_of_its_strategy(
    autojump_clock: MockClock, strategy: Strategy, restart: RestartType, expected: str
) -> None:
    """Stops in the reverse of the start order, starts in it; a temporary sibling is dropped."""
    troupe = Troupe()
    async with open_supervisor("s", strategy=strategy) as supervisor:
        await supervisor.start(troupe.child("a"))
        await supervisor.start(troupe.child("b", restart))
        await supervisor.start(troupe.child("c"))
        await supervisor.start(troupe.child("d", "temporary"))
        assert troupe.since() == "+a1 +b1 +c1 +d1"
        await troupe.end("b", ValueError("broken"))
        assert troupe.since() == expected
        for name in "bd":
            await supervisor.stop(name)
        assert set(states(supervisor).values()) == {"running"}
        troupe.since()
    assert [entry[:2] for entry in troupe.trace] == ["-c", "-a"]


@pytest.mark.parametrize(
    ("restart", "error", "expected"),
    [
        ("permanent", None, "-a1 +a2"),
        ("transient", None, "-a1"),
        ("temporary", None, "-a1"),
        ("temporary", ValueError("broken"), "-a1"),
    ],
)
async def test_restart_type_decides_who_comes_back(
    autojump_clock: MockClock, restart: RestartType, error: Exception | None, expected: str
) -> None:
    """Permanent children always come back, transient ones after an error, temporary ones never."""
    troupe = Troupe()
    events: list[SupervisorEvent] = []
    async with open_supervisor("s", on_event=events.append) as supervisor:
        await supervisor.start(troupe.child("a", restart))
        troupe.since()
        await troupe.end("a", error)
        assert troupe.since() == expected
        assert len(supervisor.children()) == (restart == "permanent")
    assert [e.error for e in events if isinstance(e, ChildLost)] == ([error] if error else [])


async def test_more_restarts_than_the_intensity_escalate(autojump_clock: MockClock) -> None:
    """After the last restart that is allowed, all are stopped, youngest first, and it raises."""
    troupe = Troupe()
    error = ValueError("third")
    body_cancelled = False
    with pytest.raises(Escalated) as caught:
        async with open_supervisor("s", intensity=2, period_s=60) as supervisor:
            for name in "abc":
                await supervisor.start(troupe.child(name))
            await troupe.end("b", ValueError("first"))
            await troupe.end("b", ValueError("second"))
            troupe.since()
            try:
                await troupe.end("b", error)
                await trio.sleep_forever()
            except trio.Cancelled:
                body_cancelled = True
                raise
    assert body_cancelled
    assert troupe.since() == "-b3 -c1 -a1"
    assert caught.value.__cause__ is error
    assert (caught.value.supervisor, caught.value.child_id) == ("s", "b")


async def test_restarts_older_than_the_period_do_not_count(autojump_clock: MockClock) -> None:
    """A child that fails now and then is restarted for ever."""
    troupe = Troupe()
    async with open_supervisor("s", intensity=1, period_s=10) as supervisor:
        await supervisor.start(troupe.child("a"))
        for _ in range(5):
            await troupe.end("a", ValueError("now and then"))
            await trio.sleep(10.5)
        assert supervisor.children()[0].restarts == 5


async def test_restart_storm_of_many_children_ends_in_one_escalation(
    autojump_clock: MockClock,
) -> None:
    """A hundred children that fail at one moment overflow the mailbox of exits, and no more."""
    before = tasks_living()
    starts = 0

    async def fail(_: int) -> None:
        nonlocal starts
        starts += 1
        await trio.sleep(1)
        raise ValueError("storm")

    with pytest.raises(Escalated):
        async with open_supervisor("s", intensity=150, backoff=Backoff(base_s=0.1)) as supervisor:
            for n in range(100):
                supervisor.start_nowait(ChildSpec(f"c{n}", fail))
            await trio.sleep_forever()
    assert 200 <= starts <= 250
    assert tasks_living() == before


async def test_backoff_grows_until_the_child_has_been_well(autojump_clock: MockClock) -> None:
    """The waits double with each failure in the period, and the child is shown as restarting."""
    began: list[float] = []

    async def fail(_: int) -> None:
        began.append(trio.current_time())
        if len(began) < 4:
            raise ValueError("broken")

    async with open_supervisor(
        "s", intensity=3, period_s=60, backoff=Backoff(base_s=1, jitter=0)
    ) as supervisor:
        supervisor.start_nowait(ChildSpec("a", fail, "transient"))
        await trio.sleep(0.5)
        assert states(supervisor) == {"a": "restarting"}
        exited = await supervisor.wait_child("a")
    assert began == [0, 1, 3, 7]
    assert exited == Exit(child_id="a", incarnation=4, kind="normal")


async def test_jitter_comes_from_the_seed(autojump_clock: MockClock) -> None:
    """The same seed gives the same waits."""

    async def delays(seed: int) -> list[float]:
        seen: list[float] = []

        def note(event: SupervisorEvent) -> None:
            if isinstance(event, ChildrenRestarting):
                seen.append(event.delay_s)

        async def fail(incarnation: int) -> None:
            if incarnation < 4:
                raise ValueError("broken")

        async with open_supervisor(
            "s", backoff=Backoff(base_s=0.1), random=random.Random(seed).random, on_event=note
        ) as supervisor:
            supervisor.start_nowait(ChildSpec("a", fail, "transient"))
        return seen

    assert await delays(1) == await delays(1) != await delays(2)


async def test_child_stopped_during_its_backoff_stays_stopped(autojump_clock: MockClock) -> None:
    """A restart of a child that was stopped meanwhile is dropped, even if its id is taken again."""
    troupe = Troupe()
    async with open_supervisor("s", backoff=Backoff(base_s=10, jitter=0)) as supervisor:
        await supervisor.start(troupe.child("a"))
        await troupe.end("a", ValueError("broken"))
        assert states(supervisor) == {"a": "restarting"}
        assert await supervisor.stop("a")
        await supervisor.start(troupe.child("a"))
        await trio.sleep(60)
        assert troupe.since() == "+a1 -a1 +a1"
        assert supervisor.children()[0].restarts == 0


def clinging(name: str, seconds: float, shutdown_s: float = 60) -> ChildSpec:
    """A child that takes its time to clean up."""

    async def cling(_: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + seconds):
                await trio.sleep_forever()

    return ChildSpec(name, cling, "permanent", shutdown_s)


async def test_exit_of_a_stopped_child_does_not_touch_its_successor(
    autojump_clock: MockClock,
) -> None:
    """An exit that waits in the mailbox while its id changes hands is of nobody any more."""
    troupe = Troupe()
    async with open_supervisor("s", strategy="rest_for_one") as supervisor:
        for name in "ab":
            await supervisor.start(troupe.child(name))
        await supervisor.start(clinging("c", 5))
        # The supervisor's loop is busy with c for 5 s; a's exit waits.
        await troupe.end("b", ValueError("broken"))
        await troupe.end("a", ValueError("broken"))
        troupe.since()
        await supervisor.stop("a")
        await supervisor.start(troupe.child("a"))
        await trio.sleep(9)
        assert troupe.since() == "+a1 +b2"
        assert {c.id: c.incarnation for c in supervisor.children()} == {"a": 1, "b": 2, "c": 2}


async def test_two_exits_at_one_moment_restart_the_group_once(autojump_clock: MockClock) -> None:
    """The second exit is of an incarnation that the first decision has already ended."""
    troupe = Troupe()
    async with open_supervisor("s", strategy="one_for_all", intensity=1) as supervisor:
        await supervisor.start(troupe.child("a"))
        await supervisor.start(troupe.child("b"))
        troupe._wishes["a"].send_nowait(ValueError("one"))
        await troupe.end("b", ValueError("two"))
        assert [c.incarnation for c in supervisor.children()] == [2, 2]


async def test_older_sibling_failing_in_a_backoff_makes_the_start_stale(
    autojump_clock: MockClock,
) -> None:
    """A start that a later decision has overtaken is dropped: nobody is started twice."""
    troupe = Troupe()
    async with open_supervisor(
        "s", strategy="rest_for_one", backoff=Backoff(base_s=10, jitter=0)
    ) as supervisor:
        for name in "abc":
            await supervisor.start(troupe.child(name))
        await troupe.end("b", ValueError("broken"))
        await trio.sleep(5)
        await troupe.end("a", ValueError("broken as well"))
        troupe.since()
        await trio.sleep(60)
        assert troupe.since() == "+a2 +b3 +c3"


async def test_child_that_fails_before_its_first_wait_is_an_exit(
    autojump_clock: MockClock,
) -> None:
    """`start` returns, and the failure takes the way of every failure."""

    async def fail(_: int) -> None:
        raise ValueError("at once")

    def not_even_a_coroutine(_: int) -> Awaitable[None]:
        raise TypeError("at once")

    for fn in (fail, not_even_a_coroutine):
        with pytest.raises(Escalated) as caught:
            async with open_supervisor("s", intensity=0) as supervisor:
                await supervisor.start(ChildSpec("a", fn))
                await trio.sleep_forever()
        assert str(caught.value.__cause__) == "at once"


async def test_fatal_error_escalates_or_loses(autojump_clock: MockClock) -> None:
    """Where a repeat cannot help, a permanent child escalates and a transient one is lost."""
    error = KeyError("fatal")
    troupe = Troupe()
    events: list[SupervisorEvent] = []
    with pytest.raises(Escalated, match="fatal") as caught:
        async with open_supervisor(
            "s", may_restart=lambda e: not isinstance(e, KeyError), on_event=events.append
        ) as supervisor:
            await supervisor.start(troupe.child("a", "transient"))
            await supervisor.start(troupe.child("b", "permanent"))
            await troupe.end("a", error)
            assert events[-1] == ChildLost(child_id="a", error=error)
            assert states(supervisor) == {"b": "running"}
            await troupe.end("b", error)
            await trio.sleep_forever()
    assert caught.value.__cause__ is error
    assert isinstance(events[-1], Escalating)


async def test_group_of_exceptions_is_an_error(autojump_clock: MockClock) -> None:
    """A child whose own nursery fails exits with the group; it is restarted like any other."""

    async def fail(incarnation: int) -> None:
        if incarnation == 1:
            raise ExceptionGroup("two at once", [ValueError("one"), KeyError("two")])

    async with open_supervisor("s") as supervisor:
        supervisor.start_nowait(ChildSpec("a", fail, "transient"))
        exited = await supervisor.wait_child("a")
    assert exited == Exit(child_id="a", incarnation=2, kind="normal")


@pytest.mark.parametrize("grouped", [False, True])
async def test_keyboard_interrupt_of_a_child_passes(
    autojump_clock: MockClock, grouped: bool
) -> None:
    """What is no Exception is nobody's to restart, alone or in a group."""
    interrupt = KeyboardInterrupt()

    async def raise_it(_: int) -> None:
        if grouped:
            raise BaseExceptionGroup("mixed", [interrupt, ValueError("beside it")])
        raise interrupt

    with pytest.raises(BaseExceptionGroup if grouped else KeyboardInterrupt) as caught:
        async with open_supervisor("s") as supervisor:
            supervisor.start_nowait(ChildSpec("a", raise_it))
            await trio.sleep_forever()
    if isinstance(caught.value, BaseExceptionGroup):
        assert caught.value.exceptions[0] is interrupt
    else:
        assert caught.value is interrupt


async def test_cancel_from_outside_beside_an_error_passes(autojump_clock: MockClock) -> None:
    """A group of Cancelled and an error keeps the error; the cancel reaches its own scope."""

    async def fail_when_cancelled(_: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                raise ValueError("while it was cancelled")

    def without_cancelled(group: BaseException) -> list[str]:
        if isinstance(group, BaseExceptionGroup):
            return [text for e in group.exceptions for text in without_cancelled(e)]
        return [str(group)]

    with pytest.raises(BaseExceptionGroup) as caught:
        with trio.CancelScope() as scope:
            async with open_supervisor("s") as supervisor:
                await supervisor.start(ChildSpec("a", fail_when_cancelled))
                scope.cancel()
                await trio.sleep_forever()
    assert without_cancelled(caught.value) == ["while it was cancelled"]


async def test_leaving_waits_for_those_that_end_and_stops_the_permanent(
    autojump_clock: MockClock,
) -> None:
    """A transient child is waited for, its restarts included; then the permanent ones stop."""
    troupe = Troupe()

    async def work(incarnation: int) -> None:
        await trio.sleep(5)
        troupe.trace.append(f"worked{incarnation}")
        if incarnation == 1:
            raise ValueError("broken")

    async with open_supervisor("s", backoff=Backoff(base_s=1, jitter=0)) as supervisor:
        for name in "ab":
            await supervisor.start(troupe.child(name))
        await supervisor.start(ChildSpec("work", work, "transient"))
    assert troupe.since() == "+a1 +b1 worked1 worked2 -b1 -a1"
    assert trio.current_time() == 11
    with pytest.raises(trio.ClosedResourceError):
        supervisor.start_nowait(troupe.child("late"))


async def test_error_of_the_block_leaves_as_it_is(autojump_clock: MockClock) -> None:
    """The block's own error is not wrapped, and cancels the children."""
    before = tasks_living()
    troupe = Troupe()
    with pytest.raises(LookupError, match="mine"):
        async with open_supervisor("s") as supervisor:
            await supervisor.start(troupe.child("a", "transient"))
            raise LookupError("mine")
    assert troupe.since() == "+a1 -a1"
    assert tasks_living() == before


async def test_child_that_shields_itself_too_long_is_reported(autojump_clock: MockClock) -> None:
    """`shutdown_s` is the time for cleaning up; longer is told, and waited for all the same."""
    events: list[SupervisorEvent] = []
    async with open_supervisor("s", on_event=events.append) as supervisor:
        await supervisor.start(clinging("a", 7, shutdown_s=2))
        assert await supervisor.stop("a")
        assert trio.current_time() == 7
        assert events[-1] == ChildOverdue(child_id="a")
        assert not await supervisor.stop("a")


async def test_cancelled_stop_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    """The child is cancelled all the same, and forgotten when it has ended."""
    async with open_supervisor("s") as supervisor:
        await supervisor.start(clinging("a", 3))
        with trio.move_on_after(1):
            await supervisor.stop("a")
        assert states(supervisor) == {"a": "stopping"}
        with trio.fail_after(5):
            await supervisor.wait_child("a")
        assert trio.current_time() == 3
        assert supervisor.children() == ()


async def test_stop_from_outside_is_released_when_the_child_takes_all_down(
    autojump_clock: MockClock,
) -> None:
    """A child that answers its cancel with a KeyboardInterrupt has ended for its stopper too."""

    async def interrupt(_: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    async with trio.open_nursery() as outside:
        with pytest.raises(KeyboardInterrupt):
            async with open_supervisor("s") as supervisor:
                await supervisor.start(ChildSpec("a", interrupt))
                outside.start_soon(supervisor.stop, "a")
                await trio.sleep_forever()
        await wait_all_tasks_blocked()
        assert not outside.child_tasks
        outside.cancel_scope.cancel()


async def test_child_may_stop_itself_and_start_others(autojump_clock: MockClock) -> None:
    """Children may call their supervisor; stopping oneself is a cancel like any other."""
    troupe = Troupe()
    async with open_supervisor("s") as supervisor:

        async def found(_: int) -> None:
            await supervisor.start(troupe.child("b"))
            await supervisor.stop("a")
            troupe.trace.append("never")

        await supervisor.start(ChildSpec("a", found))
        await wait_all_tasks_blocked()
        assert states(supervisor) == {"b": "running"}
    assert troupe.since() == "+b1 -b1"


async def test_resting_child_is_started_by_a_siblings_restart(autojump_clock: MockClock) -> None:
    """Under one_for_all a transient child that ended normally comes back with the group."""
    troupe = Troupe()
    async with open_supervisor("s", strategy="one_for_all") as supervisor:
        await supervisor.start(troupe.child("a"))
        await supervisor.start(troupe.child("b", "transient"))
        await troupe.end("b")
        await supervisor.wait_child("b")
        assert states(supervisor) == {"a": "running", "b": "resting"}
        await troupe.end("a", ValueError("broken"))
        assert states(supervisor) == {"a": "running", "b": "running"}
        await troupe.end("b")
    assert troupe.since() == "+a1 +b1 -b1 -a1 +a2 +b2 -b2 -a2"


async def test_doubled_id_is_refused_and_unknown_ones_are_gone(autojump_clock: MockClock) -> None:
    """Ids are unique while their child is there; nobody waits for one that is not."""
    troupe = Troupe()
    async with open_supervisor("s") as supervisor:
        await supervisor.start(troupe.child("a"))
        with pytest.raises(ValueError, match="already"):
            await supervisor.start(troupe.child("a"))
        assert await supervisor.wait_child("z") is None
        assert not await supervisor.stop("z")


async def test_waiter_outside_is_released_when_the_supervisor_ends(
    autojump_clock: MockClock,
) -> None:
    """Whoever waits for a child from outside does not wait longer than the supervisor lives."""
    troupe = Troupe()
    async with trio.open_nursery() as nursery:
        async with open_supervisor("s") as supervisor:
            await supervisor.start(troupe.child("a"))
            nursery.start_soon(supervisor.wait_child, "a")
            await wait_all_tasks_blocked()
        with trio.fail_after(1):
            await wait_all_tasks_blocked()
            assert not nursery.child_tasks


async def test_broken_observer_is_logged_and_breaks_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An observer looks; its defect is its own."""

    def observe(event: SupervisorEvent) -> None:
        raise RuntimeError("observer")

    troupe = Troupe()
    async with open_supervisor("s", on_event=observe) as supervisor:
        await supervisor.start(troupe.child("a"))
        await troupe.end("a", ValueError("broken"))
        assert troupe.since() == "+a1 -a1 +a2"
    assert "observer" in caplog.text


async def _play(strategy: Strategy, cancel_at: int) -> tuple[bool, int, int]:
    """Run a supervisor with failures, stops and backoffs; cancel it at its n-th checkpoint."""
    living = 0
    starts = 0

    def child(lives: float, fails: bool) -> Callable[[int], Awaitable[None]]:
        async def live(incarnation: int) -> None:
            nonlocal living, starts
            living += 1
            starts += 1
            try:
                await trio.sleep(lives)
                if fails and incarnation < 3:
                    raise ValueError("broken")
            finally:
                living -= 1

        return live

    class CancelAt(trio.abc.Instrument):
        """Counts task steps: each is one way from checkpoint to checkpoint."""

        steps = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.steps += 1
            if self.steps == cancel_at:
                scope.cancel()

    with trio.CancelScope() as scope:
        instrument = CancelAt()
        trio.lowlevel.add_instrument(instrument)
        try:
            async with open_supervisor(
                "s", strategy=strategy, backoff=Backoff(base_s=0.1), random=lambda: 0.5
            ) as supervisor:
                await supervisor.start(ChildSpec("a", child(0.3, True), "transient"))
                await supervisor.start(ChildSpec("b", child(9, False)))
                await supervisor.start(ChildSpec("c", child(1, False), "temporary"))
                await trio.sleep(0.35)
                await supervisor.stop("b")
                await supervisor.start(ChildSpec("b", child(9, False)))
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught, living, starts


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one", "one_for_all"])
def test_cancel_at_every_checkpoint_leaves_no_orphan(strategy: Strategy) -> None:
    """Wherever a cancel falls, every child has ended, and no task of the supervisor is left."""

    async def check(cancel_at: int) -> bool:
        before = tasks_living()
        cancelled, living, _ = await _play(strategy, cancel_at)
        assert living == 0
        assert tasks_living() == before
        return cancelled

    cancels = 0
    for cancel_at in range(1, 500):
        if not trio.run(check, cancel_at, clock=MockClock(autojump_threshold=0)):
            break
        cancels += 1
    assert 20 < cancels < 499


async def test_events_tell_the_whole_story(autojump_clock: MockClock) -> None:
    """Each incarnation's start is told, with its number."""
    events: list[SupervisorEvent] = []
    troupe = Troupe()
    async with open_supervisor("s", on_event=events.append) as supervisor:
        await supervisor.start(troupe.child("a"))
        await troupe.end("a", ValueError("broken"))
        (child,) = supervisor.children()
        assert (child.incarnation, child.restarts, str(child.error)) == (2, 1, "broken")
    started = [e.incarnation for e in events if isinstance(e, ChildStarted)]
    assert started == [1, 2]
