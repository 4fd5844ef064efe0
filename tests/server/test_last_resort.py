"""The process ends by force when its time is over, whatever its threads and tasks do."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from server.last_resort import MESSAGE

STALLED = """
import threading, time
from server.last_resort import end_process
end_process(0.2)
threading.Thread(target=time.sleep, args=(60,)).start()  # the interpreter would wait for it
time.sleep(60)
"""


def test_a_stalled_process_is_ended_in_time() -> None:
    """Neither a thread nor the main one that waits for ever keeps the process."""
    begun = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", STALLED],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert time.monotonic() - begun < 10
    assert (ended.returncode, ended.stderr) == (0, MESSAGE)


def test_a_process_that_ends_by_itself_is_left_alone() -> None:
    """The timer keeps no process alive, and its exit code is its own."""
    program = "from server.last_resort import end_process; end_process(30); raise SystemExit(3)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (ended.returncode, ended.stderr) == (3, "")
