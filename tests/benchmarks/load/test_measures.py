"""Measures add up: what two processes saw is what one would have seen."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.load.measures import Counts, Evenness, Measures, Saved, percentile_ms

SECONDS = st.lists(st.floats(0, 100), min_size=1, max_size=50)


def measured(*durations: float, name: str = "ttft") -> Measures:
    measures = Measures()
    for seconds in durations:
        measures.record(name, seconds)
    return measures


def sent(measures: Measures) -> Saved:
    """Over the pipe and back."""
    return msgspec.json.decode(msgspec.json.encode(measures.save()), type=Saved)


@settings(max_examples=20)  # a histogram of an hour is large, and encoded here
@given(SECONDS, SECONDS)
def test_histograms_of_two_processes_add_up(here: list[float], there: list[float]) -> None:
    merged, whole = measured(*here), measured(*here, *there)
    merged.add(sent(measured(*there)))
    for percentile in (0, 50, 90, 99, 100):
        assert percentile_ms(merged.histograms["ttft"], percentile) == percentile_ms(
            whole.histograms["ttft"], percentile
        )
    assert merged.histograms["ttft"].get_total_count() == len(here) + len(there)


@settings(max_examples=40)
@given(SECONDS, st.sampled_from((50.0, 90.0, 99.0)))
def test_a_percentile_is_the_nearest_rank_within_a_thousandth(
    durations: list[float], percentile: float
) -> None:
    rank = max(1, math.ceil(percentile * len(durations) / 100))
    exact_ms = sorted(durations)[rank - 1] * 1000
    found = percentile_ms(measured(*durations).histograms["ttft"], percentile)
    assert found == pytest.approx(exact_ms, rel=0.001, abs=0.001)


def test_everything_else_adds_up_too() -> None:
    one, two = Measures(), Measures()
    for measures, number in ((one, 1), (two, 2)):
        for field in Counts.__struct_fields__:
            setattr(measures.counts, field, number)
        measures.errors = {"closed": number, f"only_{number}": 1}
        measures.broken = {"ttft_ms": number}
        measures.second(3.9).tokens = number
        measures.second(number).started = 1
        measures.requests_evenness.take(number)
    one.add(sent(two))
    assert set(msgspec.structs.asdict(one.counts).values()) == {3}
    assert one.errors == {"closed": 3, "only_1": 1, "only_2": 1}
    assert one.broken == {"ttft_ms": 3}
    assert one.seconds[3].tokens == 3
    assert (one.seconds[1].started, one.seconds[2].started) == (1, 1)
    assert one.requests_evenness.index == pytest.approx(9 / 10)


def test_jains_index() -> None:
    """1 when all have the same, 1/n when one has all, and nothing to say of one alone."""
    even, one, alone = Evenness(), Evenness(), Evenness()
    for number in range(4):
        even.take(5.0)
        one.take(5.0 if number == 0 else 0.0)
    alone.take(5.0)
    assert even.index == pytest.approx(1.0)
    assert one.index == pytest.approx(0.25)
    assert alone.index is None


def test_an_hour_is_the_longest() -> None:
    found = measured(1e9, -1.0, random.Random(1).random())
    assert percentile_ms(found.histograms["ttft"], 100) == pytest.approx(3.6e6, rel=0.001)
    assert percentile_ms(found.histograms["ttft"], 0) == 0
