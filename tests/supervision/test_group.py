"""What a fan-out group gives back, whoever fails and whenever."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from engine.supervision import (
    All,
    Backoff,
    Done,
    Dropped,
    FirstValid,
    GroupPolicy,
    Lost,
    Member,
    Outcome,
    Quorum,
    fan_out,
)


def worker(seconds: float, *, failures: int = 0, value: int = 0) -> Callable[[int], Awaitable[int]]:
    """Work that takes some seconds an attempt, and fails in the first ones."""

    async def work(attempt: int) -> int:
        await trio.sleep(seconds)
        if attempt <= failures:
            raise ValueError(f"attempt {attempt}")
        return value

    return work


async def test_all_waits_for_every_member_whatever_fails(autojump_clock: MockClock) -> None:
    """A failed member takes no other down, and outcomes stand in the order of the members."""
    slow, broken, fast = await fan_out(
        [
            Member("slow", worker(9, value=1)),
            Member("broken", worker(1, failures=99)),
            Member("fast", worker(2, value=3)),
        ]
    )
    assert (slow, fast) == (Done(1), Done(3))
    assert isinstance(broken, Lost)
    assert (str(broken.error), broken.attempts) == ("attempt 1", 1)
    assert trio.current_time() == 9


async def test_each_member_has_its_own_restarts(autojump_clock: MockClock) -> None:
    """Restarts are not shared: each member is tried again as often, after its own backoff."""
    outcomes = await fan_out(
        [Member(f"m{n}", worker(1, failures=n, value=n)) for n in range(4)],
        restarts=2,
        backoff=Backoff(base_s=1, jitter=0),
    )
    assert outcomes[:3] == (Done(0), Done(1), Done(2))
    assert isinstance(outcomes[3], Lost)
    assert outcomes[3].attempts == 3
    assert trio.current_time() == 1 + 1 + 1 + 2 + 1


async def test_fatal_error_is_not_tried_again(autojump_clock: MockClock) -> None:
    """Where `may_restart` does not hold, the first attempt is the last."""
    (outcome,) = await fan_out(
        [Member("m", worker(1, failures=9))], restarts=5, may_restart=lambda error: False
    )
    assert isinstance(outcome, Lost)
    assert outcome.attempts == 1


async def test_first_valid_drops_the_rest(autojump_clock: MockClock) -> None:
    """An invalid value is Done but does not win; who is no longer needed is cancelled."""
    outcomes = await fan_out(
        [
            Member("invalid", worker(1, value=-1)),
            Member("slow", worker(50, value=1)),
            Member("winner", worker(2, value=2)),
        ],
        policy=FirstValid(),
        is_valid=lambda value: value > 0,
    )
    assert outcomes == (Done(-1), Dropped(), Done(2))
    assert trio.current_time() == 2


async def test_quorum_that_cannot_be_met_ends_at_once(autojump_clock: MockClock) -> None:
    """When too many are lost, nobody goes on working for nothing."""
    outcomes = await fan_out(
        [
            Member("a", worker(1, value=1)),
            Member("b", worker(2, failures=9)),
            Member("c", worker(50)),
        ],
        policy=Quorum(3),
    )
    assert outcomes[0] == Done(1)
    assert isinstance(outcomes[1], Lost)
    assert outcomes[2] == Dropped()
    assert trio.current_time() == 2


async def test_lanes_bound_how_many_work_at_once(autojump_clock: MockClock) -> None:
    """Members are begun in their order, as lanes become free; a dropped one is never begun."""
    working = most = 0
    began: list[int] = []

    def member(n: int) -> Member[int]:
        async def work(_: int) -> int:
            nonlocal working, most
            began.append(n)
            working += 1
            most = max(most, working)
            await trio.sleep(1 + n / 100)
            working -= 1
            return n

        return Member(str(n), work)

    outcomes = await fan_out([member(n) for n in range(9)], lanes=2)
    assert outcomes == tuple(Done(n) for n in range(9))
    assert most == 2
    assert sorted(began[:2]) == [0, 1]
    assert began[2:] == list(range(2, 9))
    began.clear()
    assert (await fan_out([member(n) for n in range(9)], lanes=1, policy=Quorum(2)))[2:] == (
        Dropped(),
    ) * 7
    assert began == [0, 1]


async def test_empty_group_is_done(autojump_clock: MockClock) -> None:
    """Nobody to wait for."""
    assert await fan_out([]) == ()


async def test_cancel_of_the_group_cancels_every_member(autojump_clock: MockClock) -> None:
    """In work, in backoff, or waiting for a lane: nothing goes on."""
    before = trio.lowlevel.current_statistics().tasks_living
    with trio.move_on_after(1.5) as scope:
        await fan_out(
            [Member(str(n), worker(1, failures=n % 2 * 99)) for n in range(9)],
            lanes=3,
            restarts=99,
            backoff=Backoff(base_s=1),
        )
    assert scope.cancelled_caught
    assert trio.current_time() == 1.5
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_what_is_no_exception_passes(autojump_clock: MockClock) -> None:
    """A KeyboardInterrupt in a member is not an outcome."""

    async def interrupted(_: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await fan_out([Member("a", interrupted), Member("b", worker(1))], restarts=3)


@pytest.mark.parametrize(
    ("policy", "lanes", "ids"),
    [
        (Quorum(0), None, "ab"),
        (Quorum(3), None, "ab"),
        (FirstValid(), None, ""),
        (All(), 0, "ab"),
        (All(), None, "aa"),
    ],
)
async def test_impossible_group_is_refused(
    autojump_clock: MockClock, policy: GroupPolicy, lanes: int | None, ids: str
) -> None:
    """More valid values than members, no lanes, doubled ids: the caller's fault, at once."""
    with pytest.raises(ValueError, match=r"quorum|lane|same id"):
        await fan_out([Member(name, worker(1)) for name in ids], policy=policy, lanes=lanes)


class Plan:
    """A member's fate: how long an attempt takes, how often it fails, what it gives."""

    def __init__(self, place: int, tenths: int, failures: int, value: int) -> None:
        # One to three attempts times a power of four is a number that no other member can reach:
        # no two end at one moment, and the model needs no rule for ties.
        self.seconds = tenths / 10 + 4**place / 1e6
        self.failures = failures
        self.value = value


PLANS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(-1, 1)), min_size=1, max_size=6
).map(lambda rows: [Plan(place, *row) for place, row in enumerate(rows)])


@given(plans=PLANS, restarts=st.integers(0, 2), quorum=st.integers(0, 6), seed=st.integers())
def test_outcomes_agree_with_a_replay_by_hand(
    plans: list[Plan], restarts: int, quorum: int, seed: int
) -> None:
    """Sort the members' ends by time, count until the policy is content, drop the others."""
    needed = min(quorum, len(plans))
    ends = []
    for place, plan in enumerate(plans):
        attempts = min(plan.failures, restarts) + 1
        ends.append((attempts * plan.seconds, place, plan.failures <= restarts))
    expected: list[str] = ["dropped"] * len(plans)
    valid, left = 0, len(plans)
    for _, place, is_done in sorted(ends):
        left -= 1
        expected[place] = f"done {plans[place].value}" if is_done else f"lost {restarts + 1}"
        valid += is_done and plans[place].value > 0
        if needed and (valid >= needed or valid + left < needed):
            break

    def word(outcome: Outcome[int]) -> str:
        match outcome:
            case Done(value):
                return f"done {value}"
            case Lost(_, attempts):
                return f"lost {attempts}"
            case Dropped():
                return "dropped"

    async def run() -> tuple[Outcome[int], ...]:
        return await fan_out(
            [
                Member(str(n), worker(plan.seconds, failures=plan.failures, value=plan.value))
                for n, plan in enumerate(plans)
            ],
            policy=Quorum(needed) if needed else All(),
            restarts=restarts,
            is_valid=lambda value: value > 0,
            random=random.Random(seed).random,
        )

    outcomes = trio.run(run, clock=MockClock(autojump_threshold=0))
    assert [word(outcome) for outcome in outcomes] == expected
