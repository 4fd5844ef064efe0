"""A plan: the same in every process, split without a rest, refused where it is out of bounds."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.load.arrivals import Closed, Constant, Poisson
from benchmarks.load.plan import Cancel, Plan, Slow, check, intents

PLAN = Plan(url="http://127.0.0.1:1", target="generate", arrivals=Poisson(rate_per_s=10))


@settings(max_examples=15)
@given(st.integers(1, 8), st.integers())
def test_the_shares_of_all_processes_are_the_whole(processes: int, seed: int) -> None:
    plan = msgspec.structs.replace(PLAN, seed=seed, cancel=Cancel(share=0.5), slow=Slow(share=0.5))
    whole = list(intents(plan))
    shares = [list(intents(plan, share=share, of=processes)) for share in range(processes)]
    assert sorted(itertools.chain(*shares)) == whole


def test_time_and_number_bound_it() -> None:
    plan = msgspec.structs.replace(PLAN, arrivals=Constant(rate_per_s=10), duration_s=2.0)
    assert len(list(intents(plan))) == 21
    assert len(list(intents(msgspec.structs.replace(plan, max_requests=5)))) == 5


def test_the_stated_share_is_cancelled_at_stated_moments() -> None:
    cancel = Cancel(share=0.25, after_s=(1.0, 2.0))
    plan = msgspec.structs.replace(PLAN, cancel=cancel, duration_s=100.0, max_requests=4000)
    moments = [each.cancel_after_s for each in intents(plan)]
    cancelled = [moment for moment in moments if moment is not None]
    assert len(cancelled) / len(moments) == pytest.approx(0.25, abs=0.03)
    assert min(cancelled) >= 1.0
    assert max(cancelled) <= 2.0


def test_a_cancel_may_wait_for_tokens() -> None:
    plan = msgspec.structs.replace(PLAN, cancel=Cancel(after_tokens=7))
    assert {(each.cancel_after_s, each.cancel_after_tokens) for each in intents(plan)} == {
        (None, 7)
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration_s": 1e9}, "--duration-s is 1e.09; allowed is 0.1 to 3600"),
        ({"max_requests": 0}, "--requests is 0"),
        ({"max_open": 100_000}, "--max-open is 100000"),
        ({"arrivals": Constant(rate_per_s=0)}, "--rate is 0"),
        ({"arrivals": Closed(users=2000)}, "2000 users need --max-open 2000"),
    ],
)
def test_what_is_out_of_bounds_is_named(change: dict[str, object], message: str) -> None:
    check(PLAN)
    with pytest.raises(ValueError, match=message):
        check(msgspec.structs.replace(PLAN, **change))
