"""How fast is a long session replayed?

A session of 50,000 deltas, as a fast voice writes them in twenty minutes, lies in the SQLite
journal. It is read from its start: inside the process (entries and messages), and from a real
server over SSE and a WebSocket. Deltas count as they were numbered, merged or not.

    python -m benchmarks.replay              # prints, writes benchmarks/results/
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from benchmarks.results import write_result
from engine import (
    Completed,
    Delta,
    Entry,
    Part,
    PhaseStarted,
    SessionRecord,
    SqliteJournal,
    find_at_rest,
    read_at_rest,
)
from engine.journal.interface import Batch, Epoch
from engine.merging import merge
from server.client import Client
from server.protocols import all_codecs
from server.protocols.encoding import Encoder, tell
from tests.system.reading import open_sse
from tests.system.server_process import serving

DELTAS = 50_000
PART = Part(id="p", target={"prompt_id": "p"}, phase="solutio", provider="simulated", model="m")
RECORD = SessionRecord(
    session_id="long",
    protocol="generate",
    owner="",
    command={"request": {"input": "x"}},
    created_at=time.time(),
    updated_at=time.time(),
    epochs=(Epoch(name="e", after_seq=0),),
)


async def write(journal: SqliteJournal) -> None:
    """Write the session as an engine does: two deltas in a batch."""
    await journal.create(RECORD)
    first = Entry(seq=1, at=time.time(), event=PhaseStarted(phase="solutio"))
    batches = [Batch(session_id="long", epoch="e", entries=(first,), state="running")]
    for seq in range(2, DELTAS + 2, 2):
        pair = [
            Entry(seq=each, at=time.time(), event=Delta(part=PART, text=" token", tokens=each))
            for each in (seq, seq + 1)
        ]
        batches.append(Batch(session_id="long", epoch="e", entries=merge(pair, 16384)))
    last = Entry(seq=DELTAS + 2, at=time.time(), event=Completed(data={}))
    batches.append(Batch(session_id="long", epoch="e", entries=(last,), state="completed"))
    for number, batch in enumerate(batches):
        commit = journal.append_nowait(batch)
        if number % 200 == 0 or batch is batches[-1]:
            await commit.wait()


async def read_here(journal: SqliteJournal) -> float:
    encoder = Encoder(all_codecs()[0], tell(RECORD))
    began = time.perf_counter()
    async for entry in read_at_rest(journal, await find_at_rest(journal, "long")):
        encoder.encode(entry)
    return time.perf_counter() - began


async def read_sse(port: int) -> tuple[float, int]:
    began, size = time.perf_counter(), 0
    async with open_sse(port, "/api/sessions/long/events") as reader:
        async for data in reader.chunks():
            size += len(data)
    return time.perf_counter() - began, size


async def read_socket(url: str) -> tuple[float, int]:
    began, size = time.perf_counter(), 0
    async with Client(url).connect("/stream") as connection:
        await connection.send_message(json.dumps({"type": "subscribe", "session_id": "long"}))
        while True:
            message = await connection.get_message()
            size += len(message)
            if f'"seq":{DELTAS + 2}' in str(message[-400:]):
                return time.perf_counter() - began, size


async def measure(folder: Path) -> dict[str, Any]:
    journal = SqliteJournal(folder / "data" / "journal.sqlite3")
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run)
        await write(journal)
        here_s = await read_here(journal)
        nursery.cancel_scope.cancel()
    rows = {"in the process": {"seconds": round(here_s, 3), "deltas_per_s": int(DELTAS / here_s)}}
    async with serving(folder / "data") as server:
        for name, (took_s, size) in (
            ("SSE", await read_sse(server.port)),
            ("WebSocket", await read_socket(server.url)),
        ):
            rows[name] = {
                "seconds": round(took_s, 3),
                "deltas_per_s": int(DELTAS / took_s),
                "bytes": size,
            }
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = trio.run(measure, Path(folder))
    for name, row in rows.items():
        print(f"{name:16} {row}")
    question = "How fast is a long session replayed?"
    print(write_result("replay", {"question": question, "deltas": DELTAS, "rows": rows}))


if __name__ == "__main__":
    main()
