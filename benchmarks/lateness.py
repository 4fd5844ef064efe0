"""How late is a delta, and a first token, at 500 and 1,000 sessions, by our own doing alone?

Sessions of 20 tokens a second, started within one second. Time is the loop's own CPU time, jumping
where it would sleep (see `null_socket_rig`), so a busy machine makes no delta late. A delta's
lateness is counted as the load client does: against the session's own pace and its earliest delta.

    python -m benchmarks.lateness [--rounds 3]
"""

from __future__ import annotations

import gc
import sys

from benchmarks._load import quantiles
from benchmarks.null_socket_rig import NullLine, run_sessions
from benchmarks.results import write_result
from server.serving import GC_THRESHOLDS

RATE, TOKENS = 20.0, 60


def lateness(lines: list[NullLine]) -> list[float]:
    """Give how late each message was, in seconds."""
    late: list[float] = []
    for line in lines:
        moments = [at - number / RATE for number, at in line.tokens()]
        late += [moment - min(moments) for moment in moments]
    return late


def main() -> None:
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 3
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    rows = []
    for number in range(rounds):
        for sessions in (500, 1000):
            lines = run_sessions(sessions, TOKENS, rate=RATE, ramp_s=1.0, on_cpu_clock=True)
            row = {
                "round": number + 1,
                "sessions": sessions,
                "late_ms": quantiles(lateness(lines)),
                "first_ms": quantiles([line.tokens()[0][1] - line.asked_at for line in lines]),
                "messages_per_token": round(
                    sum(len(line.tokens()) for line in lines) / sessions / TOKENS, 3
                ),
            }
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            rows.append(row)
    path = write_result(
        "lateness",
        {
            "question": "How late is a delta by our own doing alone?",
            "clock": "CPU time of the loop's thread, jumping over sleeps",
            "journal": "memory",
            "rate": RATE,
            "tokens": TOKENS,
            "rows": rows,
        },
    )
    print(path)


if __name__ == "__main__":
    main()
