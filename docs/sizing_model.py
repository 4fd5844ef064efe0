"""A service on paper: what a number of sessions asks for, and what an outage does to it.

The one rule: nothing is assumed about cost; it is measured elsewhere and handed in. A *cell* is one
Redis with the processes around it. It is bounded by what one Redis can write, so a larger service
is several cells, and a user belongs to one. Run it for a table: `python -m docs.sizing_model`.

Little's law gives arrivals from sessions at once and their length; the wait for a turn of a
process's loop is that of an M/G/1 queue (Pollaczek and Khinchine); an outage is stepped through in
time, because load and capacity change on the way.
"""

from __future__ import annotations

import math

import msgspec

STEP_S = 0.1
GIVE_UP_S = 24 * 3600.0


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    delta_us: float
    """CPU of a process for each delta, from the provider to the client, sessions' starts and
    milestones included."""
    redis_delta_us: float
    """CPU of Redis for each delta."""
    session_kib: float
    """Memory of a process for each session that runs."""
    recovery_ms: float
    """CPU to take one session over."""
    wire_bytes: float
    """Bytes of a delta to its client."""
    journal_bytes: float
    """Bytes of a delta in the journal."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, and with how much to spare."""

    sessions: int
    """At once."""
    length_s: float = 60.0
    deltas_per_s: float = 20.0
    """Of one session."""
    load: float = 0.6
    """The share of a core that a process may use in the mean."""
    redis_load: float = 0.6
    load_after: float = 0.9
    """The most that it may have to carry once a machine of its cell is dead."""
    cores: int = 16
    """Of a machine; a process uses one. A cell has one process on each of its machines."""
    base_mib: float = 150.0
    """Memory of a process without sessions."""
    lease_s: float = 15.0
    drain_s: float = 30.0
    retention_s: float = 3600.0
    burstiness: float = 4.0
    """Squared coefficient of variation of a turn's work: most are one delta, some a start."""


class Sizing(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes."""

    arrivals_per_s: float
    deltas_per_s: float
    processes: int
    machines: int
    cells: int
    redis_deltas_per_s: float
    """Of each cell."""
    redis_mib_per_s: float
    """Into each cell's Redis."""
    redis_gib: float
    """What each cell's Redis holds, in memory, for the retention time."""
    process_mib: float
    wait_ms: float
    """The mean wait of a delta for its turn."""
    client_gbit_per_s: float
    failover_s: float
    """From a machine's death until the last of its sessions goes on."""
    failover_load: float
    """Of the cell's other processes afterwards; at 1 they would never catch up."""
    drained: float
    """The share of a draining process's sessions that end by themselves within the grace."""


def size(plan: Plan, cost: Cost) -> Sizing:
    """Give what a plan takes."""
    deltas = plan.sessions * plan.deltas_per_s
    delta_s = cost.delta_us * 1e-6
    cells = max(1, math.ceil(deltas * cost.redis_delta_us * 1e-6 / plan.redis_load))
    of_cell = deltas / cells
    cores = of_cell * delta_s
    of_each = max(2, math.ceil(cores / plan.load), math.ceil(cores / plan.load_after) + 1)
    processes = cells * of_each
    machines = max(of_each, math.ceil(processes / plan.cores))
    load = cores / of_each
    return Sizing(
        arrivals_per_s=plan.sessions / plan.length_s,
        deltas_per_s=deltas,
        processes=processes,
        machines=machines,
        cells=cells,
        redis_deltas_per_s=of_cell,
        redis_mib_per_s=of_cell * cost.journal_bytes / 2**20,
        redis_gib=of_cell * cost.journal_bytes * plan.retention_s / 2**30,
        process_mib=plan.base_mib + plan.sessions / processes * cost.session_kib / 1024,
        wait_ms=queue_wait_s(delta_s, load, plan.burstiness) * 1000,
        client_gbit_per_s=deltas * cost.wire_bytes * 8 / 1e9,
        failover_s=failover_s(plan, cost, plan.sessions / cells, of_each),
        failover_load=cores / (of_each - 1),
        drained=1 - math.exp(-plan.drain_s / plan.length_s),
    )


def queue_wait_s(service_s: float, load: float, squared_variation: float) -> float:
    """Give the mean wait in an M/G/1 queue (Pollaczek and Khinchine)."""
    if load >= 1:
        return math.inf
    return load * service_s * (1 + squared_variation) / (2 * (1 - load))


def failover_s(plan: Plan, cost: Cost, sessions: float, processes: int) -> float:
    """Step through the death of one of a cell's processes; gives seconds until all go on.

    For a lease nothing happens: its sessions wait, and the others carry their own. Then those
    recover them with what the load leaves, and each one that goes on is load again.
    """
    left = processes - 1
    waiting = sessions / processes
    busy = (sessions - waiting) * plan.deltas_per_s * cost.delta_us * 1e-6
    now = plan.lease_s
    recovery_s = cost.recovery_ms / 1000
    going_on = plan.deltas_per_s * cost.delta_us * 1e-6
    while waiting > 0.5:
        spare = (left - busy) * STEP_S
        if spare <= 0 or now > GIVE_UP_S:
            return math.inf
        taken = min(waiting, spare / recovery_s)
        waiting -= taken
        busy += taken * going_on
        now += STEP_S
    return now


def table(cost: Cost, sessions: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)) -> list[str]:
    """Give the rows of a table in Markdown, a column for each number of sessions."""
    found = [size(Plan(sessions=each), cost) for each in sessions]
    kept_h = Plan(sessions=1).retention_s / 3600
    rows = [
        ("sessions that start a second", [f"{each.arrivals_per_s:,.0f}" for each in found]),
        ("deltas a second", [f"{each.deltas_per_s:,.0f}" for each in found]),
        ("processes", [f"{each.processes:,}" for each in found]),
        (f"machines of {Plan(sessions=1).cores} cores", [f"{each.machines:,}" for each in found]),
        ("memory of a process, MiB", [f"{each.process_mib:,.0f}" for each in found]),
        ("mean wait for a turn, ms", [f"{each.wait_ms:.2f}" for each in found]),
        ("to clients, Gbit/s", [f"{each.client_gbit_per_s:,.2f}" for each in found]),
        ("Redis cells", [f"{each.cells:,}" for each in found]),
        ("deltas a second into each", [f"{each.redis_deltas_per_s:,.0f}" for each in found]),
        ("MiB a second into each", [f"{each.redis_mib_per_s:.1f}" for each in found]),
        (f"GiB in each, kept for {kept_h:g} h", [f"{each.redis_gib:,.0f}" for each in found]),
        ("a machine dies: all go on after, s", [_seconds(each.failover_s) for each in found]),
        ("load of the others then", [_percent(each.failover_load) for each in found]),
        ("ended by themselves in a drain", [_percent(each.drained) for each in found]),
    ]
    lines = [
        "| sessions at once | " + " | ".join(f"{each:,}" for each in sessions) + " |",
        "| --- |" + " ---: |" * len(sessions),
    ]
    return lines + [f"| {name} | " + " | ".join(values) + " |" for name, values in rows]


def _seconds(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.1f}"


def _percent(value: float) -> str:
    return f"{value:.0%}"


def main() -> None:
    """Print the table, from the newest measured costs."""
    from docs.sizing_page import measured

    print("\n".join(table(measured()[0])))


if __name__ == "__main__":
    main()
