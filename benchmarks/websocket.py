"""What does a delivered delta cost the server over WebSocket, beside a plain asyncio server?

W1: 50 sessions of 2,000 deltas without a pause. W2: 500 sessions of 20 deltas a second for 10 s,
5 % of them cancelled in between. The figure is the server's CPU, in µs for each delivered delta,
which does not depend on the client; ours runs the whole engine with the SQLite journal on, the twin
(`benchmarks.peers.fastapi_twin`) a queue and a socket. The two take turns in one run, the server on
one core, the client on another; the ratio is what to quote.

    python -m benchmarks.websocket [--rounds 3]
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.results import write_result

SERVER_CORE, CLIENT_CORE = 0, min(1, (os.cpu_count() or 1) - 1)

WORKLOADS: dict[str, dict[str, Any]] = {
    "W1": {"sessions": 50, "tokens": 2000, "rate": 0, "cancel": 0.0},
    "W2 500": {"sessions": 500, "tokens": 200, "rate": 20, "cancel": 0.05},
}


@contextmanager
def ours(load: dict[str, Any]) -> Iterator[tuple[int, int, str]]:
    """Serve with the whole engine; gives pid, port and the request."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            **os.environ,
            "ANTIPHON_SIM_TTFT_MS": "0",
            "ANTIPHON_SIM_TOKENS_PER_S": str(load["rate"]),
            "ANTIPHON_SIM_OUTPUT_TOKENS": str(load["tokens"]),
        }
        command = [sys.executable, "-m", "server", "serve", "--port", "0", "--data", folder]
        request = {
            "request": {"input": "measure", "phases": ["idea"], "count": 1, "maxTokens": 32000}
        }
        with _process(command, environ, r"listening on http://[^:]+:(\d+)") as (pid, port):
            yield pid, port, json.dumps(request)


@contextmanager
def twin(load: dict[str, Any]) -> Iterator[tuple[int, int, str]]:
    """Serve with the plain asyncio server."""
    command = [
        sys.executable, "-m", "uvicorn", "benchmarks.peers.fastapi_twin:app", "--port", "0",
        "--loop", "uvloop", "--http", "h11", "--ws", "websockets", "--log-level", "info",
    ]  # fmt: skip
    request = json.dumps({"tokens": load["tokens"], "rate": load["rate"]})
    with _process(command, dict(os.environ), r"running on http://[^:]+:(\d+)") as (pid, port):
        yield pid, port, request


@contextmanager
def _process(
    command: list[str], environ: dict[str, str], pattern: str
) -> Iterator[tuple[int, int]]:
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
        try:
            os.sched_setaffinity(process.pid, {SERVER_CORE})
            deadline = time.monotonic() + 20
            while True:
                output.seek(0)
                found = re.search(pattern, output.read())
                if found:
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise SystemExit(f"{command} did not start: {output.read()}")
                time.sleep(0.1)
            time.sleep(0.5)
            yield process.pid, int(found[1])
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def cpu_s(pid: int) -> float:
    """Give the CPU time that a process has used, all its threads, in seconds."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_kb(pid: int) -> int:
    """Give a process's resident memory, in KB."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])  # type: ignore[index]


def measure(kind: str, name: str) -> dict[str, Any]:
    """Run one workload against one server."""
    load = WORKLOADS[name]
    seconds = load["tokens"] / load["rate"] if load["rate"] else 5
    with {"ours": ours, "twin": twin}[kind](load) as (pid, port, request):
        client = subprocess.Popen(
            [
                sys.executable, "-m", "benchmarks._load", "--port", str(port), "--request", request,
                "--sessions", str(load["sessions"]), "--rate", str(load["rate"]),
                "--seconds", str(seconds), "--cancel", str(load["cancel"]),
                "--ramp", str(1.0 if load["rate"] else 0.0),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        os.sched_setaffinity(client.pid, {CLIENT_CORE})
        assert client.stdout is not None
        assert client.stdin is not None
        client.stdout.readline()
        before, idle_kb = cpu_s(pid), rss_kb(pid)
        client.stdin.write("go\n")
        client.stdin.flush()
        answer = client.stdout.readline()
        used_s, busy_kb = cpu_s(pid) - before, rss_kb(pid)
        client.wait()
    found: dict[str, Any] = json.loads(answer)
    return {
        "server": kind,
        "workload": name,
        "cpu_us_per_delta": round(used_s / found["deltas"] * 1e6, 2),
        "cpu_s": round(used_s, 2),
        "kb_per_session": round((busy_kb - idle_kb) / load["sessions"], 1),
        **found,
    }


def main() -> None:
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 3
    rows = []
    for number in range(rounds):
        for name in WORKLOADS:
            for kind in ("twin", "ours"):
                row = {"round": number + 1, **measure(kind, name)}
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
                rows.append(row)
    ratios = {}
    for name in WORKLOADS:
        median = {
            kind: statistics.median(
                row["cpu_us_per_delta"]
                for row in rows
                if row["server"] == kind and row["workload"] == name
            )
            for kind in ("twin", "ours")
        }
        ratios[name] = {**median, "ratio": round(median["ours"] / median["twin"], 3)}
        print(
            f"{name}: ours {median['ours']}, twin {median['twin']} µs a delta, "
            f"ratio {ratios[name]['ratio']}"
        )
    path = write_result(
        "websocket",
        {
            "question": "What does a delivered delta cost the server over WebSocket?",
            "workloads": WORKLOADS,
            "journal": "sqlite",
            "ratios": ratios,
            "rows": rows,
        },
    )
    print(path)


if __name__ == "__main__":
    main()
