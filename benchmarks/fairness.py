"""Does one fast persona take anything from the slow ones beside it?

Four personas answer at 30 tokens a second in one `multi_chat` on one WebSocket of a real server,
with and without a fifth at 1,000. For the slow ones: the time to the first token and the time
between tokens, as the client sees them. And Jain's index of fairness (Jain, Chiu, Hawe, 1984) over
each persona's share of its own provider's pace: 1 is when nobody got less than alone. Runs with and
without the fast one alternate, so that whatever else the machine does meets both alike.

    python -m benchmarks.fairness            # prints a table, writes benchmarks/results/
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import trio

from benchmarks.results import write_result
from tests.system.server_process import ServerProcess, open_server

SLOW_TOKENS_PER_S = 30.0
FAST_TOKENS_PER_S = 1_000.0
SLOW = [f"slow_{number}" for number in range(1, 5)]
FAST = "fast"
SECONDS = 6.0
RUNS = 5
SETTINGS = {
    "ANTIPHON_SIM_TOKENS_PER_S": f"{SLOW_TOKENS_PER_S:g}",
    "ANTIPHON_SIM_OUTPUT_TOKENS": "20000",
    "ANTIPHON_SIM_TTFT_MS": "120",
}
BOUND = 1.10
"""What a slow one may lose at the most: issue and README promise 10 %."""


async def make_personas(server: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=server.url) as http:
        for persona_id in (*SLOW, FAST):
            model = "fast" if persona_id == FAST else "default"
            fields = {"name": persona_id, "system_prompt": f"You are {persona_id}."}
            answer = await http.put(
                f"/api/personas/{persona_id}",
                json={**fields, "provider": "simulated", "model": model},
            )
            answer.raise_for_status()


async def run_once(server: ServerProcess, persona_ids: Sequence[str]) -> dict[str, Any]:
    """Let them answer for a while; gives what the client saw."""
    seen: dict[str, list[float]] = {persona_id: [] for persona_id in persona_ids}
    data = {"message": "Tell me about rivers and what they carry.", "persona_ids": persona_ids}
    async with server.talk("/ws") as talk:
        began_at = time.perf_counter()
        await talk.say({"type": "multi_chat", "data": data})
        while True:
            message = await talk.hear()
            now = time.perf_counter()
            if message["type"] == "chunk":
                seen[message["persona_id"]].append(now)
            if now - began_at > SECONDS:
                break
        await talk.say({"type": "cancel"})
        last = await talk.until("cancelled")
    used = {row["persona_id"]: row["output_tokens"] for row in last["usage"]["by_part"]}
    return {
        "first_token_s": {key: seen[key][0] - began_at for key in persona_ids},
        "gaps_s": {key: [b - a for a, b in pairwise(seen[key])] for key in persona_ids},
        "shares": {
            key: used[key]
            / (FAST_TOKENS_PER_S if key == FAST else SLOW_TOKENS_PER_S)
            / (seen[key][-1] - seen[key][0])
            for key in persona_ids
        },
    }


def jain(shares: Sequence[float]) -> float:
    """Give Jain's index: (Σx)² / (n Σx²)."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Give the slow ones' times over all runs, in milliseconds, and the index over all personas."""
    first = [run["first_token_s"][key] for run in runs for key in SLOW]
    gaps = [gap for run in runs for key in SLOW for gap in run["gaps_s"][key]]
    shares = [jain(list(run["shares"].values())) for run in runs]
    return {
        "first_token_p50_ms": round(statistics.median(first) * 1000, 2),
        "first_token_max_ms": round(max(first) * 1000, 2),
        "gap_p50_ms": round(statistics.median(gaps) * 1000, 2),
        "gap_p95_ms": round(statistics.quantiles(gaps, n=20)[-1] * 1000, 2),
        "gap_p99_ms": round(statistics.quantiles(gaps, n=100)[-1] * 1000, 2),
        "gaps": len(gaps),
        "jain": round(statistics.mean(shares), 5),
    }


async def measure() -> dict[str, Any]:
    alone: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        async with open_server(Path(folder), env=SETTINGS) as server:
            await make_personas(server)
            await run_once(server, SLOW)  # what is loaded at first use is loaded
            for _ in range(RUNS):
                alone.append(await run_once(server, SLOW))
                beside.append(await run_once(server, [*SLOW, FAST]))
    rows = {"without the fast one": summary(alone), "beside the fast one": summary(beside)}
    without, with_it = rows.values()
    ratios = {
        name: round(with_it[name] / without[name], 3)
        for name in ("first_token_p50_ms", "gap_p50_ms", "gap_p95_ms")
    }
    fast_share = statistics.mean(run["shares"][FAST] for run in beside)
    return {
        "question": (__doc__ or "").partition("\n")[0],
        "settings": {
            "slow": len(SLOW),
            "slow_tokens_per_s": SLOW_TOKENS_PER_S,
            "fast_tokens_per_s": FAST_TOKENS_PER_S,
            "seconds": SECONDS,
            "runs": RUNS,
        },
        "rows": rows,
        "ratios": ratios,
        "fast_share_of_its_pace": round(fast_share, 4),
        "within_bound": all(ratio <= BOUND for ratio in ratios.values()),
    }


def main() -> None:
    found = trio.run(measure)
    for name, row in found["rows"].items():
        print(f"{name:24}", "  ".join(f"{key} {value}" for key, value in row.items()))
    print("ratios", found["ratios"], "fast:", found["fast_share_of_its_pace"])
    print(write_result("fairness", found))


if __name__ == "__main__":
    main()
