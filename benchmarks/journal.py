"""What does the journal cost per delta?

Three numbers, for each shape of load: how many deltas a second a journal takes in groups, how long
a commit takes (p50 and p99, from append to durable), and how much CPU the event loop's own thread
spends for each batch, everything included: the append, waking the writer, waking the waiter, and
the load's own sleeps, which the memory journal's rows show alone.

And the load of a full server: 500 sessions of 20 deltas a second, each batch one delta that nobody
waits for, from `create` to the terminal event: CPU for each delta, on the loop's thread, on the
journal's threads, and in Redis. It needs redis-server.

    python -m benchmarks.journal            # prints a table, writes benchmarks/results/
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing

from benchmarks.results import write_result
from engine.events import Completed, Delta, Entry, Part
from engine.journal.encoding import encode
from engine.journal.interface import Batch, Epoch, Journal, SessionRecord
from engine.journal.memory import MemoryJournal
from engine.journal.redis import RedisJournal
from engine.journal.sqlite import SqliteJournal
from engine.merging import merge
from engine.redis.address import parse_address

PART = Part(id="p1", target={"prompt_id": "p1"}, phase="generate", provider="simulated")
TOKEN = " token"
MERGE_BYTES = 16 * 1024
LAG_S = 0.05
"""How often an outlet hands its deltas over: `Limits.journal_lag_s`."""
SECONDS = 2.0
KINDS = ("sqlite", "redis-everysec", "redis-always", "memory")
"""The journals; Redis by how it syncs its file: each second, or before each answer."""


def record(session_id: str) -> SessionRecord:
    return SessionRecord(
        session_id=session_id,
        protocol="generate",
        owner="ann",
        command={},
        created_at=0.0,
        updated_at=0.0,
        epochs=(Epoch(name="e", after_seq=0),),
    )


def make_batch(session_id: str, after_seq: int, deltas: int) -> Batch:
    run = [
        Entry(seq=after_seq + n, at=0.0, event=Delta(part=PART, text=TOKEN, tokens=after_seq + n))
        for n in range(1, deltas + 1)
    ]
    return Batch(session_id=session_id, epoch="e", entries=merge(run, MERGE_BYTES))


class Load:
    """Some sessions that write; what they saw."""

    def __init__(self, journal: Journal, sessions: int, deltas: int, pause_s: float) -> None:
        self.journal = journal
        self.sessions = sessions
        self.deltas = deltas
        self.pause_s = pause_s
        self.batches = 0
        self.latencies_s: list[float] = []
        self.making_s = 0.0

    async def run(self) -> dict[str, Any]:
        for index in range(self.sessions):
            await self.journal.create(record(f"s{index}"))
        began, cpu_began = time.perf_counter(), time.thread_time()
        async with trio.open_nursery() as nursery:
            for index in range(self.sessions):
                nursery.start_soon(self._write, f"s{index}", index / self.sessions)
        took_s, cpu_s = time.perf_counter() - began, time.thread_time() - cpu_began
        cuts = statistics.quantiles(self.latencies_s, n=100)
        return {
            "sessions": self.sessions,
            "deltas_per_batch": self.deltas,
            "pause_ms": self.pause_s * 1000,
            "batches_per_s": round(self.batches / took_s),
            "deltas_per_s": round(self.batches * self.deltas / took_s),
            "commit_p50_ms": round(cuts[49] * 1000, 2),
            "commit_p99_ms": round(cuts[98] * 1000, 2),
            # The load's own work, measured beside, is taken off: making and merging the deltas.
            "loop_cpu_us_per_batch": round((cpu_s - self.making_s) / self.batches * 1e6, 1),
        }

    async def _write(self, session_id: str, phase: float) -> None:
        await trio.sleep(phase * self.pause_s)
        until = trio.current_time() + SECONDS
        seq = 0
        while trio.current_time() < until:
            began = time.thread_time()
            batch = make_batch(session_id, seq, self.deltas)
            self.making_s += time.thread_time() - began
            seq += self.deltas
            appended = time.perf_counter()
            commit = self.journal.append_nowait(batch)
            await commit.wait()
            self.latencies_s.append(time.perf_counter() - appended)
            self.batches += 1
            await trio.sleep(self.pause_s)


def threads_cpu_s() -> float:
    """Give the CPU time of this process's other threads."""
    return time.process_time() - time.thread_time()


async def stream(kind: str, sessions: int, rate: int, seconds: int) -> dict[str, Any]:
    """Run whole sessions that write a delta at a time, evenly spread, and wait only at the end."""
    deltas = rate * seconds
    logs = [[make_batch(f"s{index}", seq, 1) for seq in range(deltas)] for index in range(sessions)]
    end = Entry(seq=deltas + 1, at=0.0, event=Completed(data={"text": TOKEN * deltas}))
    ticks = 10  # in which a round of all sessions is spread
    waits_s: list[float] = []
    async with open_journal(kind) as journal, trio.open_nursery() as nursery:
        for index in range(sessions):
            nursery.start_soon(journal.create, record(f"s{index}"))
        await trio.testing.wait_all_tasks_blocked()
        cpu_s, threads_s, redis_s = time.thread_time(), threads_cpu_s(), server_cpu_s()
        began = trio.current_time()
        for seq in range(deltas):
            for tick in range(ticks):
                await trio.sleep_until(began + (seq + tick / ticks) / rate)
                for log in logs[tick::ticks]:
                    journal.append_nowait(log[seq])
            appended = trio.current_time()
            await journal.append_nowait(Batch(session_id="s0", epoch="e", state="running")).wait()
            waits_s.append(trio.current_time() - appended)
        for index in range(sessions):
            batch = Batch(session_id=f"s{index}", epoch="e", entries=(end,), state="completed")
            commit = journal.append_nowait(batch)
        await commit.wait()
        count = sessions * deltas
        cuts = statistics.quantiles(waits_s, n=100)
        return {
            "journal": kind,
            "sessions": sessions,
            "deltas_per_s_and_session": rate,
            "deltas": count,
            "loop_cpu_us_per_delta": round((time.thread_time() - cpu_s) / count * 1e6, 2),
            "threads_cpu_us_per_delta": round((threads_cpu_s() - threads_s) / count * 1e6, 2),
            "redis_cpu_us_per_delta": round((server_cpu_s() - redis_s) / count * 1e6, 2),
            "milestone_p50_ms": round(cuts[49] * 1000, 2),
            "milestone_p99_ms": round(cuts[98] * 1000, 2),
        }


@asynccontextmanager
async def open_journal(kind: str) -> AsyncGenerator[Journal, None]:
    """Run an empty journal for as long as the block lasts."""
    if kind == "memory":
        yield MemoryJournal()
        return
    with tempfile.TemporaryDirectory(dir=".") as name, ExitStack() as stack:
        folder = Path(name)
        journal: SqliteJournal | RedisJournal
        if kind == "sqlite":
            journal = SqliteJournal(folder / "journal.sqlite3")
        else:
            url = stack.enter_context(redis_server(folder, kind.partition("-")[2]))
            journal = RedisJournal(parse_address(url))
        async with trio.open_nursery() as nursery:
            await nursery.start(journal.run)
            yield journal
            nursery.cancel_scope.cancel()


@contextmanager
def redis_server(folder: Path, sync: str) -> Iterator[str]:
    """Run a Redis of our own, which syncs its file as `sync` says; gives its URL."""
    path = folder.resolve() / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--dir", str(path.parent)]
    options += ["--save", "", "--appendonly", "yes", "--appendfsync", sync]
    with subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL) as process:
        while not path.exists():
            assert process.poll() is None, "redis-server ended by itself"
            time.sleep(0.01)
        SERVERS.append(process.pid)
        try:
            yield f"unix://{path}"
        finally:
            SERVERS.remove(process.pid)
            process.terminate()


SERVERS: list[int] = []
"""The Redis that runs, by pid: its CPU is a part of what the journal costs."""


def server_cpu_s() -> float:
    """Give the CPU time of Redis."""
    total = 0.0
    for pid in SERVERS:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


async def measure(kind: str, sessions: int, deltas: int, pause_s: float) -> dict[str, Any]:
    async with open_journal(kind) as journal:
        found = await Load(journal, sessions, deltas, pause_s).run()
    return {"journal": kind, **found}


def median_us(run: Any, times: int = 2000) -> float:
    """Give the median of many single runs, in microseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken) * 1e6, 2)


async def appending_alone() -> dict[str, float]:
    """Time the synchronous steps: what the numbering step pays, and what is left to the thread."""
    batch = make_batch("s", 0, 10)
    deltas = [Entry(seq=n, at=0.0, event=Delta(part=PART, text=TOKEN)) for n in range(1, 101)]
    async with open_journal("sqlite") as journal:
        await journal.create(record("s"))
        append_us = median_us(lambda: journal.append_nowait(batch))
    return {
        "append_nowait_us": append_us,
        "encode_a_batch_of_10_us": median_us(lambda: encode(batch.entries)),
        "merge_us_per_delta": round(median_us(lambda: merge(deltas, MERGE_BYTES)) / 100, 3),
    }


async def main() -> None:
    shapes = (
        (1, 1, 0.0),  # a lone milestone: how long until it may be seen
        (100, 5, LAG_S),  # a hundred fast voices
        (1000, 2, LAG_S),  # many voices
        (200, 10, 0.0),  # as fast as it goes
    )
    # The memory journal beside it: what the load itself costs, its sleeps and its tasks' turns.
    rows = [await measure(kind, *shape) for shape in shapes for kind in KINDS]
    rows += [await stream(kind, sessions=500, rate=20, seconds=10) for kind in KINDS]
    steps = await appending_alone()
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    print("  ".join(f"{key} {value}" for key, value in steps.items()))
    path = write_result(
        "journal",
        {"question": "What does the journal cost per delta?", "rows": rows, "steps": steps},
    )
    print(path)


if __name__ == "__main__":
    trio.run(main)
