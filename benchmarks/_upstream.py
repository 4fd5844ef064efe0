"""An OpenAI-compatible upstream in a process of its own: it streams, and notes who leaves when.

It is no benchmark by itself; `benchmarks.cancel` runs it. It prints its port, serves until its
stdin ends, and then prints what it saw as one line of JSON: for each request of which session, and
the moment at which its client had closed the connection, on the clock that all processes share.

    python -m benchmarks._upstream --pace-s 0.05 --words 2000
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time

import trio

from engine.testing.openai_server import JSON, open_openai_server

SESSION = "session number %d ."
"""How a request's text names its session."""


def session_of(request: JSON) -> int:
    """Find out whose request it is."""
    found = re.search(SESSION.replace("%d", r"(\d+)").replace(".", r"\."), json.dumps(request))
    assert found is not None, request
    return int(found[1])


async def serve(words: int, pace_s: float) -> None:
    text = "word " * words
    async with open_openai_server(answer=lambda request: text, pace_s=pace_s) as server:
        print(server.port, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        # trio counts from a point of its own, at the same pace.
        offset_s = time.monotonic() - trio.current_time()
        seen = [
            {
                "session": session_of(request.json),
                "gone_at": None if request.gone_at is None else request.gone_at + offset_s,
            }
            for request in server.requests
        ]
        print(json.dumps(seen), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--words", type=int, default=2000)
    parser.add_argument("--pace-s", type=float, default=0.05)
    args = parser.parse_args()
    trio.run(serve, args.words, args.pace_s)


if __name__ == "__main__":
    main()
