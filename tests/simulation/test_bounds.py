"""Every buffer has its bound, and the simulation goes red where one does not hold."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import trio

from engine.limits import Limits
from engine.providers.interface import Delta
from engine.sessions.log import Log
from engine.sessions.outlet import Outlet
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.scripted_provider import Script, Sleep
from engine.testing.simulation import simulate
from engine.testing.workload import PartPlan, PhasePlan, ReaderPlan, SessionPlan, Workload


def stream(pieces: int, pace_s: float, size: int = 20) -> Script:
    steps: list[Delta | Sleep] = []
    for index in range(pieces):
        steps += [Sleep(pace_s), Delta(text=f"{index} ".ljust(size, "."))]
    return (*steps, Delta(finish="stop"))


def flooded(*, is_chain: bool = False, pace_s: float = 0.008, **limits: int | float) -> Workload:
    """Detached sessions that write faster than a slow disk, and than a reader takes."""
    phase = PhasePlan(
        name="flood",
        parts=tuple(
            PartPlan(id=name, kind="generate", scripts=(stream(120, pace_s),)) for name in "abcdef"
        ),
        lanes=2,
        is_chain=is_chain,
    )
    session = SessionPlan(
        phases=(phase,), readers=(ReaderPlan(kind="pull", pause_s=0.1),), detached=True
    )
    return Workload(
        seed=7,
        sessions=(session, session),
        limits=Limits(rollup_s=0.005, **limits),  # type: ignore[arg-type]
        journal="durable",
        journal_delay_s=0.4,
    )


MANY_EVENTS = flooded(window_events=4)
MANY_BYTES = flooded(window_bytes=200)
SLOW_DISK = flooded(journal_pending_bytes=200)
BURSTS = flooded(pace_s=0.0, rollup_bytes=50, window_events=64)
CHAIN = flooded(is_chain=True)
LATE = flooded(journal_lag_s=0.01)


@pytest.mark.parametrize("workload", [MANY_EVENTS, MANY_BYTES, SLOW_DISK, BURSTS, CHAIN, LATE])
def test_sessions_that_write_too_fast_stay_within_their_bounds(workload: Workload) -> None:
    """I7."""
    outcome = simulate(workload)
    assert outcome.violations == []
    assert outcome.looks > 100


def forget_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unbounded window."""
    monkeypatch.setattr(Log, "_trim", lambda log: None)


def wait_for_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Producers that run ahead of the journal."""
    monkeypatch.setattr(Log, "_waits_for_journal", lambda log: False)


def wait_for_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that never learn that the journal is full."""
    monkeypatch.setattr(FaultyJournal, "is_full", False)


def hold_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outlet that joins without end."""
    init = Outlet.__init__

    def holding(outlet: Outlet, *args: object) -> None:
        init(outlet, *args)  # type: ignore[arg-type]
        outlet._rollup_bytes = 1 << 30

    monkeypatch.setattr(Outlet, "__init__", holding)


def take_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mailbox whose channel is unbounded."""
    open_channel = trio.open_memory_channel

    class Channels:
        def __getitem__(self, _: object) -> Callable[[float], object]:
            return lambda _size: open_channel(math.inf)

    monkeypatch.setattr(trio, "open_memory_channel", Channels())


def save_never(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that keeps its deltas from the journal."""
    monkeypatch.setattr(Log, "_save_due", lambda log: None)


@pytest.mark.parametrize(
    ("plant", "workload", "what"),
    [
        (forget_nothing, MANY_EVENTS, "entries in the window"),
        (forget_nothing, MANY_BYTES, "bytes in the window"),
        (wait_for_no_commit, MANY_EVENTS, "entries not durable"),
        (wait_for_no_commit, MANY_BYTES, "bytes not durable"),
        (wait_for_no_disk, SLOW_DISK, "entries for a journal that is full"),
        (hold_all, BURSTS, "an outlet holds"),
        (take_all, CHAIN, "items in mailbox 'flood'"),
        (save_never, LATE, "not handed to the journal"),
    ],
)
def test_a_buffer_without_its_bound_is_found(
    plant: Callable[[pytest.MonkeyPatch], None],
    workload: Workload,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each bound that is taken away turns the simulation red, and is named."""
    plant(monkeypatch)
    found = [
        violation for violation in simulate(workload).violations if violation.invariant == "I7"
    ]
    assert any(what in violation.message for violation in found), found
