"""The Grafana dashboard asks for metrics that there are, by labels that they have."""

from __future__ import annotations

import json
import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
ROW = re.compile(r"\| `((?:antiphon|gen_ai)_\w+)` \| (\w+) \| (.*?) \|")
ASKED = re.compile(r"\b((?:antiphon|gen_ai_client)_\w+)\{([^}]*)\}")


def test_every_query_names_a_metric_of_the_reference() -> None:
    """Its name, with the suffix of its type; and the labels that it filters or groups by."""
    text = (DOCS / "reference" / "metrics.md").read_text()
    known: dict[str, set[str]] = {}
    for name, kind, labels in ROW.findall(text):
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        for suffix in suffixes:
            known[name + suffix] = {"instance", "le", *re.findall(r"`(\w+)`", labels)}
    dashboard = json.loads((DOCS / "how-to/deployment/grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 20
    for query in queries:
        for name, filters in ASKED.findall(query):
            assert name in known, f"{name} in {query}"
            by = re.findall(r"by \(([^)]*)\)", query)
            labels = {label.strip() for group in by for label in group.split(",")}
            labels |= set(re.findall(r"(\w+)[!=~]", filters))
            assert labels <= known[name], f"{labels - known[name]} in {query}"
