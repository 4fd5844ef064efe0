"""A drain ends in time, whoever stalls, and nothing that was seen is lost by it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import trio

from engine.engine import Engine
from engine.testing.simulation import Outcome, simulate
from engine.testing.workload import make_drained_workload

SEEDS = range(200)


def broken(outcome: Outcome) -> str:
    return "; ".join(map(str, outcome.violations))


def test_a_drain_at_any_moment_ends_in_time_and_loses_nothing(
    report: Callable[[str], None],
) -> None:
    """I11, with disks that fail, break, stall and dawdle, upstreams that close late, dead readers.

    The process is killed when its drain is over; its sessions go on in the next one.
    """
    drains, over_s = 0, 0.0
    for seed in SEEDS:
        workload = make_drained_workload(seed)
        outcome = simulate(workload)
        assert not outcome.violations, f"seed {seed}: {broken(outcome)}"
        if outcome.drained_s is not None and workload.drain is not None:
            drains += 1
            over_s = max(over_s, outcome.drained_s - workload.drain.grace_s)
    report(f"{drains} drains of {len(SEEDS)} seeds, the last over {over_s:.2f} s past its grace")
    assert drains > 0.9 * len(SEEDS)
    assert over_s > 0.1, "nothing has stalled"


@pytest.mark.parametrize("fault", ["fail_at", "stall_at", "crash_at"])
def test_a_drain_with_a_fault_at_every_append_ends_in_time(
    fault: str, report: Callable[[str], None]
) -> None:
    """I11 for every k of a session: the k-th append fails, is the last one, or kills it."""
    runs = 0
    for seed in range(6):
        drawn = make_drained_workload(seed)
        plain: dict[str, object] = {"journal": "durable", "fail_at": None, "stall_at": None}
        workload = msgspec.structs.replace(drawn, **plain, journal_delay_s=0.002)
        appends = simulate(workload).appends
        for nth in range(1, appends + 1):
            outcome = simulate(msgspec.structs.replace(workload, **{fault: nth}))
            assert not outcome.violations, f"seed {seed}, {fault} {nth}: {broken(outcome)}"
            runs += 1
    report(f"a drain of sessions with {fault} at each of {runs} appends")
    assert runs > 30


def wait_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain that waits until each session has ended."""

    async def stop_all(engine: Engine, within_s: float | None = None) -> None:
        for session in tuple(engine.sessions.values()):
            session.set_aside()
            with trio.move_on_after(4.0):
                await session.ended.wait()

    monkeypatch.setattr(Engine, "stop_all", stop_all)


def take_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain during which new sessions are taken."""
    monkeypatch.setattr(Engine, "_check_open", lambda engine: None)


@pytest.mark.parametrize("plant", [wait_for_all, take_more])
def test_a_drain_that_breaks_its_promise_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain that waits for whoever stalls, and one that goes on taking sessions, turn it red."""
    plant(monkeypatch)
    found = {
        violation.invariant
        for seed in range(60)
        for violation in simulate(make_drained_workload(seed)).violations
    }
    assert "I11" in found
