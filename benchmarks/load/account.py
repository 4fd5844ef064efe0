"""One request's account: what its client meant, did and heard, and what follows for the measures.

Pure: every moment is told to it, in seconds on one clock that the worker's processes share. It is
on the way of every token, so what can wait is reckoned at the end.

States: open -> final | error | cancelled | unfinished | stopped | unsure, and never back. After
`cancelled` it listens for a moment: a token that comes then is what a cancel must prevent.
"""

from __future__ import annotations

from array import array
from typing import Literal

from benchmarks.load.adapters.interface import Reading
from benchmarks.load.limits import CANCEL_WITHIN_S
from benchmarks.load.measures import Cancelled, Evenness, Measures
from benchmarks.load.plan import Slo
from benchmarks.load.sequence import Sequence

State = Literal["open", "final", "error", "cancelled", "unfinished", "stopped", "unsure"]

END: dict[str, State] = {"final": "final", "error": "error", "cancelled": "cancelled"}

MAX_PUNCTUALITY = 100_000
"""Messages of a part whose lateness is kept until its end; 800 KB at the most."""


class Part:
    """One of the texts of a request; most have one."""

    __slots__ = ("first_at", "last_at", "offsets", "tokens")

    def __init__(self, now: float) -> None:
        self.first_at = self.last_at = now
        self.tokens = 0
        self.offsets = array("d")
        """When each message came, less when its last token was due."""

    @property
    def per_token_s(self) -> float:
        """The mean time of a token after the first one; 0 where there is but one."""
        return (self.last_at - self.first_at) / (self.tokens - 1) if self.tokens > 1 else 0.0


class Account:
    """One request.

    Args:
        measures: what it adds to.
        number: which request.
        intended_at: when it was meant to start.
        run_began_at: where the run's seconds count from.
        slo: the limits that it is judged by.
        pace_per_s: the server's tokens a second, where lateness is wanted.
    """

    def __init__(
        self,
        measures: Measures,
        number: int,
        intended_at: float,
        *,
        run_began_at: float = 0.0,
        slo: Slo | None = None,
        pace_per_s: float | None = None,
    ) -> None:
        self.state: State = "open"
        self.tokens = 0
        self.sequence = Sequence()
        self._measures = measures
        self._number = number
        self._intended_at = intended_at
        self._began_at = run_began_at
        self._slo = slo or Slo()
        self._pace_s = 1 / pace_per_s if pace_per_s else 0.0
        self._started_at: float | None = None
        self._first_at: float | None = None
        self._ended_at: float | None = None
        self._longest_gap_s = 0.0
        self._is_numbered = False
        self._cancelled_at: float | None = None
        self._silent_at = 0.0
        self._tokens_after_cancel = 0
        self._tokens_after_end = 0
        self._lost_at: float | None = None
        self._asked_again_at = 0.0
        self._longest_resume_s = 0.0
        self._code = ""
        self._told_tokens = 0
        self._parts: dict[str, Part] = {}

    # ---- what its client does --------------------------------------------------------------------

    def start(self, now: float) -> None:
        """The request is being sent."""
        self._started_at = now
        self._measures.counts.started += 1
        self._measures.second(now - self._began_at).started += 1
        self._measures.record("start_delay", now - self._intended_at)

    def cancel(self, now: float) -> None:
        """The cancel is being sent."""
        if self.state == "open" and self._cancelled_at is None:
            self._cancelled_at = self._silent_at = now
            self._measures.counts.cancels += 1

    def hang_up(self, now: float) -> None:
        """The connection was closed on purpose: that is the cancel, and its end."""
        self.cancel(now)
        self._end("cancelled", now)

    def lose(self, now: float) -> None:
        """The connection is gone, and the client means to come back."""
        if self.state == "open":
            self._lost_at = now
            self._measures.counts.losses += 1

    def ask_again(self, now: float) -> None:
        """The client asks to go on."""
        self._asked_again_at = now

    def fail(self, code: str, now: float) -> None:
        """It broke, without a word of the server."""
        if self.state == "open":
            self._code = code
            self._end("error", now)

    def give_up(self, state: Literal["unfinished", "stopped", "unsure"], now: float) -> None:
        """The run does not wait any longer."""
        if self.state == "open":
            self._end(state, now)

    # ---- what it hears ---------------------------------------------------------------------------

    def hear(self, reading: Reading, now: float) -> None:
        """Take one message."""
        if reading.seq:
            self._is_numbered = True
            is_new = self.sequence.take(reading.epoch, reading.first_seq, reading.seq)
            if self._lost_at is not None:
                self._resume(now)
            if not is_new:
                return
        kind = reading.kind
        if kind == "token":
            self._token(reading, now)
        elif kind == "first":
            if self._first_at is None:
                self._first_at = now
        elif kind != "other" and self.state == "open":
            self._code = reading.code
            self._told_tokens = reading.told_tokens
            if kind == "cancelled" and reading.upstream_closed_ms is not None:
                self._measures.record("cancel_to_upstream_told", reading.upstream_closed_ms / 1000)
            self._end(END[kind], now)

    def _token(self, reading: Reading, now: float) -> None:
        if self.state != "open":
            self._tokens_after_end += reading.tokens
            return
        if self._first_at is None:
            self._first_at = now
        part = self._parts.get(reading.part)
        if part is None:
            part = self._parts[reading.part] = Part(now)
        else:
            gap_s = now - part.last_at
            part.last_at = now
            self._measures.record("itl", gap_s)
            if gap_s > self._longest_gap_s:
                self._longest_gap_s = gap_s
        part.tokens += reading.tokens
        self.tokens += reading.tokens
        if self._pace_s and len(part.offsets) < MAX_PUNCTUALITY:
            part.offsets.append(now - part.tokens * self._pace_s)
        if self._cancelled_at is not None:
            self._silent_at = now
            self._tokens_after_cancel += reading.tokens
        self._measures.second(now - self._began_at).tokens += reading.tokens

    def _resume(self, now: float) -> None:
        assert self._lost_at is not None
        took_s = now - self._lost_at
        self._lost_at = None
        self._longest_resume_s = max(self._longest_resume_s, took_s)
        self._measures.counts.resumed += 1
        self._measures.record("resume", took_s)
        self._measures.record("resume_answer", now - self._asked_again_at)

    def _end(self, state: State, now: float) -> None:
        self.state = state
        self._ended_at = now

    # ---- what follows ----------------------------------------------------------------------------

    def conclude(self) -> None:
        """Put everything into the measures; called once, when nothing more can come."""
        if self._started_at is None or self._ended_at is None:
            return
        counts = self._measures.counts
        self._believe_the_server()
        counts.tokens += self.tokens
        counts.numbered += self._is_numbered
        counts.lost += self.sequence.lost
        counts.doubled += self.sequence.doubled
        second = self._measures.second(self._ended_at - self._began_at)
        second.ended += 1
        match self.state:
            case "final":
                counts.completed += 1
            case "cancelled":
                counts.cancelled += 1
            case "error":
                self._measures.fail(self._code or "error")
                second.failed += 1
            case "unfinished":
                counts.unfinished += 1
            case "stopped":
                counts.stopped += 1
            case "unsure":
                counts.unsure += 1
        self._times(self._started_at, self._ended_at)
        self._cancelling(self._ended_at)
        self._judge(self._started_at, self._ended_at)

    def _believe_the_server(self) -> None:
        """Take its own count where messages do not tell how many tokens they bring.

        Parts get their share of it: a message of one brings as much as a message of another.
        """
        if self._told_tokens > self.tokens > 0:
            factor = self._told_tokens / self.tokens
            for part in self._parts.values():
                part.tokens = round(part.tokens * factor)
            self.tokens = self._told_tokens

    def _times(self, started_at: float, ended_at: float) -> None:
        record = self._measures.record
        if self._first_at is not None:
            record("ttft", self._first_at - started_at)
            record("ttft_intended", self._first_at - self._intended_at)
        for part in self._parts.values():
            if part.tokens > 1:
                record("tpot", part.per_token_s)
            if part.offsets:
                punctual = min(part.offsets)
                for offset in part.offsets:
                    record("lateness", offset - punctual)
        if self.state != "final":
            return
        record("e2e", ended_at - started_at)
        record("e2e_intended", ended_at - self._intended_at)
        if self.tokens and ended_at > started_at:
            self._measures.requests_evenness.take(self.tokens / (ended_at - started_at))
        if len(self._parts) > 1:
            shares = Evenness()
            for part in self._parts.values():
                shares.take(part.tokens)
            self._measures.parts_evenness.take(shares.index or 1.0)

    def _cancelling(self, ended_at: float) -> None:
        if self._cancelled_at is None:
            return
        counts = self._measures.counts
        counts.tokens_after_cancel += self._tokens_after_cancel + self._tokens_after_end
        silence_s = self._silent_at - self._cancelled_at
        end_s = ended_at - self._cancelled_at
        within_s = CANCEL_WITHIN_S if self._slo.cancel_ms is None else self._slo.cancel_ms / 1000
        if self.state == "final" and end_s <= within_s:
            counts.raced += 1
        elif self.state != "stopped":
            self._measures.record("cancel_to_silence", silence_s)
            self._measures.record("cancel_to_end", end_s)
            counts.uncancelled += end_s > within_s or self._tokens_after_end > 0
        self._measures.cancelled.append(
            Cancelled(
                number=self._number,
                sent_at=self._cancelled_at,
                counts=self.state == "cancelled",
            )
        )

    def _judge(self, started_at: float, ended_at: float) -> None:
        """Apply the stated limits, from the intended start."""
        if self.state in ("stopped", "unsure"):
            return
        first_s = (self._first_at or ended_at) - self._intended_at
        per_token_s = max((part.per_token_s for part in self._parts.values()), default=0.0)
        cancel_s = 0.0 if self._cancelled_at is None else ended_at - self._cancelled_at
        took_s = {
            "ttft_ms": first_s,
            "itl_ms": self._longest_gap_s,
            "tpot_ms": per_token_s,
            "e2e_ms": ended_at - self._intended_at,
            "cancel_ms": cancel_s,
            "resume_ms": self._longest_resume_s,
        }
        stated = {name: getattr(self._slo, name) for name in took_s}
        broken = [
            name
            for name, limit_ms in stated.items()
            if limit_ms is not None and took_s[name] * 1000 > limit_ms
        ]
        for name in broken:
            self._measures.broken[name] = self._measures.broken.get(name, 0) + 1
        if any(limit_ms is not None for limit_ms in stated.values()):
            self._measures.counts.judged += 1
            ended_well = self.state in ("final", "cancelled")
            self._measures.counts.good += ended_well and not broken
