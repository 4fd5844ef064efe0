"""Every fault has its name, and a run in which the tool was the limit says nothing."""

from __future__ import annotations

import pytest

from benchmarks.load.arrivals import Closed
from benchmarks.load.measures import Counts, Measures
from benchmarks.load.messages import Use
from benchmarks.load.plan import Plan, Slo, Storm
from benchmarks.load.verdict import MEANINGS, find, outcome, saturation, upstream_findings

PLAN = Plan(url="http://127.0.0.1:1", target="generate")
IDLE = Use(cpu_s=0.1, wall_s=1.0, lag_p99_ms=1.0, lag_max_ms=2.0)


def measures(**counts: int) -> Measures:
    found = Measures()
    found.counts = Counts(**{"started": 100, "messages": 900, **counts})
    return found


def names(plan: Plan, found: Measures) -> list[str]:
    return [finding.name for finding in find(plan, found)]


def test_a_clean_run_has_no_finding() -> None:
    assert names(PLAN, measures(completed=100)) == []


@pytest.mark.parametrize(
    ("plan", "counts", "name"),
    [
        (PLAN, {"lost": 1}, "lost"),
        (PLAN, {"doubled": 1}, "doubled"),
        (PLAN, {"cancels": 9, "uncancelled": 1}, "uncancelled"),
        (PLAN, {"unfinished": 1}, "unfinished"),
        (PLAN, {"failed": 1}, "errors"),
        (PLAN, {"started": 0, "messages": 0}, "nothing"),
        (PLAN, {"messages": 0}, "nothing"),
        (Plan(url="", target="", slo=Slo(ttft_ms=1)), {"judged": 100, "good": 98}, "late"),
        (Plan(url="", target="", storm=Storm()), {"losses": 5, "resumed": 4}, "unresumed"),
    ],
)
def test_each_fault_is_named(plan: Plan, counts: dict[str, int], name: str) -> None:
    assert names(plan, measures(**counts)) == [name]
    assert name in MEANINGS


def test_what_is_allowed_is_no_finding() -> None:
    allowing = Plan(url="", target="", max_error_share=0.05, slo=Slo(ttft_ms=1))
    assert names(allowing, measures(failed=5, judged=100, good=99)) == []


def test_unfair_shares_are_found_where_fairness_is_wanted() -> None:
    found = measures()
    for share in (1.0, 1.0, 9.0):
        found.requests_evenness.take(share)
    assert names(PLAN, found) == []
    assert names(Plan(url="", target="", min_fairness=0.9), found) == ["unfair"]


def test_an_upstream_that_was_not_closed_is_an_uncancelled_request() -> None:
    assert upstream_findings(PLAN, 0, 0) == []
    [finding] = upstream_findings(PLAN, 2, 1)
    assert (finding.name, finding.number) == ("uncancelled", 3)


@pytest.mark.parametrize(
    ("use", "counts"),
    [
        (Use(cpu_s=0.95, wall_s=1.0, lag_p99_ms=1.0, lag_max_ms=1.0), {}),
        (Use(cpu_s=0.1, wall_s=1.0, lag_p99_ms=80.0, lag_max_ms=90.0), {}),
        (IDLE, {"held_back": 5}),
    ],
    ids=["cpu", "lag", "held back"],
)
def test_the_tools_own_limit_makes_a_run_invalid(use: Use, counts: dict[str, int]) -> None:
    found = saturation(PLAN, measures(**counts), [IDLE, use])
    assert [finding.name for finding in found] == ["saturated"]
    assert outcome(PLAN, [], found, interrupted=False) == "invalid"


def test_a_closed_loop_is_never_held_back() -> None:
    closed = Plan(url="", target="", arrivals=Closed(users=3))
    assert saturation(closed, measures(held_back=50), [IDLE]) == []


def test_a_lost_event_fails_a_run_that_is_invalid_too() -> None:
    """A slow client can make a server look slow; it cannot make it lose anything."""
    saturated = saturation(PLAN, measures(held_back=50), [IDLE])
    lost = find(PLAN, measures(lost=1))
    assert outcome(PLAN, lost, saturated, interrupted=False) == "failed"
    assert outcome(PLAN, lost, [], interrupted=True) == "interrupted"
    assert outcome(PLAN, [], [], interrupted=False) == "passed"
