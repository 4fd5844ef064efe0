"""The search for the highest rate ends, and ends near it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.limits import MAX_PROBES, SEARCH_PRECISION
from benchmarks.load.search import RateSearch


def search(capacity: float, *, start: float = 5.0, highest: float = 1000.0) -> RateSearch:
    found = RateSearch(start=start, highest=highest, probes=60)
    while (rate := found.next_rate()) is not None:
        assert rate <= highest
        found.told(rate, held=rate <= capacity)
    return found


@given(st.floats(0.1, 900))
def test_it_comes_within_its_precision(capacity: float) -> None:
    found = search(capacity)
    assert found.holds is not None
    assert found.holds <= capacity <= found.holds * (1 + SEARCH_PRECISION)


def test_the_highest_that_may_be_tried_is_enough() -> None:
    found = search(1e9)
    assert (found.holds, found.breaks) == (1000.0, None)


def test_a_server_that_holds_nothing_ends_it() -> None:
    assert search(0).holds is None


def test_probes_are_bounded() -> None:
    found = RateSearch(start=1, highest=1e6)
    number = 0
    while (rate := found.next_rate()) is not None:
        number += 1
        found.told(rate, held=rate <= 777.7)
    assert number <= MAX_PROBES


def test_a_search_without_rates_is_refused() -> None:
    with pytest.raises(ValueError, match="has no rates"):
        RateSearch(start=10, highest=5)
