"""How long does a server take to come back with 1,000 interrupted sessions?

A real server is killed (-9) while it runs them, and started again: the time until it listens,
beside that of a start with an empty journal, and until every session has gone on.

    python -m benchmarks.recovery            # prints, writes benchmarks/results/
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import trio

from benchmarks.results import write_result
from server.client import Client
from tests.system.server_process import ServerProcess

PER_CONNECTION = 200
SETTINGS: dict[str, object] = {
    "sim_ttft_ms": 10,
    "sim_tokens_per_s": 1,
    "sim_output_tokens": 600,
}


async def start_some(client: Client, count: int, found: list[str]) -> None:
    """Start detached sessions on one connection, and wait until each has said something."""
    mine: set[str] = set()
    async with client.connect("/stream") as connection:
        for index in range(count):
            request = {"request": {"input": f"session {index}", "count": 3}, "detached": True}
            await connection.send_message(json.dumps(request))
        while len(mine) < count:
            message = json.loads(await connection.get_message())
            if message["type"] == "chunk":
                mine.add(message["session_id"])
    found += mine


async def wait_gone_on(client: Client, sessions: list[str]) -> None:
    """Wait until each session has begun its interrupted part anew."""
    waiting = set(sessions)
    async with client.connect("/stream") as connection:
        for session_id in sessions:
            subscribe = {"type": "subscribe", "session_id": session_id}
            await connection.send_message(json.dumps(subscribe))
        while waiting:
            message = json.loads(await connection.get_message())
            if message["type"] == "attempt":
                waiting.discard(message["session_id"])


async def measure(count: int, folder: Path) -> dict[str, Any]:
    server = ServerProcess(folder / "data", **SETTINGS)  # type: ignore[arg-type]
    began = trio.current_time()
    await server.start()
    empty_s = trio.current_time() - began
    try:
        client = Client(server.url)
        sessions: list[str] = []
        async with trio.open_nursery() as nursery:
            for _ in range(count // PER_CONNECTION):
                nursery.start_soon(start_some, client, PER_CONNECTION, sessions)
        await trio.sleep(3)
        await server.kill()
        began = trio.current_time()
        await server.start()
        listening_s = trio.current_time() - began
        await wait_gone_on(client, sessions)
        gone_on_s = trio.current_time() - began
        return {
            "sessions": len(sessions),
            "empty_start_s": round(empty_s, 2),
            "listening_s": round(listening_s, 2),
            "all_gone_on_s": round(gone_on_s, 2),
            "recovery_ms_per_session": round((listening_s - empty_s) / len(sessions) * 1000, 3),
            "resident_mib": round(server.resident_bytes / 2**20, 1),
        }
    finally:
        with trio.CancelScope(shield=True):
            await server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=1000)
    count = parser.parse_args().sessions
    with tempfile.TemporaryDirectory() as folder:
        found = trio.run(measure, count, Path(folder))
    print(found)
    question = "How long does a server take to come back with 1,000 interrupted sessions?"
    print(write_result("recovery", {"question": question, "settings": SETTINGS, **found}))


if __name__ == "__main__":
    main()
