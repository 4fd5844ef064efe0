"""A process that writes to a journal until it is killed, and says what was acknowledged.

Usage: `journal_writer.py FILE LIFE`. Each line that it prints is `SESSION SEQ`: a batch up to this
offset was reported durable. An entry's text says its place in its batch, `place/size`.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import trio

from engine.events import Delta, Entry, Part
from engine.journal.interface import Batch, Epoch, SessionRecord
from engine.journal.sqlite import SqliteJournal

SESSIONS = 5
PART = Part(id="p1", target={"prompt_id": "p1"}, phase="generate")


async def write(journal: SqliteJournal, session_id: str, life: str) -> None:
    """Append batches of random sizes, and wait for every third."""
    if await journal.load(session_id) is None:
        epoch = Epoch(name=life, after_seq=0)
        await journal.create(
            SessionRecord(
                session_id=session_id,
                protocol="generate",
                owner="ann",
                command={},
                created_at=0.0,
                updated_at=0.0,
                epochs=(epoch,),
            )
        )
    else:
        epoch = (await journal.begin_epoch(session_id, life)).epochs[-1]
    seq = epoch.after_seq
    while True:
        size = random.randint(1, 9)
        entries = tuple(
            Entry(
                seq=seq + place,
                at=float(seq + place),
                event=Delta(part=PART, text=f"{place}/{size} " + "x" * random.randint(0, 3000)),
            )
            for place in range(1, size + 1)
        )
        seq += size
        commit = journal.append_nowait(
            Batch(session_id=session_id, epoch=life, entries=entries, notes={"seq": seq})
        )
        await journal.wait_room()
        if random.random() < 0.3:
            await commit.wait()
            os.write(1, f"{session_id} {seq}\n".encode())


async def main() -> None:
    path, life = sys.argv[1:]
    async with trio.open_nursery() as nursery:
        journal = SqliteJournal(Path(path))
        await nursery.start(journal.run)
        for index in range(SESSIONS):
            nursery.start_soon(write, journal, f"s{index}", life)


if __name__ == "__main__":
    trio.run(main)
