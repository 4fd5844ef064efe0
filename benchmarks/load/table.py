"""A report on the terminal, and progress while it is made."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchmarks.load.limits import REPORTED_ERRORS
from benchmarks.load.messages import Progress
from benchmarks.load.plan import Plan
from benchmarks.load.report import Report

COLOURS = {"passed": "green", "failed": "red", "invalid": "yellow", "interrupted": "yellow"}


class Screen:
    """Progress on a terminal: one line that changes. In a pipe: a line for each step.

    Args:
        is_terminal: whether a person looks at it.
    """

    def __init__(self, *, is_terminal: bool) -> None:
        self._live: Live | None = None
        if is_terminal:
            self._live = Live(Text("starting"), console=Console(stderr=True), transient=True)
            self._live.start()

    def say(self, sentence: str) -> None:
        """Tell of a step."""
        if self._live is not None:
            self._live.console.print(Text(sentence))
        else:
            print(f"bench: {sentence}", file=sys.stderr, flush=True)

    def progress(self, progress: Progress, plan: Plan) -> None:
        """Tell how far it is; in a pipe nobody wants to know twice a second."""
        if self._live is not None:
            self._live.update(
                Text(
                    f"{progress.started} started, {progress.open} open, {progress.ended} ended, "
                    f"{progress.failed} failed, {progress.tokens:,} tokens; arrivals take "
                    f"{plan.duration_s:g} s"
                )
            )

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()


def show(report: Report, console: Console) -> None:
    """Print a report."""
    console.print(Group(*_parts(report)))


def _parts(report: Report) -> Iterator[RenderableType]:
    counts = report.counts
    yield Text(
        f"{report.plan.target} at {report.plan.url}, {report.plan.scenario}: {counts.started} "
        f"requests ({report.rate_per_s:g}/s), {counts.tokens:,} tokens "
        f"({report.tokens_per_s:,.0f}/s) in {report.length_s:g} s",
        style="bold",
    )
    yield _measures(report)
    yield _facts(report)
    for finding in report.findings:
        yield Text(f"{finding.name}: {finding.detail}", style="red")
    yield Text(report.outcome, style=f"bold {COLOURS[report.outcome]}")


def _measures(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("ms", "number", "mean", "p50", "p90", "p99", "p99.9", "max"):
        table.add_column(title, justify="left" if title == "ms" else "right", no_wrap=True)
    for name, each in report.measures.items():
        times = (each.mean_ms, each.p50_ms, each.p90_ms, each.p99_ms, each.p999_ms, each.max_ms)
        table.add_row(name, f"{each.count:,}", *(f"{value:,.2f}" for value in times))
    return table


def _facts(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in facts(report):
        table.add_row(name, value)
    return table


def facts(report: Report) -> Iterator[tuple[str, str]]:
    """Give what is no percentile, as names and sentences."""
    counts = report.counts
    yield (
        "ended",
        f"{counts.completed} completed, {counts.cancelled} cancelled, {counts.failed} failed, "
        f"{counts.unfinished} unfinished",
    )
    if counts.numbered:
        yield "events", f"{counts.lost} lost, {counts.doubled} doubled"
    else:
        yield "events", "not numbered: lost and doubled ones cannot be seen"
    if report.errors:
        most = sorted(report.errors.items(), key=lambda item: -item[1])[:REPORTED_ERRORS]
        yield "errors", ", ".join(f"{code} {number}" for code, number in most)
    if counts.cancels:
        yield (
            "cancels",
            f"{counts.cancels} sent, {counts.uncancelled} without effect, {counts.raced} crossed "
            f"the end, {counts.tokens_after_cancel} tokens after them",
        )
    if counts.losses:
        yield "connections", f"{counts.losses} lost, {counts.resumed} gone on with"
    if report.goodput is not None:
        good = report.goodput
        yield "goodput", f"{good.share:.1%}, {good.per_s:g}/s within {_limits(good.limits_ms)}"
    for name, index in (
        ("fairness", report.fairness.requests),
        ("fairness of parts", report.fairness.parts),
    ):
        if index is not None:
            yield name, f"{index:.4f} (Jain)"
    if report.server is not None:
        cost = report.server
        each = "" if cost.cpu_us_per_token is None else f", {cost.cpu_us_per_token:g} µs a token"
        memory = f"{cost.resident_bytes_after / 1e6:.0f} MB"
        yield "server", f"{cost.cpu_s:g} s of CPU{each}, {memory}"
    tool = report.tool
    yield (
        "tool",
        f"{tool.processes} {'process' if tool.processes == 1 else 'processes'}, the busiest at "
        f"{tool.cpu_share_max:.0%} of a core, loop lag "
        f"p99 {tool.lag_p99_ms:.1f} ms",
    )
    if report.search is not None:
        yield "highest rate", _search(report)


def _search(report: Report) -> str:
    assert report.search is not None
    found = report.search.sustainable_rate_per_s
    told = "none held" if found is None else f"{found:.3g} requests a second"
    if report.search.stopped_by_tool:
        return f"{told}; then the tool was the limit, not the server"
    if report.search.broke_at_per_s is None:
        return f"{told}, the highest that was tried"
    return f"{told}; {report.search.broke_at_per_s:.3g} did not hold"


def _limits(stated: dict[str, float]) -> str:
    return ", ".join(f"{name.removesuffix('_ms')} {limit:g} ms" for name, limit in stated.items())
