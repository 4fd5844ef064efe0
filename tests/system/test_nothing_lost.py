"""Nothing is lost, doubled or out of order, over real sockets; and the checker can go red.

NOTHING_LOST_ROUNDS and NOTHING_LOST_SESSIONS make the long run longer or shorter.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.jepsen import FAULTS, SETTINGS, Fault, Observer, Plan, check, planted

pytestmark = pytest.mark.system

ROUNDS = int(os.environ.get("NOTHING_LOST_ROUNDS", "10"))
SESSIONS = int(os.environ.get("NOTHING_LOST_SESSIONS", "20"))


async def test_cut_connections_crashes_and_restarts_lose_nothing(tmp_path: Path) -> None:
    """No event is lost, doubled or out of order across a reconnect, a kill -9 or a restart."""
    plan = Plan(rounds=ROUNDS, sessions=SESSIONS)
    report = await check(plan, tmp_path / "data")
    assert report.lost == []
    assert report.doubled == []
    assert report.disordered == []
    assert report.wrong == []
    assert report.sessions == ROUNDS * SESSIONS
    assert report.readers == report.sessions * (1 + plan.readers)
    # It has to have been hard: otherwise it proves nothing.
    assert report.crashes == 2 * ROUNDS
    assert report.cuts > report.sessions
    assert report.resumes > report.readers
    assert report.attempts > ROUNDS


async def test_rolling_restart_under_load_loses_nothing(tmp_path: Path) -> None:
    """One process after the other on the same port and journal; each ends within grace + 1 s."""
    plan = Plan(rounds=1, sessions=40, cuts=0.0, crashes=3, ends=("drain",), readers=2)
    report = await check(plan, tmp_path / "data")
    assert report.is_clean, report
    assert report.sessions == 40
    assert report.resumes > 40
    assert report.longest_drain_s < float(str(SETTINGS["drain_s"])) + 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_checker_finds_a_planted_fault(tmp_path: Path, fault: Fault) -> None:
    """It goes red when one reader's messages lack one, have one twice, swapped, or altered."""
    plan = Plan(rounds=1, sessions=1, readers=1, cuts=0.0, crashes=0, fault=fault)
    report = await check(plan, tmp_path / "data")
    found = {
        "drop": report.lost,
        "double": report.doubled,
        "reorder": report.disordered,
        "garble": report.wrong,
    }[fault]
    assert found
    assert not report.is_clean


def message(seq: int, kind: str = "chunk", epoch: str = "e", **more: Any) -> dict[str, Any]:
    content = {"content": f"{seq} ", "prompt_id": "p"} if kind == "chunk" else {}
    return {"type": kind, "seq": seq, "epoch": epoch, **content, **more}


LOG = [message(seq) for seq in range(1, 6)] + [message(6, "result")]
SHOWN = {
    "parts": [{"target": {"prompt_id": "p"}, "text": "1 2 3 4 5 "}],
    "terminal": message(6, "result"),
}


def observed(messages: list[dict[str, Any]]) -> Observer:
    observer = Observer("r")
    for each in messages:
        observer.take(each)
    observer.compare(SHOWN, {6: message(6, "result")})
    return observer


def test_observer_of_a_whole_log_has_nothing_to_say() -> None:
    """Offsets in order, the right text, one terminal message."""
    observer = observed(LOG)
    assert (observer.lost, observer.doubled) == ([], [])
    assert (observer.disordered, observer.wrong) == ([], [])


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        (LOG[:2] + LOG[3:], "lost"),
        (LOG[:-1], "lost"),
        (LOG[:3] + LOG[2:], "doubled"),
        ([*LOG[:2], LOG[3], LOG[2], *LOG[4:]], "disordered"),
        ([*LOG, message(7)], "disordered"),
        ([{**LOG[0], "content": "x"}, *LOG[1:]], "wrong"),
        ([*LOG[:-1], message(6, "result", content="other")], "wrong"),
        ([*LOG[:2], message(4, epoch="f"), *LOG[4:]], "lost"),
        ([*LOG[:2], message(3, epoch="f"), *LOG[3:]], "disordered"),
        ([*LOG[:4], message(5, "attempt", target={"prompt_id": "p"}), LOG[5]], "lost"),
        ([{"type": "gap"}, *LOG], "lost"),
    ],
)
def test_observer_names_what_cannot_have_been(messages: list[Any], where: str) -> None:
    """Each kind of fault is found for itself."""
    assert getattr(observed(messages), where)


async def test_planting_changes_what_it_says() -> None:
    """The faults are what their names say, and no fault changes nothing."""

    async def log() -> AsyncIterator[dict[str, Any]]:
        for each in LOG:
            yield each

    async def offsets(fault: Fault | None) -> list[int]:
        return [each["seq"] async for each in planted(log(), fault)]

    assert await offsets(None) == [1, 2, 3, 4, 5, 6]
    assert await offsets("drop") == [1, 2, 4, 5, 6]
    assert await offsets("double") == [1, 2, 3, 3, 4, 5, 6]
    assert await offsets("reorder") == [1, 2, 4, 3, 5, 6]
