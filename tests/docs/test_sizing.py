"""The model on paper: laws of queues that it has to keep, and outages that it has to survive."""

from __future__ import annotations

import math
from random import Random
from statistics import mean

import pytest
from msgspec.structs import replace

from docs.sizing_model import Plan, failover_s, queue_wait_s, size, table
from docs.sizing_page import journal_bytes, measured, newest

COST, FILES = measured()


@pytest.mark.parametrize("sessions", [1, 1_000, 100_000, 1_000_000])
def test_nothing_is_overloaded(sessions: int) -> None:
    """Processes and Redis stay below what the plan allows, with a machine dead as well."""
    plan = Plan(sessions=sessions)
    found = size(plan, COST)
    cores = found.deltas_per_s * COST.delta_us * 1e-6
    assert cores / found.processes <= plan.load
    assert found.redis_deltas_per_s * COST.redis_delta_us * 1e-6 <= plan.redis_load
    assert found.failover_load <= plan.load_after
    assert plan.lease_s <= found.failover_s < 10 * plan.lease_s
    assert found.arrivals_per_s * plan.length_s == pytest.approx(sessions)  # Little's law


@pytest.mark.parametrize("sessions", [10_000, 1_000_000])
def test_no_process_is_to_spare(sessions: int) -> None:
    """With one process less in a cell it would be above one of the two bounds."""
    plan = Plan(sessions=sessions)
    found = size(plan, COST)
    of_each = found.processes // found.cells
    cores = found.redis_deltas_per_s * COST.delta_us * 1e-6
    assert cores / (of_each - 1) > plan.load or cores / (of_each - 2) > plan.load_after


def test_twice_the_cost_is_twice_the_processes() -> None:
    plan = Plan(sessions=1_000_000)
    dear = replace(COST, delta_us=2 * COST.delta_us)
    assert size(plan, dear).processes == pytest.approx(2 * size(plan, COST).processes, rel=0.25)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_queue_is_what_a_simulated_one_is(load: float) -> None:
    """Lindley's recursion with exponential services: a wait's mean is load/(1 - load) services."""
    random, wait, waits = Random(1), 0.0, []
    for _ in range(200_000):
        waits.append(wait)
        wait = max(0.0, wait + random.expovariate(1.0) - random.expovariate(load))
    assert queue_wait_s(1.0, load, 1.0) == pytest.approx(mean(waits), rel=0.1)
    assert queue_wait_s(1.0, 1.0, 1.0) == math.inf


def test_an_outage_that_the_others_cannot_carry_never_ends() -> None:
    plan = Plan(sessions=2_000)
    assert failover_s(plan, COST, 2_000, 8) < math.inf
    assert failover_s(plan, COST, 2_000, 2) == math.inf


def test_a_longer_recovery_takes_longer() -> None:
    plan = Plan(sessions=2_000)
    slow = replace(COST, recovery_ms=20 * COST.recovery_ms)
    assert failover_s(plan, slow, 2_000, 6) > failover_s(plan, COST, 2_000, 6) + 1


def test_the_figures_are_measured_ones() -> None:
    assert all(getattr(COST, name) > 0 for name in FILES)
    assert 100 < journal_bytes() < 1_000
    with pytest.raises(LookupError, match="make bench"):
        newest("no_such_question")


def test_every_row_has_every_column() -> None:
    rows = table(COST, (10, 100))
    assert {row.count("|") for row in rows} == {4}
