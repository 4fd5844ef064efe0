"""An answer being played: its pieces at their pace, and the faults that strike it on the way.

The rule: it is written out as an iterator, not as a generator, because each delta passes here: what
is ready is given without a wait, and the wait for the next group is the caller's own, with nothing
in between. Must not know who is asked, but by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import trio

from engine.errors import (
    ProviderAuth,
    ProviderBadOutput,
    ProviderError,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from engine.events import Usage
from engine.providers.interface import Delta, FinishReason
from engine.providers.simulation.faults import RETRY_AFTER_S, Fault
from engine.providers.simulation.pacing import Pacer

_ENTRY_ERRORS: dict[str, tuple[type[ProviderError], str, float | None]] = {
    "rate_limit": (ProviderRateLimited, "answered 429: too many requests", RETRY_AFTER_S),
    "unavailable": (ProviderUnavailable, "answered 503: it is not available", None),
    "auth": (ProviderAuth, "did not accept the key", None),
    "refuse": (ProviderRefused, "declined the request", None),
}
"""Faults that answer the call with an error in the place of a stream."""


class Script:
    """What is played.

    Args:
        preface: deltas that come together, when the first token is due.
        pieces: the tokens that come.
        tokens: how many those are.
        breaks: whether a fault ends the answer after them.
        finish: why it ends there, if none does.
        input_tokens: what the request counts for.
    """

    __slots__ = ("breaks", "finish", "input_tokens", "pieces", "preface", "tokens")

    def __init__(
        self,
        *,
        preface: Iterable[Delta],
        pieces: Iterator[Delta],
        tokens: int,
        breaks: bool,
        finish: FinishReason,
        input_tokens: int,
    ) -> None:
        self.preface = preface
        self.pieces = pieces
        self.tokens = tokens
        self.breaks = breaks
        self.finish: FinishReason = finish
        self.input_tokens = input_tokens


class Play:
    """The iterator over one answer.

    Args:
        name: the provider's, for errors.
        write: makes the script, when the answer begins.
        pacer: when tokens come.
        struck: the faults that strike, by kind.
        read_timeout_s: seconds of silence after which a hanging stream is given up.

    Cancellation: at any point. Backpressure: nothing is made before it is asked for.
    """

    def __init__(
        self,
        *,
        name: str,
        write: Callable[[], Script],
        pacer: Pacer,
        struck: Mapping[str, Fault],
        read_timeout_s: float,
    ) -> None:
        self._name = name
        self._write = write
        self._pacer = pacer
        self._struck = struck
        self._read_timeout_s = read_timeout_s
        self._ready: Iterator[Delta] = iter(())
        self._script: Script | None = None
        self._sent = 0
        self._is_over = False

    def __aiter__(self) -> Play:
        return self

    async def __anext__(self) -> Delta:
        for delta in self._ready:
            return delta
        script = self._script
        if script is not None and self._sent < script.tokens and not self._is_over:
            pacer = self._pacer
            pause = pacer.pause(self._sent)
            if pause is not None:
                await pause
            self._sent = min(self._sent + pacer.group_tokens, script.tokens)
            self._ready = islice(script.pieces, pacer.group_tokens)
            return next(self._ready)
        return await self._turn()

    def close(self) -> None:
        """Give nothing more."""
        self._is_over = True
        self._ready = iter(())

    async def _turn(self) -> Delta:
        """Begin or end the answer; the delta that says so."""
        if self._is_over:
            raise StopAsyncIteration
        try:
            if self._script is None:
                return await self._begin()
            self._is_over = True
            return await self._end(self._script)
        except BaseException:
            self._is_over = True
            raise

    async def _begin(self) -> Delta:
        if "timeout" in self._struck:
            await trio.sleep(self._read_timeout_s)
            raise ProviderTimeout(f"{self._name} did not answer in time")
        for kind, (error, what, retry_after_s) in _ENTRY_ERRORS.items():
            if kind in self._struck:
                await self._pacer.wait(0)
                raise error(f"{self._name} {what}", retry_after_s=retry_after_s)
        script = self._write()
        await self._pacer.wait(0)
        self._script = script
        self._ready = iter(script.preface)
        return next(self._ready)

    async def _end(self, script: Script) -> Delta:
        sent = self._sent
        if "drop" in self._struck:
            raise ProviderUnavailable(f"{self._name} dropped the stream after {sent} tokens")
        if "hang" in self._struck:
            await trio.sleep(self._read_timeout_s)
            raise ProviderTimeout(f"{self._name} fell silent after {sent} tokens")
        if script.breaks:
            raise ProviderBadOutput(f"{self._name} sent what is no answer after {sent} tokens")
        if "no_finish" in self._struck:
            raise ProviderBadOutput(f"{self._name} ended its answer without a finish reason")
        return Delta(
            usage=Usage(input_tokens=script.input_tokens, output_tokens=sent),
            finish=script.finish,
            tokens=0,
        )

    def __repr__(self) -> str:
        state = "over" if self._is_over else "open"
        return f"<Play of {self._name}, {self._sent} tokens, {state}>"
