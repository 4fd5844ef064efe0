"""Whether one session's messages came in order, each once: what is lost, what is doubled.

Messages cover offsets 1, 2, 3 … without a hole; a merged one covers several. A new epoch (the
server was killed and came back) begins at or before what was seen of the old one, never after it.
"""

from __future__ import annotations


class Sequence:
    """The offsets that one request has seen."""

    __slots__ = ("doubled", "epoch", "last", "lost")

    def __init__(self) -> None:
        self.epoch = ""
        self.last = 0
        self.lost = 0
        """Offsets that were skipped."""
        self.doubled = 0
        """Offsets that came again."""

    def take(self, epoch: str, first: int, last: int) -> bool:
        """Take the next message; whether it brought anything new."""
        if epoch != self.epoch and self.epoch:
            self.last = min(self.last, first - 1)  # what it repeats is void, by contract
        self.epoch = epoch
        repeated = min(last, self.last) - first + 1
        if repeated > 0:
            self.doubled += repeated
        if first > self.last + 1:
            self.lost += first - self.last - 1
        is_new = last > self.last
        if is_new:
            self.last = last
        return is_new
