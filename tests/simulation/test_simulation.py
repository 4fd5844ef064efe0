"""Whole sessions, drawn from seeds, on a virtual clock, with everything checked that was seen."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from engine.testing.simulation import simulate
from engine.testing.workload import make_workload

SEEDS = int(os.environ.get("ANTIPHON_SEEDS", "2000"))
"""How many seeds; ANTIPHON_SEEDS=100000 makes a night of it."""
SHARDS = 8


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_invariant_holds_over_whole_sessions(
    shard: int, report: Callable[[str], None]
) -> None:
    """I1 to I4, I7 to I10, I12 and I14, whatever fails, whoever reads, whenever it is cancelled."""
    ends: Counter[str] = Counter()
    sights, calls, turned_away, marks = 0, 0, 0, 0
    seeds = range(shard, SEEDS, SHARDS)
    for seed in seeds:
        outcome = simulate(make_workload(seed))
        assert not outcome.violations, f"seed {seed}: " + "; ".join(map(str, outcome.violations))
        ends += outcome.ends
        sights += len(outcome.trace)
        calls += outcome.calls
        turned_away += outcome.turned_away
        marks += outcome.marks
    shown = ", ".join(f"{count} {state}" for state, count in sorted(ends.items()))
    report(f"{len(seeds)} seeds, {ends.total()} sessions ({shown}), {sights} entries checked")
    report(
        f"of these, {calls} calls through limits, {turned_away} starts without a slot, "
        f"{marks} marks of supervised children"
    )
    if len(seeds) >= 50:
        assert len(ends) == 3, "the workload has to end sessions in every way"
        assert min(calls, turned_away, marks) > 20, "its limits have to be reached"


@pytest.mark.parametrize("seed", [3, 17, 43])
def test_one_seed_is_one_run(seed: int) -> None:
    """A seed that fails once fails always: the whole trace is the same, times included."""
    first = simulate(make_workload(seed)).trace
    assert first
    assert all(simulate(make_workload(seed)).trace == first for _ in range(5))


@pytest.mark.parametrize("seed", [5742, 6882])
def test_a_seed_that_found_a_defect_stays_green(seed: int) -> None:
    """Two milestones on their way: the first is durable and shown, though the second fails."""
    assert simulate(make_workload(seed)).violations == []
