"""Results are dated, say where they were measured, and never replace each other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import results

NOW = datetime(2026, 11, 21, 8, 30, 5, tzinfo=UTC)


def test_result_says_when_where_and_with_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number without its machine and versions compares with nothing."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    path = results.write_result("journal", {"question": "How fast?", "rows": [1]}, now=NOW)
    assert path.name == "2026-11-21-journal.json"
    found = json.loads(path.read_text())
    assert found["measured_at"] == "2026-11-21T08:30:05+00:00"
    assert found["question"] == "How fast?"
    assert found["rows"] == [1]
    assert found["machine"]["cores"] >= 1
    assert {"python", "trio", "sqlite"} <= set(found["versions"])
    assert found["commit"]


def test_second_result_of_a_day_leaves_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No result replaces another."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    first = results.write_result("journal", {"n": 1}, now=NOW)
    second = results.write_result("journal", {"n": 2}, now=NOW)
    assert second.name == "2026-11-21-083005-journal.json"
    assert json.loads(first.read_text())["n"] == 1
