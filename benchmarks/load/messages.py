"""What the parent and its workers say to each other: one JSON object a line, over pipes.

parent: Job ... Go ... [Stop]          worker: Ready ... Progress* ... Done
"""

from __future__ import annotations

import msgspec

from benchmarks.load.measures import Saved
from benchmarks.load.plan import Plan


class Job(msgspec.Struct, frozen=True, kw_only=True, tag="job"):
    """A worker's share of a plan."""

    plan: Plan
    share: int
    of: int
    headers: tuple[tuple[str, str], ...] = ()
    """Apart from the plan, which is shown in reports: here are the secrets."""


class Go(msgspec.Struct, frozen=True, kw_only=True, tag="go"):
    """The run begins at this moment, by the clock that all processes share."""

    at: float


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """The run ends now; say what there is."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """All connections that are opened before the run are open."""


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """How far a worker is."""

    started: int = 0
    ended: int = 0
    open: int = 0
    failed: int = 0
    tokens: int = 0

    def plus(self, other: Progress) -> Progress:
        """Give the sum of two workers'."""
        return Progress(
            **{
                name: getattr(self, name) + getattr(other, name)
                for name in Progress.__struct_fields__
            }
        )


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker itself needed: how far its own measures can be believed."""

    cpu_s: float
    wall_s: float
    lag_p99_ms: float
    """How late its loop was for a timer."""
    lag_max_ms: float

    @property
    def cpu_share(self) -> float:
        """Of one core."""
        return self.cpu_s / self.wall_s if self.wall_s else 0.0


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """A worker's end."""

    saved: Saved
    use: Use


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """A worker cannot do its job; nobody's load was sent."""

    why: str


ToWorker = Job | Go | Stop
FromWorker = Ready | Progress | Done | Failed

_encoder = msgspec.json.Encoder()
to_worker = msgspec.json.Decoder(ToWorker)
from_worker = msgspec.json.Decoder(FromWorker)


def line(message: ToWorker | FromWorker) -> bytes:
    """Encode a message as a line."""
    return _encoder.encode(message) + b"\n"
