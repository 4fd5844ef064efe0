"""One reader at 2 kB/s and one that never reads, among a hundred: the others do not feel it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.slow_readers import compare

pytestmark = pytest.mark.system

SECONDS = 20.0
WARM_UP_S = 4.0
MOST_MIB = 8.0
"""What two slow readers may cost: a window each and the noise of two processes."""


async def test_slow_readers_delay_nobody_and_cost_no_memory(tmp_path: Path) -> None:
    """No reader waits for another: p99 moves by less than 10 %; memory is bounded.

    A busy machine may spoil one measurement; a server that lets readers wait spoils both.
    """
    moves = []
    for attempt in range(2):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        without, among = await compare(SECONDS, folder, WARM_UP_S)
        assert among["slow"] == ["slow", "never"]
        assert without["deltas"] > 98 * SECONDS * 10
        assert among["deltas"] > 0.9 * 98 / 100 * without["deltas"]
        assert 1_000 * SECONDS < among["slow_received_bytes"]["slow"] < 3_000 * (SECONDS + 6)
        assert among["slow_received_bytes"]["never"] == 0
        extra_mib = among["memory_mib"][-1] - without["memory_mib"][-1]
        assert extra_mib < MOST_MIB
        moves.append(among["gap_ms"]["p99"] / without["gap_ms"]["p99"] - 1)
        if moves[-1] < 0.1:
            return
    raise AssertionError(f"p99 moved by {[f'{move:+.1%}' for move in moves]}")
