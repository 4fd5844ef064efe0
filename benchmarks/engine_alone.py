"""What does the engine alone cost, per delta and per session, beside LangGraph in the same run?

No sockets. Ours: a session of the real generate pipeline on a provider that gives a fixed text
without pauses (what it costs to make text up is nobody's streaming), read by one subscription, with
everything on (supervision, log, journal, view, budget). LangGraph: a
graph of three nodes that stream custom values, read by `astream(stream_mode="custom")`; it keeps no
log and no journal. CPU of the whole process, worker threads included, in µs; rounds take turns.

    python -m benchmarks.engine_alone [--rounds 7]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from benchmarks.results import write_result
from engine import (
    Journal,
    Limits,
    MemoryJournal,
    SqliteJournal,
    all_pipelines,
    open_engine,
)
from engine.providers.interface import Delta, GenerationRequest, ProviderHealth, ProviderInfo
from engine.testing.scripted_provider import ScriptedProvider

DELTAS = 20_000
"""In the measurement of a delta: one phase, one lane."""
SHORT = 20
"""Deltas of each phase in the measurement of a session."""
SESSIONS = 100
PHASES = ["prima-materia", "solutio", "coagulatio"]


class Fixed(ScriptedProvider):
    """A provider, and the directory of it, whose answers are so many equal tokens."""

    default_name = "fixed"
    default_model_name = ""

    def __init__(self, deltas: int) -> None:
        super().__init__(name="fixed")
        self._deltas = deltas

    @asynccontextmanager
    async def stream(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Delta]]:
        await trio.lowlevel.checkpoint()
        yield self._tokens()

    async def _tokens(self) -> AsyncIterator[Delta]:
        token = Delta(text=" token", tokens=1)
        for number in range(self._deltas):
            if not number % 64:
                await trio.lowlevel.checkpoint()
            yield token
        yield Delta(finish="stop")

    def get(self, name: str) -> ScriptedProvider:
        return self

    def resolve(self, text: str) -> tuple[ScriptedProvider, str]:
        return self, "script"

    def infos(self) -> tuple[ProviderInfo, ...]:
        return (self.info(),)

    def health(self) -> tuple[ProviderHealth, ...]:
        return ()


async def our_sessions(journal: Journal, count: int, phases: Sequence[str], deltas: int) -> None:
    """Run sessions one after the other, each read to its end."""
    limits = Limits()
    providers = Fixed(deltas)
    request = {"input": "measure", "phases": list(phases), "count": 1, "max_tokens": 32_000}
    async with open_engine(
        providers=providers, pipelines=all_pipelines(), journal=journal, limits=limits
    ) as engine:
        for _ in range(count):
            session = await engine.start("generate", {"request": request})
            with await engine.subscribe(session.session_id) as subscription:
                while await subscription.receive():
                    pass


async def ours(kind: str, count: int, phases: Sequence[str], deltas: int) -> float:
    """Give the CPU seconds of it, the opening of the journal left out."""
    if kind == "memory":
        begin = time.process_time()
        await our_sessions(MemoryJournal(), count, phases, deltas)
        return time.process_time() - begin
    with tempfile.TemporaryDirectory() as folder:
        journal = SqliteJournal(Path(folder) / "journal.sqlite3")
        async with trio.open_nursery() as nursery:
            await nursery.start(journal.run)
            begin = time.process_time()
            await our_sessions(journal, count, phases, deltas)
            used_s = time.process_time() - begin
            nursery.cancel_scope.cancel()
    return used_s


def langgraph(count: int, nodes: int, deltas: int, *, checkpoints: bool) -> float:
    """Give the CPU seconds of LangGraph's runs."""
    from langgraph.config import get_stream_writer
    from langgraph.graph import END, START, StateGraph

    async def node(state: dict[str, Any]) -> dict[str, Any]:
        write = get_stream_writer()
        for number in range(deltas):
            write({"content": " token", "tokens": number})
            if checkpoints:
                await asyncio.sleep(0)
        return {"text": "done"}

    graph: Any = StateGraph(dict)
    names = [f"phase{number}" for number in range(nodes)]
    for name in names:
        graph.add_node(name, node)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    app = graph.compile()

    async def run() -> float:
        begin = time.process_time()
        for _ in range(count):
            async for _ in app.astream({"text": ""}, stream_mode="custom"):
                pass
        return time.process_time() - begin

    return asyncio.run(run())


def measured() -> dict[str, Callable[[], float]]:
    """Name what is measured, each with a function that gives µs."""

    def per_delta(kind: str) -> float:
        return trio.run(ours, kind, 1, PHASES[:1], DELTAS) / DELTAS * 1e6

    def per_session(kind: str) -> float:
        return trio.run(ours, kind, SESSIONS, PHASES, SHORT) / SESSIONS * 1e6

    return {
        "ours, memory: a delta": lambda: per_delta("memory"),
        "ours, sqlite: a delta": lambda: per_delta("sqlite"),
        "langgraph: a delta": lambda: langgraph(1, 1, DELTAS, checkpoints=False) / DELTAS * 1e6,
        "langgraph, yielding: a delta": lambda: (
            langgraph(1, 1, DELTAS, checkpoints=True) / DELTAS * 1e6
        ),
        "ours, memory: a session": lambda: per_session("memory"),
        "ours, sqlite: a session": lambda: per_session("sqlite"),
        "langgraph: a run of three nodes": lambda: (
            langgraph(SESSIONS, 3, SHORT, checkpoints=False) / SESSIONS * 1e6
        ),
    }


def main() -> None:
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 7
    rows: dict[str, list[float]] = {name: [] for name in measured()}
    for number in range(rounds + 1):  # the first one warms up
        for name, function in measured().items():
            value = function()
            if number:
                rows[name].append(round(value, 3))
    medians = {name: round(statistics.median(values), 3) for name, values in rows.items()}
    ratios = {
        "a delta, sqlite / langgraph": round(
            medians["ours, sqlite: a delta"] / medians["langgraph: a delta"], 3
        ),
        "a session, sqlite / langgraph": round(
            medians["ours, sqlite: a session"] / medians["langgraph: a run of three nodes"], 3
        ),
    }
    for name, value in (*medians.items(), *ratios.items()):
        print(f"{name:36} {value}")
    print(
        write_result(
            "engine_alone",
            {
                "question": "What does the engine alone cost, per delta and per session?",
                "unit": "µs of CPU of the whole process",
                "deltas": DELTAS,
                "deltas_per_phase_of_a_session": SHORT,
                "medians": medians,
                "ratios": ratios,
                "rows": rows,
            },
        )
    )


if __name__ == "__main__":
    main()
