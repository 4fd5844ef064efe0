"""A supervisor obeys OTP's rules in sessions that crash, are cancelled and run out of time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import pytest
import trio

from engine.errors import Escalated
from engine.supervision import policy
from engine.supervision.policy import Decision, Exit, Restart, State
from engine.supervision.supervisor import Supervisor
from engine.testing.deterministic import run_deterministic
from engine.testing.family import Tape, run_family
from engine.testing.family_plan import make_family
from engine.testing.otp_rules import check_family
from engine.testing.simulation import simulate
from engine.testing.workload import make_workload

SEEDS = 200


def broken(seed: int) -> list[str]:
    """Run one family alone, for a while or to its end, and read its tape."""
    random = Random(seed)
    plan, tape = make_family(random), Tape()

    async def work(_: str) -> None:
        await trio.lowlevel.checkpoint()

    async def main() -> None:
        with trio.move_on_after(random.choice((0.1, 60.0, 60.0, 60.0))):
            try:
                await run_family(plan, tape, work, random.random)
            except Escalated:
                pass

    run_deterministic(main, seed=seed)
    return check_family(plan, tape)


def test_families_alone_obey_the_rules() -> None:
    """I8: who is restarted, in which order, when, and when it is given up."""
    for seed in range(SEEDS):
        assert broken(seed) == [], f"seed {seed}"


def test_a_broken_rule_is_found_in_whole_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tapes of the simulated sessions are read as well: a supervisor restarts too few."""
    only_itself(monkeypatch)
    workloads = map(make_workload, range(SEEDS))
    assert any(
        violation.invariant == "I8"
        for workload in workloads
        if any(phase.family for session in workload.sessions for phase in session.phases)
        for violation in simulate(workload).violations
    )


def only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the strategy, only the child that failed is restarted."""
    monkeypatch.setattr(policy, "_affected", lambda state, child: (child,))


def everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the strategy, all are restarted."""
    monkeypatch.setattr(policy, "_affected", lambda state, child: state.children)


def changed(
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[State, Decision], tuple[State, Decision]],
) -> None:
    """Have the supervisor carry out something else than what was decided."""
    decide = policy.decide

    def wrong(state: State, exit: Exit, *, now: float, random: float) -> tuple[State, Decision]:  # noqa: A002
        return change(*decide(state, exit, now=now, random=random))

    monkeypatch.setattr("engine.supervision.supervisor.decide", wrong)


def oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Siblings are stopped in the order in which they were started."""

    def change(state: State, decision: Decision) -> tuple[State, Decision]:
        if isinstance(decision, Restart):
            decision = msgspec.structs.replace(decision, stop=decision.stop[::-1])
        return state, decision

    changed(monkeypatch, change)


def forget_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of those that have to be started again is not."""

    def change(state: State, decision: Decision) -> tuple[State, Decision]:
        if isinstance(decision, Restart) and len(decision.start) > 1:
            decision = msgspec.structs.replace(decision, start=decision.start[:-1])
        return state, decision

    changed(monkeypatch, change)


def never_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One restart more than the intensity."""
    restart = policy._restart

    def lenient(state: State, *args: object) -> tuple[State, Decision]:
        more = msgspec.structs.replace(state.policy, intensity=state.policy.intensity + 1)
        after, decision = restart(msgspec.structs.replace(state, policy=more), *args)  # type: ignore[arg-type]
        return msgspec.structs.replace(after, policy=state.policy), decision

    monkeypatch.setattr(policy, "_restart", lenient)


def forget_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transient child is not restarted after an error."""
    with_child = State.with_child

    def weak(state: State, child_id: str, restart: str) -> State:
        kind = "temporary" if restart == "transient" else restart
        return with_child(state, child_id, kind)  # type: ignore[arg-type]

    monkeypatch.setattr(State, "with_child", weak)


def stop_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the end of a child that was stopped."""

    async def end(supervisor: Supervisor, child: object) -> None:
        child.scope.cancel(reason=f"stopped by supervisor {supervisor.name!r}")  # type: ignore[attr-defined]
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(Supervisor, "_end", end)


@pytest.mark.parametrize(
    "plant",
    [
        only_itself,
        everyone,
        oldest_first,
        forget_one,
        never_give_up,
        forget_at_once,
        stop_all_at_once,
    ],
)
def test_a_supervisor_that_breaks_a_rule_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert any(broken(seed) for seed in range(SEEDS))
