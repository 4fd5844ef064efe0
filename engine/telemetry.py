"""What the engine tells of its work to whoever measures it: metrics, traces, logs.

Its one rule: told at milestones and calls, never for a delta, and by plain functions: nothing is
awaited, and a listener's trouble stays its own. A listener gets facts without text: no prompt, no
answer, no person's words. Its place is beside the engine's log of events, which is for clients; it
must not import anything of the engine but its events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from typing import Literal, TypeAlias

import msgspec

from engine.events import JSON, AttemptReason, Receipt, Usage

_logger = logging.getLogger("antiphon.engine")

Outcome = Literal["completed", "failed", "cancelled", "interrupted"]
"""How something ended; `interrupted`: with its session, which was stopped or set aside."""


class SessionStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A session is at work in this process."""

    session_id: str
    protocol: str
    request_id: str | None
    is_detached: bool
    is_recovered: bool
    """Whether it goes on after a crash, a drain, or another process's end."""
    at: float
    """Unix time in seconds, as everywhere here."""


class SessionEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A session is no longer at work in this process."""

    session_id: str
    protocol: str
    state: Literal["completed", "failed", "cancelled", "set_aside"]
    """`set_aside`: without a terminal event; it goes on later or elsewhere."""
    reason: str
    """The cancel's reason, the error's code, or ""."""
    at: float
    duration_s: float
    """Since it was at work in this process."""
    usage: Usage
    receipt: Receipt | None
    """Of a cancel of the whole session."""
    open_upstreams: int
    """Streams of providers that are still open, which must be 0: nobody would close them."""


class PartStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A part is at work."""

    session_id: str
    part_id: str
    target: JSON
    phase: str
    at: float


class PartEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A part is no longer at work."""

    session_id: str
    part_id: str
    phase: str
    outcome: Outcome
    tokens_after_cancel: int
    """Tokens that came after it was cancelled alone, and were dropped."""
    at: float


class AttemptStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A part begins anew: what it had is void."""

    session_id: str
    part_id: str
    attempt: int
    reason: AttemptReason
    code: str | None
    void_tokens: int
    """Output tokens that were written in vain."""
    at: float


class CallStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A provider is asked."""

    call: int
    """Names the call in this process."""
    session_id: str
    part_id: str
    attempt: int
    provider: str
    model: str
    max_tokens: int | None
    temperature: float | None
    at: float


class CallEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's stream is closed, for whatever reason."""

    call: int
    session_id: str
    part_id: str
    provider: str
    """Who answered: with a fallback, not who was asked first."""
    model: str
    outcome: Outcome
    code: str | None
    """The error's code, of a failed one."""
    finish: str | None
    usage: Usage
    first_token_s: float | None
    """From the call to the first text; None: there was none."""
    duration_s: float
    at: float


class Undelivered(msgspec.Struct, frozen=True, kw_only=True):
    """Some time after a session's end, nobody has taken some of its text."""

    session_id: str
    protocol: str
    tokens: int


Report: TypeAlias = (
    SessionStarted
    | SessionEnded
    | PartStarted
    | PartEnded
    | AttemptStarted
    | CallStarted
    | CallEnded
    | Undelivered
)
Listener: TypeAlias = Callable[[Report], None]


class Telemetry:
    """Tells listeners; without any, `is_on` is false and nobody need put a report together."""

    def __init__(self) -> None:
        self.merged_messages = 0
        """Messages that lagging readers were spared because deltas were merged for them."""
        self._listeners: list[Listener] = []
        self._calls = count(1)

    def listen(self, listener: Listener) -> None:
        """Have a plain function told of everything from now on; it must not block."""
        self._listeners.append(listener)

    @property
    def is_on(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def new_call(self) -> int:
        """Name a call."""
        return next(self._calls)

    def tell(self, report: Report) -> None:
        """Tell everybody; what a listener raises is logged and goes no further."""
        for listener in self._listeners:
            try:
                listener(report)
            except Exception:  # the firewall around those who only look
                _logger.exception("a listener of the engine's telemetry failed")
