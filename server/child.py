"""One process of `antiphon serve --processes N`; started by server/processes.py, never by hand.

It reads its settings from stdin, one line of JSON, so that no secret stands in a command line. The
rest of stdin says whether the parent lives: when it ends, the process stops as by SIGTERM. Must not
import the engine.
"""

from __future__ import annotations

import os
import signal
import sys

import trio

from server.commands.serve import run_one
from server.serving import serve_until_told
from server.settings import Settings


async def _serve(settings: Settings) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_parent)
        await serve_until_told(settings)
        nursery.cancel_scope.cancel(reason="the server has ended")


async def _watch_parent() -> None:
    while True:
        await trio.lowlevel.wait_readable(sys.stdin)
        if not os.read(sys.stdin.fileno(), 1024):
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _settings() -> Settings:
    line = bytearray()
    while (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):  # and not one byte more
        line += byte
    return Settings.model_validate_json(bytes(line))


if __name__ == "__main__":
    sys.exit(run_one(_settings(), _serve))
