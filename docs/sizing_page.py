"""The sizing guide: measured figures out of the newest results, and the model's table of them."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from docs.sizing_model import Cost, Plan, table
from engine.events import Delta, Entry, Part
from engine.journal.encoding import encode

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
TEXT = "word "
"""Of a delta: a token and its space."""


def newest(name: str, has: str = "") -> tuple[str, Any]:
    """Give the newest result of a question, with its file's name.

    Args:
        name: the question's.
        has: a text that has to be in it, where older results lack a workload.
    """
    found = []
    for path in RESULTS.glob(f"*-{name}.json"):
        text = path.read_text("utf-8")
        result = json.loads(text)
        if result["name"] == name and has in text:
            found.append((result["measured_at"], path.name, result))
    if not found:
        raise LookupError(f"no result of {name} has {has!r}: run make bench ARGS={name}")
    _, file, result = max(found, key=lambda each: each[0])
    return file, result


def measured() -> tuple[Cost, dict[str, str]]:
    """Give the costs, and for each the file that it comes from."""
    socket_file, socket = newest("websocket", '"W2 500"')
    journal_file, journal = newest("journal", '"redis_cpu_us_per_delta"')
    recovery_file, recovery = newest("recovery")
    replay_file, replay = newest("replay")
    ours = [r for r in socket["rows"] if r["server"] == "ours" and r["workload"] == "W2 500"]
    at_pace = {r["journal"]: r for r in journal["rows"] if "redis_cpu_us_per_delta" in r}
    sqlite, redis = at_pace["sqlite"], at_pace["redis-everysec"]
    more = _of_process(redis) - _of_process(sqlite)
    wire = replay["rows"]["WebSocket"]["bytes"] / replay["deltas"]
    cost = Cost(
        delta_us=round(median(r["cpu_us_per_delta"] for r in ours) + max(0.0, more), 1),
        redis_delta_us=redis["redis_cpu_us_per_delta"],
        session_kib=round(median(r["kb_per_session"] for r in ours), 1),
        recovery_ms=recovery["recovery_ms_per_session"],
        wire_bytes=round(wire),
        journal_bytes=journal_bytes(),
    )
    return cost, {
        "delta_us": f"{socket_file}, {journal_file}",
        "redis_delta_us": journal_file,
        "session_kib": socket_file,
        "recovery_ms": recovery_file,
        "wire_bytes": replay_file,
        "journal_bytes": "the journal's own encoding",
    }


def _of_process(row: Any) -> float:
    return float(row["loop_cpu_us_per_delta"] + row["threads_cpu_us_per_delta"])


def journal_bytes() -> int:
    """Give the bytes of one delta as the journal keeps it."""
    part_id = "550e8400-e29b-41d4-a716-446655440000"
    part = Part(id=part_id, target={"prompt_id": part_id}, phase="solutio", model="m", provider="p")
    return len(encode(Entry(seq=1_000, at=1.8e9, event=Delta(part=part, text=TEXT, tokens=500))))


MEANING = {
    "delta_us": "µs of CPU of a process for each delta, all included",
    "redis_delta_us": "µs of CPU of Redis for each delta",
    "session_kib": "KiB of a process for each session that runs",
    "recovery_ms": "ms to take one session over",
    "wire_bytes": "bytes of a delta to its client",
    "journal_bytes": "bytes of a delta as the journal encodes it",
}


def sizing_page() -> str:
    """The whole page."""
    cost, files = measured()
    plan = Plan(sessions=1)
    core = plan.load / (cost.delta_us * 1e-6)
    redis = plan.redis_load / (cost.redis_delta_us * 1e-6)
    return "\n".join(
        [
            "# How much of it you need",
            "",
            "What counts is deltas a second, then sessions at once. A session that waits for its",
            "model costs memory and no CPU. The figures are those of the newest results in",
            "`benchmarks/results`; measure on your own machine (`make bench`), for they move with",
            "it, and `make docs` puts yours in here.",
            "",
            "| what | measured | where |",
            "| --- | ---: | --- |",
            *(
                f"| {MEANING[name]} | {getattr(cost, name):g} | {file} |"
                for name, file in files.items()
            ),
            "",
            "## One machine",
            "",
            f"A process is one core. {plan.load:.0%} of it are {core:,.0f} deltas a second,",
            f"{core / plan.deltas_per_s:,.0f} sessions that stream {plan.deltas_per_s:g} a second",
            "each, one by one. Models that send in bursts cost far less, because their deltas are",
            "joined. The disk (or the memory of Redis) is deltas, times bytes, times the time that",
            "logs are kept: lower `ANTIPHON_RETENTION_S` where that is much.",
            "",
            "## One Redis",
            "",
            f"Redis works on one core: at {plan.redis_load:.0%}, {redis:,.0f} deltas a second,",
            f"{redis / plan.deltas_per_s:,.0f} such sessions. That, and not the processes, bounds",
            "a service with one Redis. Whoever outgrows it runs several *cells*, each a Redis with",
            "its processes, and gives every user one of them at the load balancer; a session is",
            "known in its own cell only. Nothing of that is built: it is arithmetic.",
            "",
            "## A million sessions, on paper",
            "",
            f"Sessions of {plan.length_s:g} s and {plan.deltas_per_s:g} deltas a second, all",
            f"streaming; processes at {plan.load:.0%} at the most, {plan.load_after:.0%} when a",
            f"machine has died; leases of {plan.lease_s:g} s; drains of {plan.drain_s:g} s. The",
            "model is `docs/sizing_model.py`: Little's law, an M/G/1 queue, and an outage stepped",
            "through in time. `python -m docs.sizing_model` prints the table.",
            "",
            *table(cost),
            "",
            "What the model leaves out: providers and their limits, the network between machines,",
            "TLS (let the proxy have it), and that processes of one machine share its caches and",
            "its memory. The queue says what a delta waits in the mean; `benchmarks.lateness` says",
            "what it does at the worst.",
            "",
        ]
    )
