"""A cancel that was accepted: what it has to prove, gathered as it happens.

The order is fixed: accepted, upstream closed, partial texts and usage written, terminal event. Must
not import the session.
"""

from __future__ import annotations

from engine.events import CancelReason, Receipt


class Stop:
    """One accepted cancel, of a session or of a single part.

    Args:
        reason: who or what wanted it.
        accepted_at_seq: the last offset that was numbered at that moment.
        now: the moment, on trio's clock.
        open_upstreams: how many provider streams were open at that moment.
    """

    __slots__ = (
        "_at",
        "accepted_at_seq",
        "closed_ms",
        "message",
        "open_upstreams",
        "reason",
        "tokens",
    )

    def __init__(
        self,
        reason: CancelReason,
        *,
        accepted_at_seq: int,
        now: float,
        open_upstreams: int,
        message: str = "",
    ) -> None:
        self.reason = reason
        self.message = message
        self.accepted_at_seq = accepted_at_seq
        self.open_upstreams = open_upstreams
        self.closed_ms: float | None = None
        self.tokens = 0
        """Tokens that were delivered since, and dropped."""
        self._at = now

    def upstream_closed(self, now: float) -> None:
        """Note that one more provider stream is closed."""
        self.open_upstreams -= 1
        self.closed_ms = round((now - self._at) * 1000, 3)

    def receipt(self) -> Receipt:
        """Give the proof."""
        return Receipt(
            accepted_at_seq=self.accepted_at_seq,
            upstream_closed_ms=self.closed_ms,
            tokens_after_accept=self.tokens,
        )
