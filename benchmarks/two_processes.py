"""Do two processes carry twice what one does?

One server with 400 sessions of 20 deltas a second, then two with 800, each with a core and a data
folder of its own. Where the machine has two cores the client has none to itself, so `capacity` is
derived: the deltas that a core's second pays for, times the processes; `held` is what the client
saw on the shared cores (the pace was kept, and how late). Rounds take turns.

    python -m benchmarks.two_processes
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import ExitStack
from typing import Any

from benchmarks._servers import CLIENT_CORE, Workload, answer_of, go, open_load, serving
from benchmarks.results import write_result

SESSIONS = 400
CORES = (0, 1)


def run(processes: int, sessions: int) -> dict[str, Any]:
    """Measure so many servers, each with as many sessions as the others."""
    total = sessions * processes
    load = Workload(sessions=total, tokens=160, rate=20, ramp_s=total / 250)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving("ours", load, core=CORES[number]))
            for number in range(processes)
        ]
        client_core = CLIENT_CORE if processes == 1 else None
        client = stack.enter_context(open_load("ours", load, servers, core=client_core))
        go(client)
        found = answer_of(client)
    return {
        "processes": processes,
        "capacity_per_s": round(processes * 1e6 / found["steady_us_per_delta"]),
        **found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="of each process")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    args = parser.parse_args()
    rows = []
    for number in range(args.rounds):
        for processes in (1, 2):
            row = {"round": number + 1, **run(processes, args.sessions)}
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            rows.append(row)
    capacity = {
        processes: statistics.median(
            row["capacity_per_s"] for row in rows if row["processes"] == processes
        )
        for processes in (1, 2)
    }
    ratio = round(capacity[2] / capacity[1], 2)
    print(f"two processes / one: {ratio}")
    if not args.dry:
        question = "Do two processes carry twice what one does?"
        data = {"question": question, "sessions_each": args.sessions, "ratio": ratio, "rows": rows}
        print(write_result("two_processes", data))


if __name__ == "__main__":
    main()
