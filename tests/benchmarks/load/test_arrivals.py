"""When requests start: ascending, at the stated rate, and the same for the same seed."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.load.arrivals import (
    Arrivals,
    Closed,
    Constant,
    Gamma,
    Poisson,
    Ramp,
    Trace,
    offsets,
    scaled,
)

RATES = st.floats(0.1, 1000)
OPEN = st.one_of(
    st.builds(Constant, rate_per_s=RATES),
    st.builds(Poisson, rate_per_s=RATES),
    st.builds(Gamma, rate_per_s=RATES, burst=st.floats(0.5, 16)),
    st.builds(Ramp, rate_per_s=RATES, to_rate_per_s=RATES, over_s=st.floats(0.5, 60)),
)


def first(arrivals: Arrivals, number: int, seed: int = 1) -> list[float]:
    return list(itertools.islice(offsets(arrivals, random.Random(seed)), number))


@settings(max_examples=50)
@given(OPEN, st.integers())
def test_offsets_ascend_from_0_and_are_the_same_for_a_seed(arrivals: Arrivals, seed: int) -> None:
    found = first(arrivals, 200, seed)
    assert found == sorted(found)
    assert all(at_s >= 0 for at_s in found)
    assert found == first(arrivals, 200, seed)


@given(RATES)
def test_constant_arrivals_have_equal_gaps(rate: float) -> None:
    assert first(Constant(rate_per_s=rate), 50) == [number / rate for number in range(50)]


@pytest.mark.parametrize("burst", [1.0, 4.0])
def test_gamma_gaps_have_the_stated_mean_and_spread(burst: float) -> None:
    """The mean gap is 1/rate, its squared coefficient of variation is the burst."""
    found = first(Gamma(rate_per_s=10, burst=burst), 40_000)
    gaps = [later - earlier for earlier, later in itertools.pairwise(found)]
    mean = statistics.fmean(gaps)
    assert mean == pytest.approx(0.1, rel=0.05)
    assert statistics.variance(gaps) / mean**2 == pytest.approx(burst, rel=0.1)


def test_poisson_gaps_have_the_stated_mean_and_spread() -> None:
    found = first(Poisson(rate_per_s=10), 40_000)
    gaps = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert statistics.fmean(gaps) == pytest.approx(0.1, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(0.1, rel=0.05)


@settings(max_examples=30)
@given(RATES, RATES, st.floats(0.5, 60))
def test_a_ramp_has_the_rate_that_a_moment_should_have(a: float, b: float, over_s: float) -> None:
    """Until t, the area under the rate has arrived, to one request."""
    ramp = Ramp(rate_per_s=a, to_rate_per_s=b, over_s=over_s)
    found = first(ramp, 500)
    for number, at_s in enumerate(found):
        assert at_s <= over_s * 1.000001
        area = a * at_s + (b - a) / over_s * at_s**2 / 2
        assert area == pytest.approx(number, abs=1e-3, rel=1e-3)


def test_a_closed_loop_begins_with_all_its_users_at_once() -> None:
    assert list(offsets(Closed(users=3), random.Random(1))) == [0.0, 0.0, 0.0]


def test_a_trace_is_played_as_it_was_recorded() -> None:
    assert list(offsets(Trace(offsets_s=(0.0, 0.5, 0.5, 9.0)), random.Random(1))) == [
        0,
        0.5,
        0.5,
        9,
    ]


def test_a_pattern_is_scaled_to_another_rate_and_a_trace_is_not() -> None:
    assert scaled(Gamma(rate_per_s=1, burst=3), 7) == Gamma(rate_per_s=7, burst=3)
    with pytest.raises(ValueError, match="trace arrivals have no single rate"):
        scaled(Trace(offsets_s=(0.0,)), 7)
