"""The index of fairness that the benchmark reports."""

from __future__ import annotations

import pytest

from benchmarks.fairness import jain


@pytest.mark.parametrize(
    ("shares", "index"),
    [([1.0] * 5, 1.0), ([0.5] * 5, 1.0), ([1.0, 0.0, 0.0, 0.0], 0.25), ([1.0, 1.0, 0.0], 2 / 3)],
)
def test_jains_index(shares: list[float], index: float) -> None:
    """1 where all have the same share; 1/n where one has everything."""
    assert jain(shares) == pytest.approx(index)
