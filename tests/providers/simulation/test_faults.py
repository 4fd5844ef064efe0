"""Faults are read from a small grammar, and strike by the call alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.providers.simulation.faults import KINDS, Call, Fault, parse_faults, strikes


def test_each_part_of_the_grammar_is_read() -> None:
    """fault = kind [":" probability] ["@" condition *("&" condition)]."""
    assert parse_faults(
        " rate_limit:0.25 , hang@persona=data_scientist&token=20,drop:1@attempt=01"
    ) == (
        Fault(kind="rate_limit", probability=0.25),
        Fault(kind="hang", where=(("persona", "data_scientist"),), token=20),
        Fault(kind="drop", where=(("attempt", "1"),)),
    )


@pytest.mark.parametrize("text", ["", "  ", ",", " , "])
def test_an_empty_text_has_no_faults(text: str) -> None:
    """An empty text has none."""
    assert parse_faults(text) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_is_documented_can_be_written(kind: str) -> None:
    """KINDS are all kinds, by name."""
    assert parse_faults(kind) == (Fault(kind=kind),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("explode", "'explode' in 'explode'; allowed: timeout, rate_limit"),
        ("drop:", "probability in 'drop:' must be a number from 0 to 1"),
        ("drop:1.5", "probability in 'drop:1.5'"),
        ("drop:nan", "probability in 'drop:nan'"),
        ("drop:often", "probability in 'drop:often'"),
        ("drop@", "allowed: name=value"),
        ("drop@colour=red", "one of model, persona, purpose, attempt, token"),
        ("drop@persona=", "allowed: name=value"),
        ("drop@attempt=first", "attempt in 'drop@attempt=first' must be a whole number"),
        ("drop@token=-1", "token in 'drop@token=-1' must be a whole number"),
        ("timeout,drop:2", "'drop:2'"),
    ],
)
def test_bad_grammar_names_the_place_and_what_is_allowed(text: str, says: str) -> None:
    """The message says where, and what is allowed."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_faults(text)
    assert says in str(caught.value)


def test_conditions_have_to_hold_together() -> None:
    """All of the conditions hold, or the fault does not strike."""
    faults = parse_faults("drop@persona=critic&attempt=2")
    assert strikes(faults, Call(key=b"k", persona="critic", attempt=2)) == faults
    assert strikes(faults, Call(key=b"k", persona="critic", attempt=1)) == ()
    assert strikes(faults, Call(key=b"k", persona="poet", attempt=2)) == ()


def test_only_the_first_ending_fault_strikes_beside_modifiers() -> None:
    """Any modifiers, and at most one that ends it."""
    struck = strikes(parse_faults("slow,drop,auth,invent"), Call(key=b"k"))
    assert [fault.kind for fault in struck] == ["slow", "drop", "invent"]


@given(key=st.binary(max_size=16), attempt=st.integers(1, 9))
def test_a_call_meets_the_same_faults_each_time(key: bytes, attempt: int) -> None:
    """It is drawn from the seed, the request and the attempt's number."""
    faults = parse_faults("drop:0.5,slow:0.5")
    call = Call(key=key, attempt=attempt)
    assert strikes(faults, call) == strikes(faults, call)


def test_a_probability_is_kept_over_many_calls_and_attempts() -> None:
    """A retry may succeed: each attempt is drawn anew."""
    faults = parse_faults("drop:0.25")
    by_call = sum(bool(strikes(faults, Call(key=b"%d" % n))) for n in range(2000))
    by_attempt = sum(bool(strikes(faults, Call(key=b"k", attempt=n))) for n in range(2000))
    assert 430 < by_call < 570
    assert 430 < by_attempt < 570
