"""Whole clusters on a virtual clock: kills, drains, cuts, stale owners, clients that wander."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from engine.testing.cluster_simulation import simulate_cluster
from engine.testing.cluster_workload import make_cluster_workload


def check(seeds: range) -> Counter[str]:
    """Simulate these seeds, and give how their sessions ended."""
    ends: Counter[str] = Counter()
    for seed in seeds:
        outcome = simulate_cluster(make_cluster_workload(seed))
        assert not outcome.violations, f"seed {seed}: {outcome.violations[0]}"
        ends += outcome.ends
    return ends


def test_no_seed_loses_or_doubles_anything(report: Callable[[str], None]) -> None:
    """Whatever befalls the processes: each session ends once, and readers miss nothing and see
    nothing twice, at whichever process they are.
    """
    ends = check(range(24))
    assert ends["takeovers"] > 5
    assert ends["handed"] > 5
    report(f"24 clusters of engines: {dict(ends)}")


@pytest.mark.system  # for its time alone: it needs nothing but the processor
def test_hundreds_of_seeds(report: Callable[[str], None]) -> None:
    """The same, for longer."""
    ends = check(range(1000, 1300))
    report(f"300 clusters of engines: {dict(ends)}")
