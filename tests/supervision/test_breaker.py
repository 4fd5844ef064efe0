"""The breaker's table, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.supervision.breaker import Breaker


def opened(*, at: float = 0.0) -> Breaker:
    breaker = Breaker(failures=2, reset_s=10)
    breaker.fail(at)
    breaker.fail(at)
    assert breaker.state == "open"
    return breaker


def test_closed_breaker_admits() -> None:
    """A breaker begins closed and lets every call out."""
    breaker = Breaker(failures=2, reset_s=10)
    assert breaker.admit(0)
    assert breaker.admit(0)
    assert breaker.retry_after_s(0) == 0.0


def test_success_between_failures_keeps_it_closed() -> None:
    """Only failures in a row count."""
    breaker = Breaker(failures=2, reset_s=10)
    breaker.fail(0)
    breaker.succeed()
    breaker.fail(0)
    assert breaker.state == "closed"


def test_open_breaker_refuses_until_reset() -> None:
    """An open breaker refuses, and says for how long."""
    breaker = opened(at=100)
    assert not breaker.admit(109.9)
    assert breaker.retry_after_s(104) == pytest.approx(6)
    assert breaker.admit(110)
    assert breaker.state == "half_open"


def test_half_open_breaker_admits_one_probe() -> None:
    """While the probe is under way every other call is refused."""
    breaker = opened()
    assert breaker.admit(10)
    assert not breaker.admit(10)
    breaker.succeed()
    assert breaker.state == "closed"
    assert breaker.admit(10)


def test_failed_probe_opens_for_the_full_time_again() -> None:
    """A probe that fails starts the wait anew."""
    breaker = opened()
    assert breaker.admit(10)
    breaker.fail(12)
    assert not breaker.admit(21.9)
    assert breaker.admit(22)


def test_cancelled_probe_gives_its_place_back() -> None:
    """A probe without an outcome leaves the place to the next call at once."""
    breaker = opened()
    assert breaker.admit(10)
    breaker.forget()
    assert breaker.state == "open"
    assert breaker.admit(10)


def test_stragglers_do_not_move_an_open_breaker() -> None:
    """Calls that set out before the breaker opened neither close it nor delay the probe."""
    breaker = opened(at=0)
    breaker.fail(9)
    breaker.succeed()
    assert breaker.state == "open"
    assert breaker.admit(10)


def test_threshold_of_zero_is_refused() -> None:
    """A breaker that is open before the first failure makes no sense."""
    with pytest.raises(ValueError, match="at the earliest"):
        Breaker(failures=0, reset_s=1)


@given(st.lists(st.sampled_from(["admit", "succeed", "fail", "forget", "wait"]), max_size=60))
def test_breaker_is_never_shut_for_longer_than_its_reset(steps: list[str]) -> None:
    """Whatever happens, `reset_s` after the last call a closed or open breaker admits again."""
    breaker, now = Breaker(failures=3, reset_s=5), 0.0
    for step in steps:
        match step:
            case "admit":
                breaker.admit(now)
            case "succeed":
                breaker.succeed()
            case "fail":
                breaker.fail(now)
            case "forget":
                breaker.forget()
            case _:
                now += 1
    breaker.forget()  # whoever holds the probe's place gives it back
    assert breaker.admit(now + 5)


def test_failures_among_successes_open_it_where_it_looks_back() -> None:
    """It opens at failure number `failures` of the last `calls`."""
    breaker = Breaker(failures=2, calls=4, reset_s=10)
    for succeeded in (False, True, True, True):
        breaker.succeed() if succeeded else breaker.fail(0)
    breaker.fail(0)  # the first failure is five calls ago
    assert breaker.state == "closed"
    breaker.succeed()
    breaker.fail(0)
    assert breaker.state == "open"


def test_breaker_that_can_never_open_is_refused() -> None:
    """`failures` is from 1 to `calls`."""
    with pytest.raises(ValueError, match="3 failures"):
        Breaker(failures=3, calls=2, reset_s=10)
