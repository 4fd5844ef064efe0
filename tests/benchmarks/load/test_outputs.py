"""One report, five forms: all say the same, and the page needs nothing beside it."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

import msgspec
import pytest
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks.load.measures import Measures
from benchmarks.load.messages import Use
from benchmarks.load.page import to_html
from benchmarks.load.plan import Plan, Slo
from benchmarks.load.report import Probe, Report, Search, ServerCost, make_report, to_json
from benchmarks.load.sheet import to_csv
from benchmarks.load.svg import Series, line_plot, percentile_plot, ticks
from benchmarks.load.table import show
from benchmarks.load.verdict import Finding


def report() -> Report:
    measures = Measures()
    for number in range(1, 101):
        measures.record("ttft", number / 1000)
        measures.second(number / 25).tokens += 3
    measures.counts.started = measures.counts.numbered = 100
    measures.counts.judged, measures.counts.good = 100, 97
    measures.counts.lost = 2
    measures.errors = {"<closed>": 1}
    made = make_report(
        Plan(url="http://127.0.0.1:1", target="generate", slo=Slo(ttft_ms=97)),
        measures,
        [Use(cpu_s=0.5, wall_s=5.0, lag_p99_ms=1.5, lag_max_ms=3.0)],
        outcome="failed",
        findings=[Finding(name="lost", number=2, detail="2 events never came")],
        server=ServerCost(
            cpu_s=1.0, cpu_us_per_token=33.0, resident_bytes_before=1, resident_bytes_after=2
        ),
        measured_at="2026-11-21T00:00:00+00:00",
        machine={"cores": 2},
        versions={"python": "3.11"},
    )
    probe = Probe(rate_per_s=5.0, outcome="passed", findings=[])
    found = Search(
        sustainable_rate_per_s=5.0, broke_at_per_s=10.0, stopped_by_tool=False, probes=[probe]
    )
    return msgspec.structs.replace(made, search=found)


def test_the_json_is_the_report() -> None:
    made = report()
    assert msgspec.json.decode(to_json(made), type=Report) == made


def test_a_measure_keeps_its_whole_histogram() -> None:
    found = report().measures["ttft"]
    assert (found.p50_ms, found.p99_ms) == (
        pytest.approx(50, rel=0.001),
        pytest.approx(99, rel=0.001),
    )
    assert HdrHistogram.decode(found.hdr).get_total_count() == found.count == 100


def test_goodput_is_a_share_and_a_rate() -> None:
    made = report()
    assert made.goodput is not None
    assert (made.goodput.share, made.goodput.limits_ms) == (0.97, {"ttft_ms": 97})
    assert made.goodput.per_s == pytest.approx(97 / made.length_s, abs=0.001)


def test_the_sheet_has_a_row_for_each_figure() -> None:
    rows = {
        (row["kind"], row["name"]): row for row in csv.DictReader(io.StringIO(to_csv(report())))
    }
    assert float(rows["measure", "ttft"]["p99_ms"]) == pytest.approx(99, rel=0.001)
    assert rows["count", "lost"]["value"] == "2"
    assert rows["finding", "lost"]["value"] == "2"
    assert rows["server", "cpu_us_per_token"]["value"] == "33.0"


def test_the_table_says_what_was_found() -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    show(report(), console)
    said = console.export_text()
    for part in ("ttft", "2 lost, 0 doubled", "lost: 2 events never came", "failed", "97.0%"):
        assert part in said


def test_the_page_needs_nothing_beside_it_and_escapes_what_it_shows() -> None:
    page = to_html(report())
    for outside in ("<script", "<link", "src=", "@import", "url("):
        assert outside not in page
    assert "&lt;closed&gt;" in page
    assert "<closed>" not in page
    for start in page.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + start.partition("</svg>")[0] + "</svg>")
    assert page.count("<svg") == 3


@given(st.floats(1e-5, 1e9))
def test_ticks_are_few_round_and_reach_the_highest(highest: float) -> None:
    found = ticks(highest)
    assert found[0] == 0
    assert found[-1] >= highest * 0.999999
    assert 2 <= len(found) <= 7


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1e7)), max_size=20))
def test_a_plot_stays_within_its_frame(points: list[tuple[float, float]]) -> None:
    for picture in (
        percentile_plot("a & b", [Series(name="<x>", points=sorted(points))], "ms"),
        line_plot("a & b", [Series(name="<x>", points=sorted(points))], "", "s"),
    ):
        root = ElementTree.fromstring(picture)
        for line in root.iter("{http://www.w3.org/2000/svg}polyline"):
            for pair in (line.get("points") or "").split():
                x, y = map(float, pair.split(","))
                assert 64 <= x <= 608
                assert 16 <= y <= 204
