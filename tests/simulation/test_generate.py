"""The generate pipeline itself, cancelled and crashed at every place, by seeds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random

import msgspec
import pytest

from engine.events import JSON
from engine.pipelines.generate.pipeline import GeneratePipeline
from engine.testing.checkpoints import AtCheckpoint, every_checkpoint
from engine.testing.deterministic import run_deterministic
from engine.testing.faulty_journal import FaultyJournal
from engine.testing.scripted_provider import ScriptedProvider, say
from engine.testing.simulation import Simulation
from engine.testing.workload import Workload, make_workload
from tests.pipelines.rig import Shelf

SEEDS = range(120)


class SimulatedGenerate(GeneratePipeline):
    """The real pipeline, over a provider that also fails, breaks off and says nothing."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        workload = make_workload(seed)
        scripts = [
            script
            for session in workload.sessions
            for phase in session.phases
            for part in phase.parts
            for script in part.scripts
        ]
        self.provider = ScriptedProvider(*scripts, say("A whole ", "prompt.", pace_s=0.02))
        self.directory = Shelf(self.provider)
        self._data: JSON = {
            "request": {
                "input": "An idea of the sea.",
                "count": random.choice((1, 2)),
                "phases": random.choice((["idea"], ["idea", "human"], ["solutio", "coagulatio"])),
            },
            "use_parallel": random.random() < 0.5,
            "optimize": random.random() < 0.3,
            "auto_select": random.random() < 0.3,
        }

    def data(self, place: int) -> JSON:
        return self._data

    def open_calls(self, place: int) -> int:
        return self.provider.open_calls

    def written(self, place: int) -> dict[str, str]:
        return {}


def workload(seed: int, **changes: object) -> Workload:
    """One session, with the clients and the cancels of a seed."""
    drawn = make_workload(seed, faults=False)
    session = msgspec.structs.replace(drawn.sessions[0], token_budget=None, deadline_s=3.0)
    return msgspec.structs.replace(drawn, sessions=(session,), **changes)


def run(seed: int, plan: Workload, point: AtCheckpoint | None = None) -> Simulation:
    simulation = Simulation(plan, SimulatedGenerate(seed))
    outcome = run_deterministic(
        simulation.run, seed=seed, instruments=[point] if point is not None else []
    )
    broken = "; ".join(map(str, outcome.violations))
    assert not broken, f"seed {seed}, {plan.crash_at=}, {point and point.steps=}: {broken}"
    return simulation


def test_every_invariant_holds_over_generate_sessions(report: Callable[[str], None]) -> None:
    ends: dict[str, int] = {}
    for seed in SEEDS:
        for state in run(seed, workload(seed)).outcome.ends:
            ends[state] = ends.get(state, 0) + 1
    report(f"{len(SEEDS)} seeds of generate: {ends}")
    assert len(ends) >= 2


@pytest.mark.parametrize("seed", [1, 4])
def test_a_cancel_at_every_checkpoint_of_generate_breaks_nothing(
    seed: int, report: Callable[[str], None]
) -> None:
    drawn = workload(seed)
    calm = msgspec.structs.replace(drawn.sessions[0], cancels=())
    plan = msgspec.structs.replace(drawn, sessions=(calm,))
    now: list[Simulation] = []

    def go(point: AtCheckpoint) -> None:
        now[:] = [Simulation(plan, SimulatedGenerate(seed))]
        outcome = run_deterministic(now[0].run, seed=seed, instruments=[point])
        broken = "; ".join(map(str, outcome.violations))
        assert not broken, f"seed {seed}, step {point.steps}: {broken}"

    def cancel() -> None:
        for session in now[0].sessions.values():
            session.cancel("client")

    points = len(list(every_checkpoint(go, cancel)))
    report(f"a cancel at each of {points} checkpoints of generate")
    assert points > 30


def test_a_crash_at_every_append_of_generate_loses_nothing(
    report: Callable[[str], None],
) -> None:
    crashes = 0
    for seed in range(12):
        plan = workload(seed, journal="durable", journal_delay_s=0.01)
        for nth in count(1):
            done = run(seed, msgspec.structs.replace(plan, crash_at=nth))
            if done.lives == 1:
                break
            assert isinstance(done.journal, FaultyJournal)
            crashes += 1
    report(f"a crash and a recovery at each of {crashes} appends of generate")
    assert crashes > 50
