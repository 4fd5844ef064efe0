"""Ends the process by force when its time is over: the promise that nothing else can keep.

A drain ends in time whoever stalls. Tasks can be cancelled, but a thread that waits for a disk
cannot, and trio waits for it; so the last word has a thread that waits for nobody. Nothing is lost
by it: what anybody has seen as done was committed before, as with a crash at this moment.

Must not import trio: it has to work when the event loop does not.
"""

from __future__ import annotations

import os
import threading

EXIT_CODE = 0
"""The stop was asked for, and came in time; what stalled is said on stderr."""

MESSAGE = "antiphon: the time to stop is over and something still stalls: ending all the same\n"


def end_process(after_s: float) -> None:
    """Have the process end, at the latest, after this many seconds.

    A process that ends by itself before is not disturbed. Called twice, the earlier time counts.
    """
    timer = threading.Timer(after_s, _end)
    timer.name = "last resort"
    timer.daemon = True
    timer.start()


def _end() -> None:
    # Not by a logger or print: a thread that stalls may hold their locks.
    os.write(2, MESSAGE.encode())
    os._exit(EXIT_CODE)
