"""How much does the engine add to the first token, beside 500 sessions that stream?

Two load clients: one keeps 500 WebSockets with 20 deltas a second each, the other starts probes on
a model that waits for nothing, so that all of the time from the request to the first delta is ours:
admission, journal, numbering, the wire, and what the others make it wait. Beside nobody as well.

    python -m benchmarks.first_token_beside
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import msgspec

from benchmarks._servers import Workload, answer_of, go, open_load, serving
from benchmarks.results import write_result

PROBES = Workload(sessions=200, tokens=20, ramp_s=10)
"""20 starts a second; they are held open together, and each is short."""
PROBE: dict[str, Any] = {
    "request": {"input": "probe", "phases": ["idea"], "count": 1, "maxTokens": 20},
    "phaseConfigs": [{"phase": "prima-materia", "provider": "simulated", "model": "instant"}],
}


def run(beside: int) -> dict[str, Any]:
    """Probe a server beside so many sessions."""
    ramp_s = beside / 250
    tokens = int((ramp_s + PROBES.ramp_s + 6) * 20)
    base = Workload(sessions=max(1, beside), tokens=tokens, rate=20, ramp_s=ramp_s)
    with (
        serving("ours", base) as server,
        open_load("ours", base, [server]) as crowd,
        open_load("ours", PROBES, [server], request=json.dumps(PROBE)) as probes,
    ):
        if beside:
            go(crowd)
            time.sleep(ramp_s + 2)
        go(probes)
        found = answer_of(probes)
    figures = ("first_ms", "readers", "ended", "client_share", "client_lag_ms")
    return {"beside": beside, **{name: found[name] for name in figures}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--beside", type=int, nargs="+", default=(0, 500))
    parser.add_argument("--dry", action="store_true", help="record nothing")
    args = parser.parse_args()
    rows = []
    for beside in args.beside:
        rows.append(run(beside))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if not args.dry:
        question = "How much does the engine add to the first token, beside 500 sessions?"
        probes = msgspec.to_builtins(PROBES)
        data = {"question": question, "probes": probes, "journal": "sqlite", "rows": rows}
        print(write_result("first_token_beside", data))


if __name__ == "__main__":
    main()
