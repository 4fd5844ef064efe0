"""Fan-out: members that work at once on one thing, and a policy for when that is enough.

Its one rule: a failed member never takes the others down. Each has its own restart budget, through
the same pure `decide` as a supervisor with that one child. The outcomes come back in the order of
the members, so nothing depends on who was first. Must not import sessions, pipelines or providers.
"""

from __future__ import annotations

import math
import random as _random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeAlias, TypeVar, assert_never

import msgspec
import trio

from engine.actors.roster import Place
from engine.actors.unwrapping import single_error
from engine.supervision.events import GroupStatistics, MemberState, MemberStatistics
from engine.supervision.policy import (
    Backoff,
    Child,
    Escalate,
    Exit,
    Forget,
    Ignore,
    Policy,
    Restart,
    State,
    decide,
    is_exception,
)

T = TypeVar("T")


class Member(msgspec.Struct, Generic[T], frozen=True):
    """One of those who work. `fn` gets the number of the attempt, from 1."""

    id: str
    fn: Callable[[int], Awaitable[T]]


class All(msgspec.Struct, frozen=True):
    """Wait for every member, whatever fails."""


class Quorum(msgspec.Struct, frozen=True):
    """Wait until `k` members gave a valid value, or until that cannot happen any more."""

    k: int


class FirstValid(msgspec.Struct, frozen=True):
    """Wait for the first valid value: a quorum of one."""


GroupPolicy: TypeAlias = All | FirstValid | Quorum


class Done(msgspec.Struct, Generic[T], frozen=True):
    """The member returned a value."""

    value: T


class Lost(msgspec.Struct, frozen=True):
    """The member failed for good."""

    error: Exception
    attempts: int
    """How often it was tried."""


class Dropped(msgspec.Struct, frozen=True):
    """The member was no longer needed: it was cancelled, or never begun."""


Outcome: TypeAlias = Done[T] | Lost | Dropped


async def fan_out(
    members: Sequence[Member[T]],
    *,
    policy: GroupPolicy = All(),  # noqa: B008 - frozen
    lanes: int | None = None,
    restarts: int = 0,
    backoff: Backoff = Backoff(),  # noqa: B008 - frozen
    may_restart: Callable[[Exception], bool] = is_exception,
    is_valid: Callable[[T], bool] | None = None,
    random: Callable[[], float] = _random.random,
) -> tuple[Outcome[T], ...]:
    """Run the members at once until the policy has what it needs.

    A quorum that is met, or cannot be met any more, cancels the members that still run; it is for
    the caller to count what came back. A member that had returned before its cancel reached it is
    Done, so a quorum may bring more than `k`. A value that is not valid is Done as well, and does
    not count.

    Args:
        members: their ids are unique; they are begun in this order.
        policy: when it is enough.
        lanes: how many work at once; None: all. A member in its backoff keeps its lane.
        restarts: how often each member may be tried again.
        backoff: the wait before each further try; a longer `retry_after_s` of the error counts.
        may_restart: whether another try can help after this error.
        is_valid: whether a value counts towards a quorum; None: every value does.
        random: gives numbers in [0, 1) for the jitter.

    Returns:
        One outcome for each member, in the order of the members.

    Raises:
        ValueError: ids are not unique, there is no lane, or more are to be valid than there are.

    Cancellation: all members are cancelled, and their outcomes are lost.
    """
    needed = _needed(policy, len(members))
    if len({member.id for member in members}) != len(members):
        raise ValueError("two members of a group have the same id")
    if lanes is not None and lanes < 1:
        raise ValueError(f"a group has at least one lane, not {lanes}")
    each = Policy(intensity=restarts, period_s=math.inf, backoff=backoff, may_restart=may_restart)
    outcomes: list[Outcome[T]] = [Dropped()] * len(members)
    open_members = len(members)
    valid = 0
    waiting = iter(enumerate(members))
    group = _Group(members, policy)
    place = Place(group)

    async def lane(todo: Iterator[tuple[int, Member[T]]], scope: trio.CancelScope) -> None:
        nonlocal open_members, valid
        for index, member in todo:
            outcome = outcomes[index] = await _work(member, each, random, group)
            open_members -= 1
            if isinstance(outcome, Done) and (is_valid is None or is_valid(outcome.value)):
                valid += 1
            if needed is not None and (valid >= needed or valid + open_members < needed):
                scope.cancel(reason="the group's policy needs no more")
                return

    try:
        with single_error():
            async with trio.open_nursery() as nursery:
                for _ in range(min(lanes or len(members), len(members))):
                    nursery.start_soon(lane, waiting, nursery.cancel_scope)
    finally:
        place.leave()
    return tuple(outcomes)


class _Group:
    """What an observer may see of a fan-out."""

    def __init__(self, members: Sequence[Member[T]], policy: GroupPolicy) -> None:
        self._policy = policy
        self._members = {
            member.id: MemberStatistics(id=member.id, state="waiting", attempt=0, started_at=0.0)
            for member in members
        }

    def note(self, member_id: str, state: MemberState, attempt: int) -> None:
        """Say where a member stands."""
        known = self._members[member_id]
        is_new = attempt != known.attempt
        self._members[member_id] = MemberStatistics(
            id=member_id,
            state=state,
            attempt=attempt,
            started_at=trio.current_time() if is_new else known.started_at,
        )

    def statistics(self) -> GroupStatistics:
        """Give a frozen view of the group."""
        return GroupStatistics(policy=repr(self._policy), members=tuple(self._members.values()))


def _needed(policy: GroupPolicy, members: int) -> int | None:
    """Give how many valid values are enough; None: wait for all."""
    match policy:
        case All():
            return None
        case FirstValid():
            k = 1
        case Quorum(k):
            pass
        case _:
            assert_never(policy)
    if not 1 <= k <= members:
        raise ValueError(f"a quorum of {k} among {members} members")
    return k


async def _work(
    member: Member[T], policy: Policy, random: Callable[[], float], group: _Group
) -> Done[T] | Lost:
    """Run a member until it returns or its restarts are used up."""
    state = State(policy=policy, children=(Child(id=member.id, restart="transient"),))
    attempt = 1
    while True:
        group.note(member.id, "running", attempt)
        try:
            value = await member.fn(attempt)
            group.note(member.id, "done", attempt)
            return Done(value)
        except Exception as error:  # this is a supervisor: the error becomes an exit
            failure = error
        exited = Exit(child_id=member.id, incarnation=attempt, kind="error", error=failure)
        state, decision = decide(state, exited, now=trio.current_time(), random=random())
        match decision:
            case Restart(delay_s=delay_s):
                await trio.sleep(delay_s)
                attempt += 1
            case Forget() | Escalate():
                group.note(member.id, "lost", attempt)
                return Lost(failure, attempt)
            case Ignore():
                raise AssertionError(f"{exited!r} is stale in {state!r}")
            case _:
                assert_never(decision)
