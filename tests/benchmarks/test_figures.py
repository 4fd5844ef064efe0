"""The page of figures says what the results say, and no more."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

PATH = Path(__file__).parents[2] / "docs" / "performance.py"
SPEC = importlib.util.spec_from_file_location("docs_performance", PATH)
assert SPEC is not None
assert SPEC.loader is not None
performance: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(performance)


def result(ratio: float, *, sound: int = 1) -> dict[str, Any]:
    ours = {"cpu_us_per_delta": 2.0, "ratio": ratio, "sound": sound}
    return {
        "measured_at": "2026-11-21T05:30:00+00:00",
        "commit": "abc",
        "machine": {"cores": 2, "processor": "a & b"},
        "medians": {"W1": {"fastapi": {**ours, "ratio": 1.0}, "ours": ours}},
        "rows": [],
    }


def line(results: dict[str, Any], start: str) -> str:
    lines = "\n".join(performance.page(results)).splitlines()
    return next(each for each in lines if each.startswith(f"| {start}"))


def test_goal_is_met_missed_or_not_recorded() -> None:
    """A goal stands beside its figure; one that nobody has measured names its benchmark."""
    assert "| met |" in line({"side_by_side": result(0.2)}, "W1, ")
    assert "| **not met** |" in line({"side_by_side": result(0.5)}, "W1, ")
    assert "not recorded" in line({}, "W1, ")
    assert "benchmarks.scale" in line({}, "memory of a live session")


def test_unsound_figure_is_marked() -> None:
    """What was measured beside strangers is not passed off as a figure."""
    found = line({"side_by_side": result(0.2, sound=0)}, "W1, ")
    assert "met (no sound run)" in found


def test_plots_are_xml_with_a_bar_for_each_server() -> None:
    """A plot is a file that any viewer opens."""
    (name, drawing), *rest = performance.plots({"side_by_side": result(0.2)}).items()
    assert (name, rest) == ("w1.svg", [])
    root = ElementTree.fromstring(drawing)
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == 1 + 2
