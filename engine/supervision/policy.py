"""What a supervisor does about an exit: a pure function of what it knows, as in Erlang's OTP.

Its one rule: nothing here waits, keeps or looks anything up. `decide` takes the supervisor's state,
an exit, the time and a random number, and gives the next state and what is to be done; the
supervisor and the fan-out group only carry it out. Must not import trio.

What becomes of a child that exited:

    kind       permanent    transient              temporary
    normal     restart      forget                 forget
    error      restart      restart                forget, lost
      fatal    escalate     forget, lost           forget, lost
    cancelled  forget       forget                 forget

An error is fatal when `may_restart` does not hold for it. A restart that would be the
`intensity + 1`st within `period_s` is an escalation instead. The strategies have OTP's details: a
restart under rest_for_one or one_for_all stops the younger or all siblings, starts again a
transient sibling that had ended normally, and drops the temporary ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from engine.errors import AntiphonError

RestartType = Literal["permanent", "transient", "temporary"]
"""Restarted always, after an error only, or never."""

Strategy = Literal["one_for_one", "rest_for_one", "one_for_all"]
"""Who is restarted with a child: nobody, those started after it, or all."""

ExitKind = Literal["normal", "error", "cancelled"]


def is_exception(error: BaseException) -> bool:
    """Hold for every Exception: the default of `may_restart`."""
    return isinstance(error, Exception)


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait before a restart: exponential, bounded, with jitter.

    The n-th wait, from 1, is `base_s * factor ** (n - 1)`, at most `max_s`, of which the part
    `jitter` is random: 0 is none of it, 1 is "full jitter" (Brooker, "Exponential backoff and
    jitter", AWS 2015).
    """

    base_s: float = 0.0
    factor: float = 2.0
    max_s: float = math.inf
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not (self.base_s >= 0 and self.factor >= 1 and self.max_s >= 0):
            raise ValueError(f"a backoff's waits are not negative and do not shrink: {self!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is a part of the wait, from 0 to 1: {self!r}")

    def delay_s(self, n: int, random: float) -> float:
        """Give the n-th wait, from 1, in seconds, for a random number in [0, 1)."""
        if self.base_s == 0:
            return 0.0
        try:
            full_s = min(self.base_s * self.factor ** (n - 1), self.max_s)
        except OverflowError:
            full_s = self.max_s
        return full_s * (1 - self.jitter * random)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor was told when it was opened."""

    strategy: Strategy = "one_for_one"
    intensity: int = 3
    """Restarts that are allowed within `period_s`; one more is an escalation."""
    period_s: float = 5.0
    backoff: Backoff = Backoff()
    may_restart: Callable[[Exception], bool] = is_exception
    """Whether a repeat can help after this error."""

    def __post_init__(self) -> None:
        if self.intensity < 0 or not self.period_s > 0:
            raise ValueError(f"intensity is not negative and period_s is positive: {self!r}")


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A child as the policy sees it."""

    id: str
    restart: RestartType
    incarnation: int = 1
    """Which start of it is the present one; exits of earlier ones are stale."""
    is_running: bool = True
    """Running, or about to be started; False: a transient child that ended normally."""


class PastRestart(msgspec.Struct, frozen=True, kw_only=True):
    """A restart that still counts."""

    child_id: str
    at: float


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that a supervisor knows."""

    policy: Policy
    children: tuple[Child, ...] = ()
    """In the order in which they were first started."""
    recent: tuple[PastRestart, ...] = ()
    """Restarts within the period, oldest first; never more than the intensity."""

    def find(self, child_id: str) -> Child | None:
        """Give a child, or None."""
        for child in self.children:
            if child.id == child_id:
                return child
        return None

    def with_child(self, child_id: str, restart: RestartType) -> State:
        """Give the state after a new child was started, younger than all others.

        Raises:
            ValueError: a child of this id is there.
        """
        if self.find(child_id) is not None:
            raise ValueError(f"there is a child {child_id!r} already")
        children = (*self.children, Child(id=child_id, restart=restart))
        return msgspec.structs.replace(self, children=children)

    def without(self, child_id: str) -> State:
        """Give the state after a child was stopped and forgotten; the same if there is none."""
        children = tuple(child for child in self.children if child.id != child_id)
        return msgspec.structs.replace(self, children=children)


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """A child's end, as its supervisor is told of it."""

    child_id: str
    incarnation: int
    kind: ExitKind
    error: Exception | None = None
    """What it raised, where `kind` is "error"."""


class Ignore(msgspec.Struct, frozen=True):
    """The exit is stale, or the child is not ours: do nothing."""


class Forget(msgspec.Struct, frozen=True, kw_only=True):
    """The child is not started again. `lost` is the error that it ended with, for a report."""

    lost: Exception | None = None


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Stop these, one after the other; wait; start those, one after the other."""

    stop: tuple[str, ...]
    """In the reverse of the start order, without the child that exited."""
    start: tuple[str, ...]
    """In the start order; the new state has their new incarnations."""
    delay_s: float


class Escalate(msgspec.Struct, frozen=True, kw_only=True):
    """Stop everything and fail upwards."""

    reason: str
    error: Exception | None


Decision: TypeAlias = Ignore | Forget | Restart | Escalate


def decide(state: State, exit: Exit, *, now: float, random: float) -> tuple[State, Decision]:  # noqa: A002
    """Say what is to be done about an exit.

    Args:
        state: what the supervisor knows.
        exit: who ended, in which incarnation, and how.
        now: the time in seconds, on the clock of the earlier calls.
        random: a number in [0, 1), for the jitter.

    Returns:
        The state after the decision, and the decision.
    """
    child = state.find(exit.child_id)
    if child is None or not child.is_running or child.incarnation != exit.incarnation:
        return state, Ignore()
    if exit.kind == "cancelled":
        return state.without(child.id), Forget()
    if exit.error is None:
        if child.restart != "permanent":
            return _rest(state, child), Forget()
    else:
        if child.restart == "temporary":
            return state.without(child.id), Forget(lost=exit.error)
        if not state.policy.may_restart(exit.error):
            if child.restart == "permanent":
                return state, Escalate(reason="its error is fatal", error=exit.error)
            return state.without(child.id), Forget(lost=exit.error)
    return _restart(state, child, exit.error, now, random)


def _rest(state: State, child: Child) -> State:
    """Give the state after a normal end.

    A transient child keeps its place only where a sibling's restart may start it again; under
    one_for_one it would be kept for nothing, and a supervisor of many short children would grow.
    """
    if child.restart == "temporary" or state.policy.strategy == "one_for_one":
        return state.without(child.id)
    resting = msgspec.structs.replace(child, is_running=False)
    children = tuple(resting if other is child else other for other in state.children)
    return msgspec.structs.replace(state, children=children)


def _restart(
    state: State, child: Child, error: Exception | None, now: float, random: float
) -> tuple[State, Decision]:
    policy = state.policy
    # As OTP's supervisor:add_restart: a restart counts until it is older than the period.
    recent = tuple(past for past in state.recent if now - past.at <= policy.period_s)
    if len(recent) >= policy.intensity:
        reason = f"{policy.intensity} restarts in {policy.period_s:g} s are used up"
        return msgspec.structs.replace(state, recent=recent), Escalate(reason=reason, error=error)
    nth = 1 + sum(past.child_id == child.id for past in recent)
    delay_s = policy.backoff.delay_s(nth, random)
    if isinstance(error, AntiphonError) and error.retry_after_s is not None:
        delay_s = max(delay_s, error.retry_after_s)

    affected = _affected(state, child)
    start = tuple(other.id for other in affected if other.restart != "temporary")
    stop = tuple(
        other.id for other in reversed(affected) if other.is_running and other is not child
    )
    children = tuple(
        other
        if other not in affected
        else msgspec.structs.replace(other, incarnation=other.incarnation + 1, is_running=True)
        for other in state.children
        if other not in affected or other.restart != "temporary"
    )
    recent = (*recent, PastRestart(child_id=child.id, at=now))
    after = msgspec.structs.replace(state, children=children, recent=recent)
    return after, Restart(stop=stop, start=start, delay_s=delay_s)


def _affected(state: State, child: Child) -> tuple[Child, ...]:
    """Give those that a restart of `child` touches, in start order."""
    match state.policy.strategy:
        case "one_for_one":
            return (child,)
        case "rest_for_one":
            return state.children[state.children.index(child) :]
        case "one_for_all":
            return state.children
