"""A cancel, a part's cancel and a crash at every checkpoint of whole sessions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import msgspec
import pytest
import trio

from engine.testing.checkpoints import AtCheckpoint, every_checkpoint
from engine.testing.deterministic import run_deterministic
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.simulation import Simulation
from engine.testing.workload import Workload, make_workload

SEEDS = (1, 2, 6, 13, 14, 21, 29, 58)
FEW_SEEDS = SEEDS[:3]
CRASHED_SEEDS = range(70)


class Runs:
    """The same workload again and again, a fresh simulation each time."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.now = Simulation(workload)

    def run(self, point: AtCheckpoint) -> None:
        self.now = Simulation(self.workload)
        outcome = run_deterministic(self.now.run, seed=self.workload.seed, instruments=[point])
        assert not outcome.violations, (
            f"seed {self.workload.seed}, step {point.steps}: "
            + "; ".join(map(str, outcome.violations))
        )


def calm(seed: int) -> Workload:
    """Give a workload that is disturbed by nothing but its providers."""
    workload = make_workload(seed, faults=False)
    sessions = tuple(
        msgspec.structs.replace(session, cancels=(), deadline_s=2.0)
        for session in workload.sessions
    )
    return msgspec.structs.replace(workload, sessions=sessions)


@pytest.mark.parametrize("what", ["session", "part", "phase"])
def test_a_cancel_at_every_checkpoint_breaks_nothing(
    what: str, report: Callable[[str], None]
) -> None:
    """I3, I4, I9, I12 and I14, wherever in a session the cancel comes."""
    points = 0
    seeds = SEEDS if what == "session" else FEW_SEEDS
    for seed in seeds:
        runs = Runs(calm(seed))

        def cancel(runs: Runs = runs) -> None:
            for place, session in runs.now.sessions.items():
                phase = runs.workload.sessions[place].phases[-1]
                if what == "session":
                    session.cancel("client")
                elif session.parts or session.log.view.phases:
                    target = {"phase": phase.name}
                    session.cancel_part(
                        target if what == "phase" else {"prompt_id": phase.parts[0].id}
                    )

        points += len(list(every_checkpoint(runs.run, cancel)))
    report(f"a cancel of a {what} at each of {points} checkpoints of {len(seeds)} runs")
    assert points > 100


def test_a_crash_at_every_checkpoint_loses_nothing_that_was_seen(
    report: Callable[[str], None],
) -> None:
    """Contract 0, Crash and Resume: old cursors go on without loss or doubling."""
    points = 0
    for seed in SEEDS[:1]:
        runs = Runs(msgspec.structs.replace(calm(seed), journal="durable", journal_delay_s=0.02))

        def crash(runs: Runs = runs) -> None:
            journal = runs.now.journal
            if isinstance(journal, FaultyJournal) and runs.now.lives == 1:
                journal.crash()

        points += len(list(every_checkpoint(runs.run, crash)))
    report(f"a crash and a recovery at each of {points} checkpoints of a run")
    assert points > 30


def test_a_crash_at_every_append_loses_nothing_that_was_seen(
    report: Callable[[str], None],
) -> None:
    """I2, I3 and I9 across a restart, attached and detached, with clients that come back."""
    crashes = 0
    for seed in CRASHED_SEEDS:
        workload = make_workload(seed, faults=False)
        if workload.journal != "durable":
            continue
        for nth in count(1):
            crashed = msgspec.structs.replace(workload, crash_at=nth)
            outcome = run_deterministic(Simulation(crashed).run, seed=seed)
            assert not outcome.violations, f"seed {seed}, crash at append {nth}: " + "; ".join(
                map(str, outcome.violations)
            )
            if outcome.appends < nth:
                break
            crashes += 1
    report(f"a crash and a recovery at each of {crashes} appends of {len(CRASHED_SEEDS)} seeds")
    assert crashes > 300


def test_the_instrument_acts_once_and_counts_only_sessions() -> None:
    async def main() -> None:
        async def work() -> None:
            for _ in range(5):
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, name="session 1")
            nursery.start_soon(work, name="another")

    acted: list[int] = []

    def run(point: AtCheckpoint) -> None:
        run_deterministic(main, seed=1, instruments=[point])

    assert list(every_checkpoint(run, lambda: acted.append(1))) == [1, 2, 3, 4, 5, 6]
    assert len(acted) == 6
