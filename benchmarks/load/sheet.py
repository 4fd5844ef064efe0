"""A report as CSV: one row for each measure, with a column for each figure; counts below."""

from __future__ import annotations

import csv
import io

import msgspec

from benchmarks.load.report import Measure, Report

LEFT_OUT = {"curve", "hdr"}


def to_csv(report: Report) -> str:
    """Write a report as CSV: kind, name, then a measure's figures or a count's value."""
    figures = [name for name in Measure.__struct_fields__ if name not in LEFT_OUT]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["kind", "name", "value", *figures])
    rows.writerow(["outcome", report.outcome, ""])
    for name, each in report.measures.items():
        rows.writerow(["measure", name, "", *(getattr(each, figure) for figure in figures)])
    for name, value in msgspec.structs.asdict(report.counts).items():
        rows.writerow(["count", name, value])
    for code, value in report.errors.items():
        rows.writerow(["error", code, value])
    for finding in report.findings:
        rows.writerow(["finding", finding.name, finding.number])
    if report.server is not None and report.server.cpu_us_per_token is not None:
        rows.writerow(["server", "cpu_us_per_token", report.server.cpu_us_per_token])
    return text.getvalue()
