"""A report as one HTML file that needs nothing beside it: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import msgspec

from benchmarks.load.measures import MEASURES
from benchmarks.load.plan import Plan
from benchmarks.load.report import Report
from benchmarks.load.svg import Series, line_plot, percentile_plot
from benchmarks.load.table import facts

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d1d1f; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child, td.text { text-align: left; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; fill: #555; }
svg .grid { stroke: #e3e3e3; }
.outcome { font-weight: 600; } .passed { color: #0a7a2f; } .failed { color: #b3261e; }
.invalid, .interrupted { color: #8a5a00; }
@media (prefers-color-scheme: dark) {
  body { color: #eee; background: #161618; } th, td { border-color: #333; }
  svg { fill: #aaa; } svg .grid { stroke: #333; }
  .passed { color: #5fd38a; } .failed { color: #ff8a80; }
  .invalid, .interrupted { color: #f0c060; } }
"""

CURVES = (
    ("Waiting for the first token", ("ttft", "ttft_intended")),
    ("Between tokens", ("itl", "tpot", "lateness")),
    ("End to end", ("e2e", "e2e_intended")),
    (
        "Cancelling",
        (
            "cancel_to_silence",
            "cancel_to_end",
            "cancel_to_upstream_told",
            "cancel_to_upstream_seen",
        ),
    ),
    ("Coming back", ("resume", "resume_answer")),
    ("Starting", ("connect", "start_delay")),
)
"""Which measures share a plot."""


def to_html(report: Report) -> str:
    """Write a report as a page."""
    title = f"{report.plan.target}, {report.plan.scenario}: {report.outcome}"
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Load test: {escape(title)}</title><style>{STYLE}</style></head><body>",
            *_head(report),
            *_plots(report),
            *_measures(report),
            *_search(report),
            *_plan(report.plan),
            "</body></html>",
            "",
        )
    )


def _head(report: Report) -> Iterator[str]:
    yield f"<h1>Load test: {escape(report.plan.target)} at {escape(report.plan.url)}</h1>"
    yield f'<p class="outcome {report.outcome}">{report.outcome}</p>'
    if report.findings:
        yield "<ul>"
        for finding in report.findings:
            yield f"<li><b>{finding.name}</b>: {escape(finding.detail)}</li>"
        yield "</ul>"
    yield "<table>"
    yield _row("measured at", report.measured_at)
    for name, sentence in facts(report):
        yield _row(name, sentence)
    yield "</table>"


def _plots(report: Report) -> Iterator[str]:
    seconds = list(enumerate(report.timeline))
    yield "<h2>Over time</h2>"
    for title, names, unit in (
        ("Requests a second", ("started", "ended", "failed"), ""),
        ("Tokens a second", ("tokens",), ""),
    ):
        series = [
            Series(name=name, points=[(at, getattr(second, name)) for at, second in seconds])
            for name in names
        ]
        yield f"<p>{title}</p>" + line_plot(title, series, unit, "s")
    yield "<h2>Percentiles</h2>"
    for title, curves in CURVES:
        series = [
            Series(name=name, points=report.measures[name].curve)
            for name in curves
            if name in report.measures
        ]
        if series:
            yield f"<p>{title}, ms</p>" + percentile_plot(title, series, "ms")


def _measures(report: Report) -> Iterator[str]:
    yield "<h2>Measures, ms</h2><table><tr><th>measure</th><th>number</th><th>mean</th>"
    yield "<th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th></th></tr>"
    for name, each in report.measures.items():
        times = (each.mean_ms, each.p50_ms, each.p90_ms, each.p99_ms, each.p999_ms, each.max_ms)
        cells = "".join(f"<td>{value:,.2f}</td>" for value in times)
        what = f'<td class="text">{escape(MEASURES[name])}</td>'
        yield f"<tr><td>{name}</td><td>{each.count:,}</td>{cells}{what}</tr>"
    yield "</table>"


def _search(report: Report) -> Iterator[str]:
    if report.search is None:
        return
    yield "<h2>The search</h2><table><tr><th>requests a second</th><th>outcome</th></tr>"
    for probe in report.search.probes:
        why = ", ".join(probe.findings)
        outcome = probe.outcome + (f" ({why})" if why else "")
        yield f'<tr><td>{probe.rate_per_s:.3g}</td><td class="text">{escape(outcome)}</td></tr>'
    yield "</table>"


def _plan(plan: Plan) -> Iterator[str]:
    text = msgspec.json.format(msgspec.json.encode(plan), indent=2).decode()
    yield f"<h2>The plan</h2><details><summary>as JSON</summary><pre>{escape(text)}</pre></details>"


def _row(name: str, sentence: str) -> str:
    return f'<tr><td>{escape(name)}</td><td class="text">{escape(sentence)}</td></tr>'
