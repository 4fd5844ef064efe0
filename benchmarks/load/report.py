"""What a run has to say, as one object: every output is made of it, and the JSON is it.

The fields' docstrings are the reference (docs/reference/bench.md is generated from them). Units are
in the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from benchmarks.load.measures import MEASURES, Counts, Measures, Second, percentile_ms
from benchmarks.load.messages import Use
from benchmarks.load.plan import Plan
from benchmarks.load.verdict import Finding, Outcome

FORMAT = 1
"""Goes up when a field changes its meaning or goes away."""

PERCENTILES = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0)
"""What a curve is drawn of."""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One histogram."""

    count: int
    """How many durations it holds."""
    mean_ms: float
    """Their mean."""
    min_ms: float
    """The shortest."""
    p50_ms: float
    """The median, by nearest rank; within 0.1 %, as all percentiles."""
    p90_ms: float
    """The 90th percentile."""
    p99_ms: float
    """The 99th percentile."""
    p999_ms: float
    """The 99.9th percentile."""
    max_ms: float
    """The longest."""
    curve: list[tuple[float, float]]
    """[percentile, ms] pairs."""
    hdr: str
    """All of it, in µs, in HdrHistogram's V2 encoding (base64): it can be added to others."""


class Goodput(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that kept every stated limit, counted from their intended start."""

    limits_ms: dict[str, float]
    """The stated limits."""
    judged: int
    """Requests that were judged."""
    good: int
    """Those that kept them all and ended well."""
    share: float
    """good / judged."""
    per_s: float
    """Good requests a second of the run's length."""
    broken: dict[str, int]
    """How many requests broke which limit."""


class Fairness(msgspec.Struct, frozen=True, kw_only=True):
    """Jain's index: 1 when all have the same, 1/n when one has all."""

    requests: float | None
    """Of completed requests' tokens a second; null: fewer than two."""
    parts: float | None
    """The mean over requests with several parts (personas, lanes) of the index of their tokens."""


class ServerCost(msgspec.Struct, frozen=True, kw_only=True):
    """What the server's process and its children used, where the tool knows the process."""

    cpu_s: float
    """CPU time during the run, all threads."""
    cpu_us_per_token: float | None
    """The same for each delivered token: the figure that does not depend on the client."""
    resident_bytes_before: int
    """Memory before the run."""
    resident_bytes_after: int
    """Memory at its end."""


class ToolUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the tool itself used: how far its times can be believed."""

    processes: int
    """Workers."""
    cpu_share_max: float
    """Of one core, by the busiest worker."""
    cpu_s: float
    """All workers' CPU time."""
    lag_p99_ms: float
    """How late the latest worker's loop was, at its p99."""
    lag_max_ms: float
    """And at most."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a search for the highest rate."""

    rate_per_s: float
    """The requests a second that were tried."""
    outcome: Outcome
    """How it went."""
    findings: list[str]
    """What was wrong."""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """The search for the highest rate that the server holds."""

    sustainable_rate_per_s: float | None
    """The highest rate that held; null: none did."""
    broke_at_per_s: float | None
    """The lowest rate that did not; null: none was found."""
    stopped_by_tool: bool
    """Whether the tool, not the server, was the limit: the server may hold more."""
    probes: list[Probe]
    """Every run, in order. The rest of the report is the last one that held, else the last one."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    format: int = FORMAT
    """This format's number: 1."""
    measured_at: str
    """When, in UTC."""
    outcome: Outcome
    """`passed`, `failed`, `invalid` (the tool was the limit) or `interrupted`."""
    findings: list[Finding]
    """What is wrong, each with a name, a number and a sentence."""
    plan: Plan
    """What was planned, headers and tokens apart."""
    length_s: float
    """From the first start to the last end, in whole seconds."""
    counts: Counts
    """What was counted."""
    rate_per_s: float
    """Requests that were started, a second of the time in which they were."""
    tokens_per_s: float
    """Tokens that were delivered, a second."""
    errors: dict[str, int]
    """How many requests failed with which code."""
    measures: dict[str, Measure]
    """The histograms, by name."""
    goodput: Goodput | None
    """null: no limits were stated."""
    fairness: Fairness
    """How even the shares were."""
    server: ServerCost | None
    """null: the tool does not know the server's process."""
    tool: ToolUse
    """What the tool used."""
    timeline: list[Second]
    """One entry for each second of the run."""
    search: Search | None = None
    """null: it was no search."""
    machine: dict[str, Any]
    """The machine of the tool."""
    versions: dict[str, str]
    """Versions that count."""


def measure(histogram: Any) -> Measure:
    """Sum a histogram up."""
    return Measure(
        count=histogram.get_total_count(),
        mean_ms=round(float(histogram.get_mean_value()) / 1000, 3),
        min_ms=percentile_ms(histogram, 0),
        p50_ms=percentile_ms(histogram, 50),
        p90_ms=percentile_ms(histogram, 90),
        p99_ms=percentile_ms(histogram, 99),
        p999_ms=percentile_ms(histogram, 99.9),
        max_ms=percentile_ms(histogram, 100),
        curve=[(each, percentile_ms(histogram, each)) for each in PERCENTILES],
        hdr=histogram.encode().decode(),
    )


def make_report(
    plan: Plan,
    measures: Measures,
    used: Sequence[Use],
    *,
    outcome: Outcome,
    findings: Sequence[Finding],
    server: ServerCost | None,
    measured_at: str,
    machine: dict[str, Any],
    versions: dict[str, str],
) -> Report:
    """Put everything together."""
    length_s = float(max(measures.seconds, default=0) + 1)
    counts = measures.counts
    return Report(
        measured_at=measured_at,
        outcome=outcome,
        findings=list(findings),
        plan=plan,
        length_s=length_s,
        counts=counts,
        rate_per_s=round(counts.started / _arriving_s(measures), 3),
        tokens_per_s=round(counts.tokens / length_s, 3),
        errors=measures.errors,
        measures={
            name: measure(measures.histograms[name])
            for name in MEASURES
            if name in measures.histograms
        },
        goodput=_goodput(plan, measures, length_s),
        fairness=_fairness(measures),
        server=server,
        tool=_tool(used),
        timeline=[measures.seconds.get(second, Second()) for second in range(int(length_s))],
        machine=machine,
        versions=versions,
    )


def _arriving_s(measures: Measures) -> float:
    started = [at for at, second in measures.seconds.items() if second.started]
    return max(started) - min(started) + 1.0 if started else 1.0


def _goodput(plan: Plan, measures: Measures, length_s: float) -> Goodput | None:
    counts = measures.counts
    stated = {
        name: limit
        for name in plan.slo.__struct_fields__
        if (limit := getattr(plan.slo, name)) is not None
    }
    if not stated:
        return None
    return Goodput(
        limits_ms=stated,
        judged=counts.judged,
        good=counts.good,
        share=counts.good / counts.judged if counts.judged else 0.0,
        per_s=round(counts.good / length_s, 3),
        broken=measures.broken,
    )


def _fairness(measures: Measures) -> Fairness:
    parts = measures.parts_evenness
    return Fairness(
        requests=measures.requests_evenness.index,
        parts=parts.total / parts.number if parts.number else None,
    )


def _tool(used: Sequence[Use]) -> ToolUse:
    return ToolUse(
        processes=len(used),
        cpu_share_max=round(max((use.cpu_share for use in used), default=0.0), 3),
        cpu_s=round(sum(use.cpu_s for use in used), 3),
        lag_p99_ms=max((use.lag_p99_ms for use in used), default=0.0),
        lag_max_ms=max((use.lag_max_ms for use in used), default=0.0),
    )


def to_json(report: Report) -> bytes:
    """Write a report as JSON, for people too."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
