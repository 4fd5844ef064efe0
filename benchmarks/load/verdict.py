"""Whether a run passed: from what was measured to named findings. Pure.

A finding fails the run. A run in which the tool was the limit is invalid: its times say something
about the tool, and nothing about the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from benchmarks.load import limits
from benchmarks.load.arrivals import Closed
from benchmarks.load.measures import Measures
from benchmarks.load.messages import Use
from benchmarks.load.plan import Plan

Outcome = Literal["passed", "failed", "invalid", "interrupted"]

Name = Literal[
    "lost", "doubled", "late", "uncancelled", "unresumed", "unfinished", "errors", "unfair",
    "nothing", "saturated",
]  # fmt: skip
"""What can be found: see `MEANINGS`."""

MEANINGS: dict[Name, str] = {
    "lost": "numbered events never came",
    "doubled": "numbered events came more than once",
    "late": "too few requests kept the stated limits",
    "uncancelled": "a cancel had no effect in time, or tokens came after the cancelled end, or the "
    "upstream was not closed in time",
    "unresumed": "a client that came back heard nothing more",
    "unfinished": "requests were still open when the run's patience ended",
    "errors": "more requests failed than allowed",
    "unfair": "Jain's index is below the stated one",
    "nothing": "no request was started, or none brought anything",
    "saturated": "the tool itself was the limit: the run is invalid",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong."""

    name: Name
    """One word for what; the reference lists them."""
    number: int
    """How often."""
    detail: str
    """A sentence for people."""


def find(plan: Plan, measures: Measures) -> list[Finding]:
    """Give what is wrong with the server, by what was measured."""
    counts = measures.counts
    found: list[Finding] = []

    def note(name: Name, number: int, detail: str) -> None:
        if number:
            found.append(Finding(name=name, number=number, detail=detail))

    note("lost", counts.lost, f"{counts.lost} events never came")
    note("doubled", counts.doubled, f"{counts.doubled} events came more than once")
    within_ms = cancel_limit_ms(plan)
    note(
        "uncancelled",
        counts.uncancelled,
        f"{counts.uncancelled} of {counts.cancels} cancels had no effect within {within_ms:g} ms, "
        "or tokens came after the end",
    )
    unresumed = counts.losses - counts.resumed - counts.unsure if plan.resumes else 0
    note(
        "unresumed",
        max(0, unresumed),
        f"{unresumed} of {counts.losses} lost connections were not gone on with",
    )
    note("unfinished", counts.unfinished, f"{counts.unfinished} requests did not end in time")
    if counts.failed > plan.max_error_share * counts.started:
        kinds = sorted(measures.errors.items(), key=lambda item: -item[1])
        told = ", ".join(f"{code} {number}" for code, number in kinds[: limits.REPORTED_ERRORS])
        note("errors", counts.failed, f"{counts.failed} of {counts.started} failed: {told}")
    found += [*_late(plan, measures), *_unfair(plan, measures)]
    if not counts.stopped:
        note("nothing", not counts.started, "no request was started")
        silent = counts.started and not counts.messages and not counts.failed
        note("nothing", int(bool(silent)), "no message arrived")
    return found


def cancel_limit_ms(plan: Plan) -> float:
    """Give the time within which a cancel has to have its effect."""
    return limits.CANCEL_WITHIN_S * 1000 if plan.slo.cancel_ms is None else plan.slo.cancel_ms


def _late(plan: Plan, measures: Measures) -> list[Finding]:
    counts = measures.counts
    if not counts.judged or counts.good >= plan.min_goodput * counts.judged:
        return []
    told = ", ".join(
        f"{name} {getattr(plan.slo, name):g} ms broken by {number}"
        for name, number in sorted(measures.broken.items())
    )
    share = counts.good / counts.judged
    detail = f"{share:.1%} of the requests were good, wanted {plan.min_goodput:.1%}: {told}"
    return [Finding(name="late", number=counts.judged - counts.good, detail=detail)]


def _unfair(plan: Plan, measures: Measures) -> list[Finding]:
    index = measures.requests_evenness.index
    if plan.min_fairness is None or index is None or index >= plan.min_fairness:
        return []
    detail = f"Jain's index of the requests' tokens a second is {index:.3f}, wanted "
    return [Finding(name="unfair", number=1, detail=detail + f"{plan.min_fairness:g}")]


def upstream_findings(plan: Plan, unseen: int, late: int) -> list[Finding]:
    """Judge what the upstream double saw.

    Args:
        plan: the run's.
        unseen: cancelled requests whose upstream was never closed.
        late: those where it took longer than the limit.
    """
    if not unseen + late:
        return []
    detail = (
        f"the upstream of {unseen} cancelled requests was never closed, of {late} later than "
        f"{cancel_limit_ms(plan):g} ms after the cancel"
    )
    return [Finding(name="uncancelled", number=unseen + late, detail=detail)]


def saturation(plan: Plan, measures: Measures, used: Sequence[Use]) -> list[Finding]:
    """Give why the tool itself was the limit; empty: it was not."""
    why: list[str] = []
    share = max((use.cpu_share for use in used), default=0.0)
    if share > limits.MAX_CPU_SHARE:
        why.append(f"a worker used {share:.0%} of a core")
    lag_ms = max((use.lag_p99_ms for use in used), default=0.0)
    if lag_ms > plan.max_lag_ms:
        why.append(f"a worker's loop was {lag_ms:.0f} ms late at its p99")
    counts = measures.counts
    is_open_loop = not isinstance(plan.arrivals, Closed)
    if is_open_loop and counts.held_back > limits.HELD_BACK_SHARE * max(1, counts.started):
        why.append(f"{counts.held_back} starts waited: --max-open is {plan.max_open}")
    return [Finding(name="saturated", number=len(why), detail="; ".join(why))] if why else []


def outcome(
    plan: Plan, findings: Sequence[Finding], saturated: Sequence[Finding], *, interrupted: bool
) -> Outcome:
    """Decide.

    A fault that no slow client can feign (lost, doubled, errors) fails a saturated run too: then it
    has failed, not merely said nothing.
    """
    if interrupted:
        return "interrupted"
    timeless = [finding for finding in findings if finding.name in ("lost", "doubled", "errors")]
    if saturated and not plan.allow_saturation and not timeless:
        return "invalid"
    return "failed" if findings else "passed"
