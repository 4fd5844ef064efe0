"""What does a delivered delta cost each server, side by side in one run?

The servers take turns in each round: ours with log, SQLite journal, supervision and cancel on; the
peers (`benchmarks/peers`) with a queue and a socket. The figure is the server's CPU in µs for each
delivered delta; the ratio to FastAPI is what to quote. Lateness and cancel are what the client saw.
Where a delta costs less than the session's own start, the steady figure, taken between the last
start and the first end, tells the two apart.

    python -m benchmarks.side_by_side --rounds 3
    python -m benchmarks.side_by_side --rounds 1 --only W1,F1 --servers fastapi,ours --small
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import msgspec

from benchmarks._servers import SERVERS, Workload, measure, missing
from benchmarks.results import write_result

WORKLOADS = {
    "W1": Workload(sessions=50, tokens=2000),
    "W1 TLS": Workload(sessions=50, tokens=2000, tls=True),
    "W2 500": Workload(sessions=500, tokens=200, rate=20, cancel=0.05, ramp_s=2),
    "W2 500 TLS": Workload(sessions=500, tokens=200, rate=20, cancel=0.05, ramp_s=2, tls=True),
    "W2 1000": Workload(sessions=1000, tokens=200, rate=20, cancel=0.05, ramp_s=4),
    "S1": Workload(sessions=50, tokens=2000, mode="events"),
    "F1": Workload(sessions=200, tokens=500, mode="fan"),
    "F1 paced": Workload(sessions=200, tokens=200, rate=20, mode="fan"),
}
TWIN = "fastapi"
WITHOUT_EVENTS = ("websockets",)
TLS_BESIDE = ("fastapi", "node", "ours")
"""TLS costs everybody the same library's work: two peers show it."""

FIGURES = ("cpu_us_per_delta", "steady_us_per_delta", "kb_per_session")


def servers_for(name: str, wanted: list[str]) -> list[str]:
    """Give who takes part in a workload."""
    load = WORKLOADS[name]
    found = [each for each in wanted if each in TLS_BESIDE] if load.tls else wanted
    return [each for each in found if load.mode != "events" or each not in WITHOUT_EVENTS]


def small(load: Workload) -> Workload:
    """Give a workload that shows in a few seconds whether a run works; its figures mean little."""
    return msgspec.structs.replace(
        load,
        sessions=max(10, load.sessions // 10),
        tokens=min(load.tokens, 80 if load.rate else 500),
        ramp_s=min(load.ramp_s, 0.5),
    )


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Give medians for each workload and server, over the runs without doubts where there are."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(row["workload"] for row in rows):
        servers: dict[str, Any] = {}
        of_name = [row for row in rows if row["workload"] == name]
        for server in dict.fromkeys(row["server"] for row in of_name):
            runs = [row for row in of_name if row["server"] == server]
            sound = [row for row in runs if not row["doubts"]]
            servers[server] = {
                "runs": len(runs),
                "sound": len(sound),
                **medians(sound or runs),
            }
        base = servers.get(TWIN)
        for each in servers.values():
            if base:
                ratio = each["cpu_us_per_delta"] / base["cpu_us_per_delta"]
                each["ratio"] = round(ratio, 3)
        found[name] = servers
    return found


def medians(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Give the middle of each figure, and of each quantile."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for figure in FIGURES:
            if figure in row:
                values.setdefault(figure, []).append(row[figure])
        for quantity in ("late_ms", "first_ms", "cancel_ms"):
            for quantile, value in (row[quantity] or {}).items():
                values.setdefault(f"{quantity}_{quantile}", []).append(value)
    return {figure: round(statistics.median(each), 3) for figure, each in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(WORKLOADS), help="workloads, with commas")
    parser.add_argument("--servers", default=",".join(SERVERS), help="servers, with commas")
    parser.add_argument("--small", action="store_true", help="a trial: a tenth, nothing recorded")
    args = parser.parse_args()
    names, wanted = args.only.split(","), args.servers.split(",")
    for kind, given, known in (("workload", names, WORKLOADS), ("server", wanted, SERVERS)):
        if unknown := [each for each in given if each not in known]:
            parser.error(f"unknown {kind}: {', '.join(unknown)}; there are {', '.join(known)}")
    absent = {each: why for each in wanted if (why := missing(each))}
    for each, why in absent.items():
        print(f"{each} is left out: {why}")
    wanted = [each for each in wanted if each not in absent]
    rows = []
    for number in range(args.rounds):
        for name in names:
            load = small(WORKLOADS[name]) if args.small else WORKLOADS[name]
            for server in servers_for(name, wanted):
                row = {"round": number + 1, "workload": name, **measure(server, load)}
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
                rows.append(row)
    medians_of = summary(rows)
    for name, servers in medians_of.items():
        for server, each in servers.items():
            print(f"{name:12} {server:12} " + "  ".join(f"{k} {v}" for k, v in each.items()))
    if args.small:
        return
    print(
        write_result(
            "side_by_side",
            {
                "question": "What does a delivered delta cost each server, side by side?",
                "unit": "µs of the server's CPU for each delta that reached a client",
                "ratio": f"to {TWIN}",
                "workloads": {name: msgspec.to_builtins(WORKLOADS[name]) for name in names},
                "journal": "sqlite",
                "left_out": absent,
                "medians": medians_of,
                "rows": rows,
            },
        )
    )


if __name__ == "__main__":
    main()
