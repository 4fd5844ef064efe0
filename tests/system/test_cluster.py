"""Three servers and one Redis: nothing is lost, doubled or out of order, whatever befalls them.

CLUSTER_ROUNDS and CLUSTER_SESSIONS make the runs longer.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.cluster_jepsen import Trouble, check
from tests.system.jepsen import Plan, Report

pytestmark = pytest.mark.system

ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "1"))
SESSIONS = int(os.environ.get("CLUSTER_SESSIONS", "8"))


async def run(folder: Path, crashes: int, seed: int, *troubles: Trouble) -> Report:
    """Run a plan, and check what holds for all of them."""
    plan = Plan(rounds=ROUNDS, sessions=SESSIONS, readers=2, crashes=crashes, seed=seed)
    report = await check(plan, folder, *troubles)
    assert report.is_clean, report
    assert report.sessions == ROUNDS * SESSIONS
    assert set(report.states) <= {"completed"}
    assert report.crashes == ROUNDS * crashes
    assert report.resumes > report.sessions
    return report


async def test_kill_of_any_again_and_again_loses_nothing(tmp_path: Path) -> None:
    """Kill -9 of one after the other under load: each session goes on at another, with an attempt
    for what was half written, and every reader holds the whole log wherever it came out.
    """
    report = await run(tmp_path, 4, 1, "kill")
    assert report.attempts > 0


async def test_stale_owners_and_drains_lose_nothing(tmp_path: Path) -> None:
    """A server that was frozen for twice its lease wakes up as a stale owner and is fenced; one
    that drains hands its sessions on.
    """
    report = await run(tmp_path, 4, 2, "freeze", "drain")
    assert report.attempts > 0


async def test_redis_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    """It comes back with its data: no session ends, and no part even begins again."""
    report = await run(tmp_path, 2, 3, "redis")
    assert report.attempts == 0
