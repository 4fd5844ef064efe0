"""How long until the first token, with the journal and without?

One session after the other on an idle engine, and then beside a hundred others: the time from the
call that starts a session (which returns when it is durable) to its reader's first delta. The
simulated provider waits for nothing, so all of it is ours.

    python -m benchmarks.first_token         # prints, writes benchmarks/results/
"""

from __future__ import annotations

import statistics
import time

import trio

from benchmarks.engine_rig import JOURNALS, open_rig
from benchmarks.results import write_result
from engine import Delta, Engine, Entry, Options

STARTS = 200
BESIDE = 100
REQUEST = {"request": {"input": "a plan", "count": 1, "phases": ["solutio"]}}


async def first_token_ms(engine: Engine) -> float:
    began = time.perf_counter()
    config = [{"phase": "solutio", "provider": "simulated", "model": "instant"}]
    session = await engine.start("generate", {**REQUEST, "phaseConfigs": config})
    with await engine.subscribe(session.session_id) as subscription:
        while batch := await subscription.receive():
            if any(isinstance(item, Entry) and isinstance(item.event, Delta) for item in batch):
                return (time.perf_counter() - began) * 1000
    raise AssertionError("no delta came")


async def run(journal: str, beside: int) -> dict[str, float]:
    async with open_rig(journal, sim_ttft_ms=10, sim_tokens_per_s=20) as engine:
        for index in range(beside):
            await engine.start(
                "generate",
                {"request": {"input": f"number {index}", "count": 100}},
                options=Options(detached=True),
            )
        await trio.sleep(0.5)
        found = []
        for _ in range(STARTS):
            found.append(await first_token_ms(engine))
            await trio.sleep(0.005)
    cuts = statistics.quantiles(found, n=100)
    return {"p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2)}


def main() -> None:
    rows = {
        f"{journal}, {beside} beside": trio.run(run, journal, beside)
        for beside in (0, BESIDE)
        for journal in JOURNALS
    }
    for name, row in rows.items():
        print(f"{name:24} {row}")
    question = "How long until the first token, with the journal and without?"
    print(write_result("first_token", {"question": question, "starts": STARTS, "rows": rows}))


if __name__ == "__main__":
    main()
