"""What does a delta cost with 10 to 5,000 live sessions, and a session in memory?

Each session has a WebSocket of its own and streams at a pace that this many can hold on two cores;
all are alive together between the last start and the first end, and only what happens between the
two is counted. Memory is resident and counted from before the connections were opened, by session.

    python -m benchmarks.scale
    python -m benchmarks.scale --levels 10 100
"""

from __future__ import annotations

import argparse

from benchmarks._servers import Workload, measure
from benchmarks.results import write_result

LEVELS = (10, 100, 500, 1000, 2000, 5000)
MOST_RATE, TOTAL_RATE = 20, 10_000
"""Deltas a second, of a session and of all: from 500 sessions on the work is the same, and what
grows is the number of sessions that it is spread over."""
STARTS_PER_S = 250
"""What leaves time for the deltas of those that stream already."""
STEADY_S = 10
FLAT_FROM = 100
"""With 10 sessions the process is idle, and each delta wakes it alone."""


def workload(sessions: int) -> Workload:
    """Give the load in which so many sessions are alive together."""
    rate = min(MOST_RATE, TOTAL_RATE / sessions)
    ramp_s = sessions / STARTS_PER_S
    seconds = ramp_s + 2 + STEADY_S
    return Workload(sessions=sessions, tokens=int(seconds * rate), rate=rate, ramp_s=ramp_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--levels", type=int, nargs="+", default=LEVELS)
    parser.add_argument("--dry", action="store_true", help="record nothing")
    args = parser.parse_args()
    rows = []
    for sessions in args.levels:
        row = {"sessions": sessions, **measure("ours", workload(sessions))}
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        rows.append(row)

    def spread(lowest: int) -> float:
        costs = [row["steady_us_per_delta"] for row in rows if row["sessions"] >= lowest]
        return round(max(costs) / min(costs), 2) if costs else 0.0

    spreads = {"all": spread(0), f"from {FLAT_FROM} sessions": spread(FLAT_FROM)}
    print(f"dearest to cheapest: {spreads}")
    if not args.dry:
        question = "What does a delta cost with 10 to 5,000 live sessions, and a session in memory?"
        settings = {
            "most_rate": MOST_RATE,
            "total_rate": TOTAL_RATE,
            "starts_per_s": STARTS_PER_S,
            "journal": "sqlite",
        }
        data = {"question": question, "settings": settings, "spreads": spreads, "rows": rows}
        print(write_result("scale", data))


if __name__ == "__main__":
    main()
