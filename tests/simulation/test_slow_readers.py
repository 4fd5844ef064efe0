"""A slow reader delays nobody: not its session's other readers, nor another session."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from engine.limits import Limits
from engine.testing.scripted_provider import say
from engine.testing.simulation import simulate
from engine.testing.workload import PartPlan, PhasePlan, ReaderPlan, SessionPlan, Workload

SEEDS = range(60)
FAST = ReaderPlan(kind="push")


def slow_reader(random: Random) -> ReaderPlan:
    return ReaderPlan(
        kind=random.choice(("pull", "never")),
        pause_s=random.choice((0.3, 1.0)),
        max_bytes=1,
        drops_after=(random.randint(1, 4),),
        away_s=0.2,
    )


def session(random: Random, *readers: ReaderPlan) -> SessionPlan:
    """Two voices at once, each with its own pace, and nothing that goes wrong."""
    parts = tuple(
        PartPlan(
            id=name,
            kind="generate",
            scripts=(
                say(*(f"{name}{index} " for index in range(20)), pace_s=random.random() / 20),
            ),
        )
        for name in "ab"
    )
    phase = PhasePlan(name="phase", parts=tuple(parts), lanes=2, is_chain=False)
    return SessionPlan(phases=(phase,), readers=readers)


def seen(workload: Workload, reader: str) -> list[tuple[float, str]]:
    """Give what one reader was given, and when."""
    outcome = simulate(workload)
    assert not outcome.violations, f"seed {workload.seed}: {outcome.violations}"
    return [(at, what) for at, who, what in outcome.trace if who == reader]


def test_a_slow_or_silent_reader_changes_no_moment_of_the_others(
    report: Callable[[str], None],
) -> None:
    """I6: the fast reader beside it, and the other session's, get the same at the same time."""
    moments = 0
    for seed in SEEDS:
        random = Random(seed)
        slow = slow_reader(random)
        first, second = session(random, FAST), session(random, FAST)
        limits = Limits(window_events=4, window_bytes=64, rollup_s=0.005)
        alone = Workload(seed=seed, sessions=(first, second), limits=limits)
        beside = msgspec.structs.replace(first, readers=(FAST, slow))
        disturbed = msgspec.structs.replace(alone, sessions=(beside, second))
        for reader in ("0/0 push", "1/0 push"):
            expected = seen(alone, reader)
            assert seen(disturbed, reader) == expected, f"seed {seed}, reader {reader}"
            moments += len(expected)
    report(f"{moments} moments of readers beside a slow one, over {len(SEEDS)} seeds")


def test_a_session_that_nobody_takes_from_delays_no_other_one() -> None:
    """I6: producers of one session wait for its reader, in vain, and nobody else does."""
    for seed in SEEDS:
        random = Random(seed)
        stalled, second = session(random, ReaderPlan(kind="never")), session(random, FAST)
        limits = Limits(window_events=4, grace_s=0.2)
        workload = Workload(seed=seed, sessions=(stalled, second), limits=limits)
        alone = msgspec.structs.replace(workload, sessions=(session(Random(-1), FAST), second))
        assert seen(workload, "1/0 push") == seen(alone, "1/0 push"), f"seed {seed}"
