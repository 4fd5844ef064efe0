"""What does the journal cost each delta, in the whole engine?

The same sessions run with the memory journal and with SQLite, by turns, several times: all deltas
have a reader. Given is the CPU time of the whole process (the writer's thread included) for each
delta that a reader took, the smallest of the runs, and the two side by side.

    python -m benchmarks.journal_whole       # prints, writes benchmarks/results/
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import trio

from benchmarks.engine_rig import JOURNALS, open_rig
from benchmarks.results import write_result
from engine import Delta, Engine, Entry, Options

SESSIONS = 100
TOKENS_PER_S = 35.0
"""Below the rollup's 40 a second, so that each token is a delta of its own."""
SECONDS = 6.0
RUNS = 3


async def read(engine: Engine, counts: list[int]) -> None:
    session = await engine.start(
        "generate",
        {"request": {"input": "a plan for a week", "count": 20}},
        options=Options(detached=True),
    )
    with await engine.subscribe(session.session_id) as subscription:
        while batch := await subscription.receive():
            for item in batch:
                if isinstance(item, Entry) and isinstance(item.event, Delta):
                    counts[0] += max(1, len(item.cuts))


async def run(journal: str) -> dict[str, float]:
    counts = [0]
    settings = {"sim_ttft_ms": 10, "sim_tokens_per_s": TOKENS_PER_S, "sim_output_tokens": 400}
    async with open_rig(journal, **settings) as engine:
        async with trio.open_nursery() as nursery:
            for _ in range(SESSIONS):
                nursery.start_soon(read, engine, counts)
            await trio.sleep(1.5)
            deltas, cpu_s, began_s = counts[0], time.process_time(), time.perf_counter()
            await trio.sleep(SECONDS)
            deltas, cpu_s = counts[0] - deltas, time.process_time() - cpu_s
            took_s = time.perf_counter() - began_s
            nursery.cancel_scope.cancel()
    return {
        "deltas_per_s": round(deltas / took_s),
        "cpu_us_per_delta": round(cpu_s / deltas * 1e6, 2),
        "cpu_percent": round(100 * cpu_s / took_s, 1),
    }


def main() -> None:
    rows: dict[str, list[dict[str, float]]] = {journal: [] for journal in JOURNALS}
    for _ in range(RUNS):
        for journal in JOURNALS:
            rows[journal].append(trio.run(run, journal))
    least = {name: min(row["cpu_us_per_delta"] for row in found) for name, found in rows.items()}
    middle = {
        name: statistics.median(row["cpu_us_per_delta"] for row in found)
        for name, found in rows.items()
    }
    result: dict[str, Any] = {
        "question": "What does the journal cost each delta, in the whole engine?",
        "settings": {"sessions": SESSIONS, "tokens_per_s": TOKENS_PER_S, "seconds": SECONDS},
        "least_us_per_delta": least,
        "median_us_per_delta": middle,
        "sqlite_costs_us": round(least["sqlite"] - least["memory"], 2),
        "ratio": round(least["sqlite"] / least["memory"], 3),
        "runs": rows,
    }
    print(least, middle, f"ratio {result['ratio']}")
    print(write_result("journal_whole", result))


if __name__ == "__main__":
    main()
