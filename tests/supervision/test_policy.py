"""The decision, as a table and against an independent model of OTP's rules."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.errors import ProviderRateLimited
from engine.supervision import (
    Backoff,
    Decision,
    Escalate,
    Exit,
    Forget,
    Ignore,
    Policy,
    Restart,
    RestartType,
    State,
    Strategy,
    decide,
)

ERROR = ValueError("transient")
FATAL = KeyError("fatal")


def may_restart(error: Exception) -> bool:
    return not isinstance(error, KeyError)


def family(strategy: Strategy = "one_for_one", *restarts: RestartType, intensity: int = 9) -> State:
    """Children a, b, c … of the given types."""
    state = State(policy=Policy(strategy=strategy, intensity=intensity, may_restart=may_restart))
    for name, restart in zip("abcdefgh", restarts, strict=False):
        state = state.with_child(name, restart)
    return state


def ended(child_id: str, incarnation: int = 1, error: Exception | None = None) -> Exit:
    kind: Literal["error", "normal"] = "error" if error else "normal"
    return Exit(child_id=child_id, incarnation=incarnation, kind=kind, error=error)


def again(*start: str, stop: tuple[str, ...] = (), delay_s: float = 0.0) -> Restart:
    return Restart(stop=stop, start=start, delay_s=delay_s)


@pytest.mark.parametrize(
    ("restart", "error", "expected"),
    [
        ("permanent", None, again("a")),
        ("permanent", ERROR, again("a")),
        ("permanent", FATAL, Escalate(reason="its error is fatal", error=FATAL)),
        ("transient", None, Forget()),
        ("transient", ERROR, again("a")),
        ("transient", FATAL, Forget(lost=FATAL)),
        ("temporary", None, Forget()),
        ("temporary", ERROR, Forget(lost=ERROR)),
        ("temporary", FATAL, Forget(lost=FATAL)),
    ],
)
def test_restart_type_decides(
    restart: RestartType, error: Exception | None, expected: Decision
) -> None:
    """The table at the head of the module, row by row."""
    state, decision = decide(
        family("one_for_one", restart), ended("a", error=error), now=0, random=0
    )
    assert decision == expected
    if isinstance(expected, Forget):
        assert state.find("a") is None
    if isinstance(expected, Restart):
        child = state.find("a")
        assert child is not None
        assert child.incarnation == 2


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_cancelled_child_is_never_restarted(restart: RestartType) -> None:
    """A cancel is somebody's wish: no type of child is started again after it."""
    cancelled = Exit(child_id="a", incarnation=1, kind="cancelled")
    for strategy in ("one_for_one", "rest_for_one", "one_for_all"):
        state, decision = decide(family(strategy, restart, "permanent"), cancelled, now=0, random=0)
        assert decision == Forget()
        assert [child.id for child in state.children] == ["b"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", again("b")),
        ("rest_for_one", again("b", "c", stop=("d", "c"))),
        ("one_for_all", again("a", "b", "c", stop=("d", "c", "a"))),
    ],
)
def test_strategy_names_the_affected(strategy: Strategy, expected: Restart) -> None:
    """Stops go from youngest to oldest, starts the other way; temporary ones are dropped."""
    before = family(strategy, "permanent", "permanent", "transient", "temporary")
    state, decision = decide(before, ended("b", error=ERROR), now=0, random=0)
    assert decision == expected
    touched = set(expected.start)
    assert {c.id: c.incarnation for c in state.children if c.id != "d"} == {
        name: 2 if name in touched else 1 for name in "abc"
    }
    assert (state.find("d") is None) == ("d" in expected.stop)


def test_stale_and_unknown_exits_are_ignored() -> None:
    """An exit of an earlier incarnation, or of a child that was stopped, changes nothing."""
    state, _ = decide(family("one_for_all", "permanent", "permanent"), ended("a"), now=0, random=0)
    for exited in (ended("a", 1), ended("b", 1), ended("a", 3), ended("z")):
        assert decide(state, exited, now=0, random=0) == (state, Ignore())
    stopped = state.without("a")
    assert decide(stopped, ended("a", 2), now=0, random=0) == (stopped, Ignore())


def test_resting_transient_child_is_started_by_a_siblings_restart() -> None:
    """As in OTP, a transient child that ended normally comes back with the group, and only so."""
    state = family("one_for_all", "permanent", "transient")
    state, decision = decide(state, ended("b"), now=0, random=0)
    assert decision == Forget()
    assert decide(state, ended("b"), now=0, random=0)[1] == Ignore()
    state, decision = decide(state, ended("a", error=ERROR), now=0, random=0)
    assert decision == again("a", "b")
    child = state.find("b")
    assert child is not None
    assert (child.incarnation, child.is_running) == (2, True)


def test_more_restarts_than_the_intensity_escalate() -> None:
    """`intensity` restarts within the period are allowed; the next one escalates."""
    state = State(policy=Policy(intensity=2, period_s=10)).with_child("a", "permanent")
    state, first = decide(state, ended("a", 1, ERROR), now=0, random=0)
    state, second = decide(state, ended("a", 2, ERROR), now=10, random=0)
    assert isinstance(first, Restart)
    assert isinstance(second, Restart)
    _, late = decide(state, ended("a", 3, ERROR), now=10.001, random=0)
    assert isinstance(late, Restart)
    _, third = decide(state, ended("a", 3, ERROR), now=10, random=0)
    assert third == Escalate(reason="2 restarts in 10 s are used up", error=ERROR)


def test_intensity_counts_all_children_and_backoff_each_alone() -> None:
    """A supervisor's patience is shared; a child's wait grows with its own failures only."""
    policy = Policy(intensity=3, backoff=Backoff(base_s=1, jitter=0))
    state = State(policy=policy).with_child("a", "permanent").with_child("b", "permanent")
    delays = []
    for exited in (ended("a", 1), ended("a", 2), ended("b", 1)):
        state, decision = decide(state, exited, now=0, random=0)
        assert isinstance(decision, Restart)
        delays.append(decision.delay_s)
    assert delays == [1, 2, 1]
    assert isinstance(decide(state, ended("b", 2), now=0, random=0)[1], Escalate)


def test_retry_after_of_the_error_is_the_least_wait() -> None:
    """Whoever failed may know when a repeat can help: never sooner."""
    policy = Policy(backoff=Backoff(base_s=1, jitter=0))
    state = State(policy=policy).with_child("a", "transient")
    for retry_after_s, expected in ((30.0, 30.0), (0.1, 1.0)):
        error = ProviderRateLimited("too many", retry_after_s=retry_after_s)
        _, decision = decide(state, ended("a", error=error), now=0, random=0)
        assert decision == again("a", delay_s=expected)


@given(
    n=st.integers(1, 5000),
    random=st.floats(0, 1, exclude_max=True),
    jitter=st.floats(0, 1),
    max_s=st.floats(0, 1e6),
)
def test_backoff_is_bounded_and_grows(n: int, random: float, jitter: float, max_s: float) -> None:
    """A wait lies between (1 - jitter) of the full one and the full one, and below the bound."""
    backoff = Backoff(base_s=0.25, max_s=max_s, jitter=jitter)
    full_s = backoff.delay_s(n, 0)
    assert full_s == min(0.25 * 2.0 ** min(n - 1, 1000), max_s)
    wait_s = backoff.delay_s(n, random)
    assert full_s * (1 - jitter) <= wait_s <= full_s
    assert backoff.delay_s(n + 1, 0) >= full_s


def test_backoff_without_a_bound_overflows_to_it() -> None:
    """Even a wait too long for a float is a number."""
    assert Backoff(base_s=1, jitter=0).delay_s(5000, 0) == math.inf
    assert Backoff().delay_s(5000, 0.5) == 0


@pytest.mark.parametrize(
    "arguments", [{"base_s": -1.0}, {"factor": 0.5}, {"max_s": -1.0}, {"jitter": 1.5}]
)
def test_impossible_backoff_is_refused(arguments: dict[str, float]) -> None:
    """A wait is not negative, does not shrink, and its jitter is a part of it."""
    with pytest.raises(ValueError, match="Backoff"):
        Backoff(**arguments)


def test_impossible_policy_and_doubled_child_are_refused() -> None:
    """Intensity is not negative, the period is positive, and ids are unique."""
    for arguments in ({"intensity": -1}, {"period_s": 0.0}, {"period_s": math.nan}):
        with pytest.raises(ValueError, match="Policy"):
            Policy(**arguments)  # type: ignore[arg-type]  # the values are what is tested
    with pytest.raises(ValueError, match="already"):
        family("one_for_one", "permanent").with_child("a", "transient")


# -- an independent model: lists and loops, written from OTP's documentation


@dataclass
class Process:
    name: str
    restart: RestartType
    life: int = 1
    alive: bool = True


@dataclass
class Otp:
    """What supervisor(3) says, in the most naive way."""

    strategy: Strategy
    intensity: int
    period: int
    processes: list[Process] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)
    dead: bool = False

    def exit(self, name: str, life: int, how: str, now: int) -> tuple[str, list[str], list[str]]:
        """Give what happens, who is killed in which order, who is started in which order."""
        found = [p for p in self.processes if p.name == name and p.life == life and p.alive]
        if not found:
            return "ignore", [], []
        process = found[0]
        if how == "cancelled":
            self.processes.remove(process)
            return "forget", [], []
        if how == "fatal" and process.restart == "permanent":
            self.dead = True
            return "escalate", [], []
        wanted = process.restart == "permanent" or (
            process.restart == "transient" and how == "error"
        )
        if not wanted:
            keeps_place = process.restart == "transient" and how == "normal"
            if keeps_place and self.strategy != "one_for_one":
                process.alive = False
            else:
                self.processes.remove(process)
            return "forget", [], []
        in_period = [at for at in self.restarts if now - at <= self.period]
        if len(in_period) + 1 > self.intensity:
            self.dead = True
            return "escalate", [], []
        self.restarts.append(now)
        position = self.processes.index(process)
        process.alive = False
        group = [process]
        if self.strategy == "one_for_all":
            group = list(self.processes)
        elif self.strategy == "rest_for_one":
            group = self.processes[position:]
        killed = []
        for other in reversed(group):
            if other.alive:
                killed.append(other.name)
                other.alive = False
        started = []
        for other in group:
            if other.restart == "temporary":
                self.processes.remove(other)
            else:
                other.alive = True
                other.life += 1
                started.append(other.name)
        return "restart", killed, started


class AgainstOtp(RuleBasedStateMachine):
    """Any sequence of starts, stops and exits: the policy and the model agree on every step."""

    @initialize(
        strategy=st.sampled_from(["one_for_one", "rest_for_one", "one_for_all"]),
        intensity=st.integers(0, 4),
        period=st.integers(1, 5),
    )
    def open(self, strategy: Strategy, intensity: int, period: int) -> None:
        self.now = 0
        self.names = 0
        self.model = Otp(strategy, intensity, period)
        self.state = State(
            policy=Policy(
                strategy=strategy,
                intensity=intensity,
                period_s=period,
                may_restart=may_restart,
            )
        )

    def is_alive(self) -> bool:
        return not self.model.dead

    @precondition(is_alive)
    @rule(restart=st.sampled_from(["permanent", "transient", "temporary"]))
    def start(self, restart: RestartType) -> None:
        name = f"child{self.names}"
        self.names += 1
        self.state = self.state.with_child(name, restart)
        self.model.processes.append(Process(name, restart))

    @precondition(is_alive)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        if self.model.processes:
            process = data.draw(st.sampled_from(self.model.processes))
            self.state = self.state.without(process.name)
            self.model.processes.remove(process)

    @rule(seconds=st.integers(0, 4))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @precondition(lambda self: not self.model.dead and self.names > 0)
    @rule(
        data=st.data(),
        how=st.sampled_from(["normal", "error", "error", "error", "fatal", "cancelled"]),
        stale_by=st.sampled_from([0, 0, 0, 1, -1]),
    )
    def exit(self, data: st.DataObject, how: str, stale_by: int) -> None:
        # Mostly a living child; sometimes one that is long gone.
        names = [p.name for p in self.model.processes] * 4 + ["child0"]
        name = data.draw(st.sampled_from(names))
        life = next((p.life for p in self.model.processes if p.name == name), 1) - stale_by
        exited = Exit(
            child_id=name,
            incarnation=life,
            kind="error" if how == "fatal" else how,  # type: ignore[arg-type]  # sampled above
            error={"error": ERROR, "fatal": FATAL}.get(how),
        )
        what, killed, started = self.model.exit(name, life, how, self.now)
        self.state, decision = decide(self.state, exited, now=self.now, random=0.5)
        assert type(decision).__name__.lower() == what
        if isinstance(decision, Restart):
            assert list(decision.stop) == killed
            assert list(decision.start) == started

    @invariant()
    def children_agree(self) -> None:
        if not hasattr(self, "model") or self.model.dead:
            return
        ours = [(c.id, c.restart, c.incarnation, c.is_running) for c in self.state.children]
        assert ours == [(p.name, p.restart, p.life, p.alive) for p in self.model.processes]
        assert len(self.state.recent) <= self.state.policy.intensity


test_policy_agrees_with_the_model = AgainstOtp.TestCase
