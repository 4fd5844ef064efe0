"""No slot, no reserved token and no session's place is ever lost, and none is taken too many."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import trio

from engine.errors import AntiphonError
from engine.providers.limiting import LimitedProvider, TokenBucket
from engine.sessions.budget import Reservation
from engine.sessions.slots import Slots
from engine.testing.simulation import simulate
from engine.testing.workload import Workload, make_workload

SEEDS = 600


def workloads(which: str) -> Iterator[Workload]:
    """Give those whose sessions share an account, or are more than there are slots."""
    for seed in range(SEEDS):
        workload = make_workload(seed)
        shares = workload.provider is not None
        if shares if which == "account" else workload.limits.max_sessions < 10:
            yield workload


def keep_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limiter that never gives a slot back."""
    monkeypatch.setattr(trio.CapacityLimiter, "release_on_behalf_of", lambda slots, who: None)


def take_all_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limiter that lets everybody in."""

    async def acquire(slots: trio.CapacityLimiter, borrower: object) -> None:
        slots.total_tokens = float("inf")
        slots.acquire_on_behalf_of_nowait(borrower)

    monkeypatch.setattr(trio.CapacityLimiter, "acquire_on_behalf_of", acquire)


def keep_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limiter that puts no reserved token back."""
    monkeypatch.setattr(LimitedProvider, "_settle", lambda *args: None)


def wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limiter that looks at no clock."""
    monkeypatch.setattr(TokenBucket, "wait_s", lambda bucket, amount, now: 0.0)


def keep_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session whose calls settle no reservation."""
    monkeypatch.setattr(Reservation, "settle", lambda *args: None)


def keep_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that gives no session's place back."""
    monkeypatch.setattr(Slots, "give_back", lambda slots, owner: None)


def refuse_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that admits everybody."""
    monkeypatch.setattr(Slots, "check", lambda slots, owner: None)


def keep_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes a place before it looks whether there is one."""
    check = Slots.check

    def hasty(slots: Slots, owner: str) -> None:
        slots._taken += 1
        try:
            check(slots, owner)
        except AntiphonError:
            raise
        slots._taken -= 1

    monkeypatch.setattr(Slots, "check", hasty)


@pytest.mark.parametrize(
    ("plant", "which"),
    [
        (keep_slots, "account"),
        (take_all_slots, "account"),
        (keep_tokens, "account"),
        (wait_for_nothing, "account"),
        (keep_budget, "account"),
        (keep_places, "slots"),
        (refuse_nobody, "slots"),
        (keep_refused, "slots"),
    ],
)
def test_a_leak_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is kept, or taken beyond its limit, turns the simulation red."""
    plant(monkeypatch)
    assert any(
        violation.invariant == "I14"
        for workload in workloads(which)
        for violation in simulate(workload).violations
    )
