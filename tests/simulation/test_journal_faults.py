"""The disk fails at each append of whole sessions, and writes arrive twice or too late."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import pytest

from engine.journal import memory
from engine.journal.interface import Batch
from engine.limits import Limits
from engine.sessions.log import Log
from engine.testing.simulation import Outcome, simulate
from engine.testing.workload import (
    PartPlan,
    PhasePlan,
    ReaderPlan,
    SessionPlan,
    Workload,
    make_workload,
)
from tests.simulation.test_slow_readers import FAST, seen, session

SEEDS = range(40)


def broken(outcome: Outcome) -> str:
    return "; ".join(map(str, outcome.violations))


def test_a_failure_at_every_append_breaks_nothing(report: Callable[[str], None]) -> None:
    """I1, I2, I3, I4, I7, I9, I12 and I14: a session that cannot be kept ends, and says so."""
    runs, failed = 0, 0
    for seed in SEEDS:
        workload = make_workload(seed, faults=False)
        if workload.journal != "durable":
            continue
        appends = simulate(workload).appends
        for nth in range(1, appends + 1):
            outcome = simulate(msgspec.structs.replace(workload, fail_at=nth))
            assert not outcome.violations, f"seed {seed}, append {nth}: {broken(outcome)}"
            runs += 1
            failed += outcome.ends["failed"]
    report(f"a failure at each of {runs} appends of {len(SEEDS)} seeds, {failed} sessions failed")
    assert runs > 150
    assert failed > runs / 5


def test_a_failing_disk_lets_no_slow_reader_delay_another_one(
    report: Callable[[str], None],
) -> None:
    """I6 for every k: a fast reader sees the same, at the same moments, beside a slow one."""
    moments = 0
    for seed in range(3):
        random = Random(seed)
        slow = ReaderPlan(kind="pull", pause_s=0.3, max_bytes=1)
        plan = session(random, FAST)
        limits = Limits(window_events=4, window_bytes=64, rollup_s=0.005)
        for nth in range(1, 20):
            alone = Workload(
                seed=seed, sessions=(plan,), limits=limits, journal="durable", fail_at=nth
            )
            beside = msgspec.structs.replace(plan, readers=(FAST, slow))
            disturbed = msgspec.structs.replace(alone, sessions=(beside,))
            expected = seen(alone, "0/0 push")
            assert seen(disturbed, "0/0 push") == expected, f"seed {seed}, append {nth}"
            moments += len(expected)
    report(f"{moments} moments of readers beside a slow one, with a failure at each append")


def crashed(seed: int, nth: int) -> Workload:
    """A session that dies with writes on their way, and more of them than it has commits."""
    parts = tuple(PartPlan(id=name, kind="write", pieces=("a ", "b ")) for name in "abc")
    phase = PhasePlan(name="phase", parts=parts, lanes=3, is_chain=False)
    plan = SessionPlan(phases=(phase,), readers=(ReaderPlan(kind="pull"),), detached=True)
    return Workload(
        seed=seed,
        sessions=(plan,),
        limits=Limits(),
        journal="durable",
        journal_delay_s=0.05,
        crash_at=nth,
        repeat_every=1,
    )


def test_writes_of_a_dead_owner_are_refused_and_repeated_ones_taken_once(
    report: Callable[[str], None],
) -> None:
    """I13: each write arrives twice, and a dead process's last ones after its successor's first."""
    refused = 0
    for nth in range(1, 9):
        outcome = simulate(crashed(1, nth))
        assert not outcome.violations, f"append {nth}: {broken(outcome)}"
        refused += outcome.refused
    report(f"{refused} late writes of dead owners refused")
    assert refused >= 4


def fence_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that takes a write under whatever epoch."""
    append = memory.MemoryJournal.append_nowait

    def careless(journal: memory.MemoryJournal, batch: Batch) -> object:
        log = journal._logs.get(batch.session_id)
        epoch = log.record.epochs[-1].name if log is not None else batch.epoch
        return append(journal, msgspec.structs.replace(batch, epoch=epoch))

    monkeypatch.setattr(memory.MemoryJournal, "append_nowait", careless)


def take_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that keeps what it has already."""
    monkeypatch.setattr(memory, "unseen", lambda batch, last_seq: batch.entries)


@pytest.mark.parametrize(("plant", "invariant"), [(fence_nobody, "I13"), (take_twice, "I1")])
def test_a_journal_that_is_not_idempotent_or_does_not_fence_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], invariant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found = [
        violation.invariant
        for nth in range(1, 9)
        for violation in simulate(crashed(1, nth)).violations
    ]
    assert invariant in found


def test_a_session_that_hides_its_failing_journal_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I2: milestones that are shown before they are durable turn the simulation red."""

    async def hasty(log: Log, commit: object) -> None:
        log._pending.clear()

    monkeypatch.setattr(Log, "_wait", hasty)
    workload = msgspec.structs.replace(crashed(1, 99), crash_at=None, fail_at=3)
    assert "I2" in {violation.invariant for violation in simulate(workload).violations}
